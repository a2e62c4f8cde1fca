package etcdkv_test

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/etcdkv"
)

// count works on any engine.
func count(ctx context.Context, kv raftstore.KV, prefix string) (int64, error) {
	r, err := kv.Range(ctx, raftstore.RangeOptions{
		Key: []byte(prefix), End: raftstore.PrefixEnd([]byte(prefix)), CountOnly: true,
	})
	return r.Count, err
}

// The constructor is all that changes. (This needs a cluster of etcd.)
func ExampleNew() {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:2379"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	n, err := count(context.Background(), etcdkv.New(client), "pods/")
	fmt.Println(n, err)
}
