package etcdapi

import (
	"testing"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/etcdkv"
	"github.com/orchcore/orchcore/raftstore/kvtest"
)

// What holds for a store holds through etcd's API and client: nothing of it is lost
// on the way there and back.
func TestConformance(t *testing.T) {
	c := newCluster(t, 3, nil)
	kvtest.Test(t, func(*testing.T) raftstore.KV { return etcdkv.New(c.client()) })
}
