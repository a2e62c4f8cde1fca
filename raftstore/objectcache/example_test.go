package objectcache_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/objectcache"
)

type pod struct {
	Node string `json:"node"`
}

func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := raftstore.Open(dir, raftstore.Config{})
	if err != nil {
		panic(err)
	}
	defer store.Close()

	cache, err := objectcache.Open(objectcache.Config[pod]{
		KV: store, Prefix: []byte("/pods/"),
		Decode: func(kv raftstore.KeyValue) (p pod, err error) { return p, json.Unmarshal(kv.Value, &p) },
		Indexes: map[string]func(objectcache.Object[pod]) []string{
			"node": func(o objectcache.Object[pod]) []string { return []string{o.Value.Node} },
		},
		Handlers: []objectcache.Handler[pod]{{
			OnAdd:    func(o objectcache.Object[pod]) { fmt.Println("added", o.Key, "on", o.Value.Node) },
			OnUpdate: func(before, after objectcache.Object[pod]) { fmt.Println("moved", after.Key, "to", after.Value.Node) },
		}},
	})
	if err != nil {
		panic(err)
	}
	defer cache.Close()

	ctx := context.Background()
	var last raftstore.PutResult
	for _, write := range [][2]string{{"/pods/a", "n1"}, {"/pods/b", "n2"}, {"/pods/a", "n2"}} {
		last, err = store.Put(ctx, raftstore.PutRequest{Key: []byte(write[0]), Value: []byte(`{"node":"` + write[1] + `"}`)})
		if err != nil {
			panic(err)
		}
		if err := cache.WaitRevision(ctx, last.Revision); err != nil {
			panic(err)
		}
	}
	on, err := cache.Indexed("node", "n2")
	fmt.Println(len(on), "pods on n2", err)
	// Output:
	// added /pods/a on n1
	// added /pods/b on n2
	// moved /pods/a to n2
	// 2 pods on n2 <nil>
}
