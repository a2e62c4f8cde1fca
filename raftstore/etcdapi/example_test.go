package etcdapi_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/etcdapi"
)

func ExampleServer() {
	dir, err := os.MkdirTemp("", "etcdapi")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := raftstore.Open(dir, raftstore.Config{SegmentSizeBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	server, err := etcdapi.New(store, etcdapi.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()

	client, err := clientv3.New(clientv3.Config{Endpoints: []string{l.Addr().String()}, Logger: zap.NewNop()})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	if _, err := client.Put(ctx, "greeting", "hello"); err != nil {
		log.Fatal(err)
	}
	r, err := client.Get(ctx, "greeting")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s at revision %d\n", r.Kvs[0].Value, r.Kvs[0].ModRevision)
	// Output: hello at revision 2
}
