package etcdapi

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// startEtcd starts one member of etcd in this process, quick and forgetful, and
// returns where clients reach it.
func startEtcd(t testing.TB) string {
	t.Helper()
	return startEtcds(t, 1, func(cfg *embed.Config) {
		cfg.TickMs, cfg.ElectionMs = 10, 100
		cfg.UnsafeNoFsync = true
	})[0]
}

// startEtcdCluster starts members as they are by default and returns the URLs for
// clients.
func startEtcdCluster(t testing.TB, n int) []string {
	t.Helper()
	var urls []string
	for _, host := range startEtcds(t, n, func(*embed.Config) {}) {
		urls = append(urls, "http://"+host)
	}
	return urls
}

func startEtcds(t testing.TB, n int, change func(*embed.Config)) (hosts []string) {
	t.Helper()
	free := func() url.URL {
		l := listen(t, "127.0.0.1:0")
		defer l.Close()
		return url.URL{Scheme: "http", Host: l.Addr().String()}
	}
	initial := ""
	var configs []*embed.Config
	for i := range n {
		cfg := embed.NewConfig()
		cfg.Name, cfg.Dir = fmt.Sprint("m", i), t.TempDir()
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		peer, client := free(), free()
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		initial += fmt.Sprintf(",%s=%s", cfg.Name, peer.String())
		change(cfg)
		configs = append(configs, cfg)
		hosts = append(hosts, client.Host)
	}
	var members []*embed.Etcd
	for _, cfg := range configs {
		cfg.InitialCluster = initial[1:]
		e, err := embed.StartEtcd(cfg)
		require.NoError(t, err)
		t.Cleanup(e.Close)
		members = append(members, e)
	}
	for _, e := range members {
		select {
		case <-e.Server.ReadyNotify():
		case <-time.After(60 * time.Second):
			t.Fatal("etcd does not start")
		}
	}
	return hosts
}
