package raftstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

func TestPaceBoundsWhatGoesOut(t *testing.T) {
	p := pace{ratePerSecond: 1 << 20}
	now := time.Duration(0)
	p.tick(1)
	require.True(t, p.written)
	sent := int64(0)
	for now < 10*time.Second {
		now += time.Millisecond
		p.refill(now)
		for p.allows() {
			p.spend(10_000)
			sent += 10_000
		}
	}
	require.InDelta(t, 10<<20, sent, 20_000)

	// The log's growth is on top, twice.
	p.grown = 100_000
	before := p.budget
	p.refill(now)
	require.Equal(t, before+200_000, p.budget)

	// A pause is no credit for more than one burst.
	p.refill(now + time.Hour)
	require.Equal(t, int64(paceBurstBytes), p.budget)

	// Nothing is bounded when nothing was written.
	p.spend(1 << 30)
	require.False(t, p.allows())
	p.tick(1)
	require.True(t, p.allows())
	debt := p.budget
	p.spend(1 << 30)
	require.Equal(t, debt, p.budget)
}

// A leader that writes hears of the acknowledgement of old entries when there is budget
// for as much as they hold, of others at once.
func TestLeaderHoldsBackAcknowledgementsOfOldEntries(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.CatchUpSizeBytes, cfg.SnapshotEntries = 16<<10, 1<<20 })
	lead := c.leader()
	for range 30 {
		put(t, lead, "k", string(make([]byte, 1000)))
	}
	// On a busy machine the leader may lose its office before the call runs.
	for led := false; !led; {
		lead = c.leader()
		done := make(chan struct{})
		require.True(t, lead.node.call(func() {
			defer close(done)
			if led = lead.node.replica.core.role == raft.StateLeader; led {
				holdsBack(t, lead)
			}
		}))
		<-done
	}
	c.settled()
}

// holdsBack is called by the owner of a leader, who must outlive a failure.
func holdsBack(t *testing.T, lead *Store) {
	r := lead.node.replica
	log := r.core.log
	assert.Greater(t, log.held, log.offset+3, "older entries are on disk alone")
	other := lead.MemberID()%3 + 1
	acknowledge := func(index uint64) *pb.Message {
		return &pb.Message{Type: pb.MsgAppResp.Enum(), From: new(other), To: new(lead.MemberID()), Term: new(r.core.term()), Index: new(index)}
	}
	r.pace.written, r.pace.budget, r.pace.held = true, 1, nil
	r.pace.acked[other] = log.offset
	assert.True(t, r.holdBack(acknowledge(log.offset+3)))
	assert.Empty(t, r.pace.held, "as long as there is budget")
	assert.Equal(t, 1-log.size(log.offset, log.offset+3), r.pace.budget)
	assert.True(t, r.holdBack(acknowledge(log.offset+4)))
	assert.Len(t, r.pace.held, 1)
	assert.False(t, r.holdBack(acknowledge(log.last())))
	refused := acknowledge(log.offset + 2)
	refused.Reject = new(true)
	assert.False(t, r.holdBack(refused))
	r.pace.written = false
	r.bringUp()
	assert.Empty(t, r.pace.held)
}
