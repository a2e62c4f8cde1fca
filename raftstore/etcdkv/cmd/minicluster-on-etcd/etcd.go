package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// startEtcd starts members of etcd in this process, at free ports of loopback, and
// returns where clients reach them.
func startEtcd(dir string, n int) (endpoints []string, stop func(), err error) {
	var members []*embed.Etcd
	stop = func() {
		for _, e := range members {
			e.Close()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	var configs []*embed.Config
	initial := ""
	for i := range n {
		peer, err := freeURL()
		if err != nil {
			return nil, nil, err
		}
		client, err := freeURL()
		if err != nil {
			return nil, nil, err
		}
		cfg := embed.NewConfig()
		cfg.Name = fmt.Sprint("member-", i+1)
		cfg.Dir = filepath.Join(dir, cfg.Name)
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		initial += fmt.Sprintf(",%s=%s", cfg.Name, peer.String())
		configs = append(configs, cfg)
		endpoints = append(endpoints, client.String())
	}
	for _, cfg := range configs {
		cfg.InitialCluster = initial[1:]
		e, err := embed.StartEtcd(cfg)
		if err != nil {
			return nil, nil, err
		}
		members = append(members, e)
	}
	for _, e := range members {
		select {
		case <-e.Server.ReadyNotify():
		case <-time.After(startLimit):
			return nil, nil, errors.New("etcd does not start")
		}
	}
	return endpoints, stop, nil
}

const startLimit = time.Minute

func freeURL() (url.URL, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return url.URL{}, err
	}
	defer l.Close()
	return url.URL{Scheme: "http", Host: l.Addr().String()}, nil
}
