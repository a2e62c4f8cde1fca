package transport

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func exchange(seed uint64, faults Faults) []string {
	n := NewNetwork(rand.New(rand.NewPCG(seed, 0)))
	n.Faults = faults
	got := newRecorder()
	a := n.Attach(1, newRecorder())
	b := n.Attach(2, got)
	a.SetPeer(2, "")
	b.SetPeer(1, "")
	for i := range 100 {
		a.Send(2, LaneControl, 0, fmt.Appendf(nil, "%d", i))
		n.Advance(n.Now() + time.Millisecond)
	}
	n.Advance(n.Now() + time.Hour)
	var out []string
	for _, f := range got.frames {
		out = append(out, string(f.Payload))
	}
	return out
}

func TestNetworkFollowsItsSeed(t *testing.T) {
	calm := exchange(1, Faults{})
	require.Len(t, calm, 100)
	for i, s := range calm {
		require.Equal(t, fmt.Sprint(i), s)
	}
	rough := Faults{DelayMax: 20 * time.Millisecond, Loss: 0.2, Duplicate: 0.2}
	first := exchange(1, rough)
	require.Equal(t, first, exchange(1, rough), "same seed, same story")
	require.NotEqual(t, first, exchange(2, rough))
	require.NotEqual(t, calm, first)
}

func TestNetworkBlocksAndHeals(t *testing.T) {
	n := NewNetwork(rand.New(rand.NewPCG(1, 0)))
	got := newRecorder()
	a := n.Attach(1, newRecorder())
	n.Attach(2, got)
	require.False(t, a.Send(2, LaneControl, 0, nil), "unknown peer")
	a.SetPeer(2, "")
	n.Block(1, 2, true)
	require.True(t, a.Send(2, LaneControl, 0, []byte("lost")), "a partition is silent")
	n.Advance(time.Second)
	n.Heal()
	a.Send(2, LaneControl, 0, []byte("heard"))
	n.Advance(2 * time.Second)
	require.Len(t, got.frames, 1)
	require.Equal(t, "heard", string(got.frames[0].Payload))

	a.Send(2, LaneControl, 0, []byte("late"))
	again := newRecorder()
	n.Attach(2, again)
	n.Advance(3 * time.Second)
	require.Zero(t, again.count(), "a restarted member gets nothing that was sent to the old one")
}
