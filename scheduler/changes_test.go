package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A reader of the log that keeps up, at whatever pace, misses no node that
// changed; one that falls too far behind is told so.
func TestChangeLog(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	c := NewCache(CacheConfig{HoldUnknownNodes: true})
	w := &world{map[string]*Node{}, map[string]*Pod{}, map[string]*Pod{}}
	var cursor, clock uint64
	for step := range 3000 {
		w.step(t, rng, c, step)
		if rng.IntN(20) > 0 {
			continue
		}
		logged := make(map[int32]bool)
		first, end, ok := c.changes.since(cursor)
		require.True(t, ok)
		for i := first; i < end; i++ {
			logged[c.changes.at(i)] = true
		}
		slots := make(map[int32]bool)
		for _, n := range c.nodes {
			require.False(t, slots[n.slot], "two nodes share a slot")
			slots[n.slot] = true
			if n.generation > clock {
				require.True(t, logged[n.slot], n.Name)
			}
		}
		cursor, clock = end, c.changes.clock
	}
	require.LessOrEqual(t, int(c.slots), 8)
	cursor = c.changes.written
	for range changeRingMax + 1 {
		c.touched(c.nodes[oneOf(rng, c.Nodes()...)])
	}
	_, _, ok := c.changes.since(cursor)
	require.False(t, ok)
	_, _, ok = c.changes.since(cursor + 1)
	require.True(t, ok)
}

// Whatever changes the Cache moves its clock, and what changes nothing leaves
// it.
func TestClockMoves(t *testing.T) {
	c := uniformCluster(t, 4)
	meta := ObjectMeta{Name: "x"}
	p := podWith(t, "p", "", "")
	pod := podWith(t, "bound", "", "")
	pod.Spec.NodeName = "node-00001"
	for i, change := range []func() error{
		func() error { return c.SetNamespace(&Namespace{ObjectMeta: meta}) },
		func() error { return c.SetService(&Service{ObjectMeta: meta}) },
		func() error { return c.SetReplicationController(&ReplicationController{ObjectMeta: meta}) },
		func() error { return c.SetReplicaSet(&ReplicaSet{ObjectMeta: meta}) },
		func() error { return c.SetStatefulSet(&StatefulSet{ObjectMeta: meta}) },
		func() error { return c.SetPodDisruptionBudget(&PodDisruptionBudget{ObjectMeta: meta}) },
		func() error { return c.SetPersistentVolumeClaim(&PersistentVolumeClaim{ObjectMeta: meta}) },
		func() error { return c.SetPersistentVolume(&PersistentVolume{ObjectMeta: meta}) },
		func() error { return c.SetStorageClass(&StorageClass{ObjectMeta: meta}) },
		func() error { return c.SetCSINode(&CSINode{ObjectMeta: meta}) },
		func() error { return c.SetCSIDriver(&CSIDriver{ObjectMeta: meta}) },
		func() error { return c.SetCSIStorageCapacity(&CSIStorageCapacity{ObjectMeta: meta}) },
		func() error { return c.SetVolumeAttachment(&VolumeAttachment{ObjectMeta: meta}) },
		func() error { return c.UpdateNode(c.nodes["node-00002"].Node) },
		func() error { return c.RemoveNode("node-00003") },
		func() error { return c.AddPod(pod) },
		func() error { return c.UpdatePod(pod) },
		func() error { return c.RemovePod("", "bound") },
		func() error { return c.Nominate(p, "node-00001") },
		func() error { return c.Assume(p, "node-00001") },
		func() error { return c.Confirm("", "p") },
	} {
		was := c.changes.clock
		require.NoError(t, change(), fmt.Sprint(i))
		require.Greater(t, c.changes.clock, was, i)
	}
	was := c.changes.clock
	require.Error(t, c.RemoveNode("nobody"))
	require.Error(t, c.AddPod(p))
	require.Error(t, c.Forget("", "p"))
	c.Unnominate("", "p")
	c.Nodes()
	require.Equal(t, was, c.changes.clock)
}
