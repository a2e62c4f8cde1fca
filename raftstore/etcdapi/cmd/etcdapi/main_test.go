package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// lines collects what the command prints.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestBadFlags(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	for want, args := range map[string][]string{
		"expected flags only":               {"what"},
		"-dir is empty":                     {"-dir", ""},
		"-local is 12":                      {"-local", "12"},
		"-local is set":                     {"-local", "3", "-cluster", "1=a:1"},
		"-cert, -key":                       {"-cert", "x"},
		"-peer-cert":                        {"-peer-key", "x"},
		`-cluster: part is "a:1"`:           {"-cluster", "a:1"},
		`address of member 1 is "a"`:        {"-cluster", "1=a"},
		`-client-urls: URL is "a"`:          {"-client-urls", "a"},
		"-cert, -key: open":                 {"-cert", "none", "-key", "none"},
		"-restore: open":                    {"-restore", "none"},
		"-listen is \"x\"":                  {"-local", "3", "-listen", "x"},
		"not defined":                       {"-nonsense"},
		"expected the id of one of Members": {"-id", "9", "-cluster", "1=127.0.0.1:1"},
	} {
		err := run(context.Background(), append([]string{"-dir", dir}, args...), &lines{})
		require.ErrorContains(t, err, want, "%v", args)
	}
}

// freePort returns an address that is free, and so are those behind it that -local uses.
// It is below the ports that systems give to whoever asks for any.
func freePort(t *testing.T) string {
	for port := 20_000 + os.Getpid()%10_000; port < 32_000; port += 10 {
		free := true
		for _, p := range []int{port, port + 1, port + 2, port + peerPortsAfter, port + peerPortsAfter + 1, port + peerPortsAfter + 2} {
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", p))
			if err != nil {
				free = false
				break
			}
			require.NoError(t, l.Close())
		}
		if free {
			return fmt.Sprint("127.0.0.1:", port)
		}
	}
	t.Fatal("no free ports from 20000 to 32000")
	return ""
}

func TestLocalCluster(t *testing.T) {
	address, web := freePort(t), "127.0.0.1:0"
	dir := t.TempDir()
	for _, want := range []int64{0, 1} { // a second run finds what the first has written
		ctx, stop := context.WithCancel(context.Background())
		out := &lines{}
		done := make(chan error, 1)
		go func() {
			done <- run(ctx, []string{"-local", "3", "-dir", dir, "-listen", address, "-listen-http", web, "-tick", "10ms", "-v"}, out)
		}()
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
		require.NoError(t, err)
		call, cancel := context.WithTimeout(ctx, 30*time.Second)
		r, err := client.Get(call, "a")
		if err != nil {
			stop()
			require.NoError(t, err, "the members end with %v: %v", <-done, out)
		}
		require.Equal(t, want, r.Count)
		require.Eventually(t, func() bool { // each announces itself
			return client.Sync(call) == nil && len(client.Endpoints()) == 3
		}, 10*time.Second, 10*time.Millisecond)
		_, err = client.Put(call, "a", "v")
		require.NoError(t, err)
		require.NoError(t, client.Close())
		cancel()
		stop()
		require.NoError(t, <-done)
		require.Contains(t, out.String(), "member 3 of cluster ")
	}
}
