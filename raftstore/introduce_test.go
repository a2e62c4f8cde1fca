package raftstore

import (
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
	"github.com/stretchr/testify/require"
)

// returns opens a member that was away with the config that it had, and waits until it
// has caught up.
func (c *cluster) returns(id uint64, members []Member) {
	c.t.Helper()
	cfg := c.config(id)
	cfg.Members = members
	s, err := Open(filepath.Join(c.dir, fmt.Sprint(id)), cfg)
	require.NoError(c.t, err)
	c.stores[id] = s
	behind := c.leader().Status().Applied
	require.Eventually(c.t, func() bool { return s.Status().Applied >= behind }, 20*time.Second, 5*time.Millisecond, "it stays behind")
}

// handTo has a member lead.
func (c *cluster) handTo(id uint64) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		return c.leader().TransferLeadership(testContext(c.t), id) == nil && c.stores[id].Status().Role == Leader
	}, 20*time.Second, 5*time.Millisecond, "member %d does not lead", id)
}

func TestAMemberAnswersALeaderThatItDoesNotKnow(t *testing.T) {
	c := newCluster(t, 3, nil)
	put(t, c.leader(), "a", "v")
	c.settled()
	founders := c.members
	require.NoError(t, c.leader().TransferLeadership(testContext(t), 2))
	c.stop(1, (*Store).Close)
	c.join(4)
	c.promote(4)
	c.handTo(4)
	put(t, c.stores[4], "b", "w")
	c.returns(1, founders)
	require.Equal(t, uint64(4), c.stores[1].Status().Leader, "nobody else has led")
	c.settled()
}

func TestAMemberAnswersALeaderThatHasMoved(t *testing.T) {
	c := newCluster(t, 3, nil)
	put(t, c.leader(), "a", "v")
	c.settled()
	founders := append([]Member(nil), c.members...)
	c.stop(1, (*Store).Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, c.leader().MoveMember(testContext(t), Member{ID: 2, Address: l.Addr().String()}))
	c.stop(2, (*Store).Close)
	c.open(2, l)
	c.handTo(2)
	put(t, c.stores[2], "b", "w")
	c.returns(1, founders)
	require.Equal(t, uint64(2), c.stores[1].Status().Leader, "nobody else has led")
	c.settled()
}

func introductionFrame(from, applied uint64, moved byte, address string) transport.Frame {
	b := append(binary.AppendUvarint([]byte{frameIntroduce}, applied), moved)
	return transport.Frame{From: from, Payload: appendBytes(b, []byte(address))}
}

// What others say of themselves counts as far as they know more than this member does.
func TestIntroductions(t *testing.T) {
	r := testReplica(t, wal.NewMemFS(), nil)
	r.writeSome(t, 3)
	later := r.core.state.applied + 1
	r.cfg.Members = []Member{{ID: 1, Address: "one:1"}, {ID: 2, Address: "two:1"}}
	hear := func(f transport.Frame) {
		r.receive(f)
		require.NoError(t, r.turn())
	}

	hear(introductionFrame(9, later, 0, "nine:1"))
	require.Equal(t, "nine:1", r.addressOf(9))
	hear(introductionFrame(9, later, 0, "nine:2"))
	require.Equal(t, "nine:2", r.addressOf(9))
	require.Contains(t, r.acquaintances(), uint64(9))
	hear(introductionFrame(8, later-1, 0, "eight:1"))
	require.Empty(t, r.addressOf(8), "the state would know")
	hear(introductionFrame(2, later, 0, "two:2"))
	require.Equal(t, "two:1", r.addressOf(2), "the operator may know another way there")
	hear(introductionFrame(2, later, 1, "two:3"))
	require.Equal(t, "two:3", r.addressOf(2), "it has moved")
	for _, f := range []transport.Frame{
		introductionFrame(7, later, 2, "seven:1"),
		introductionFrame(7, later, 0, "seven"),
		introductionFrame(7, later, 0, strings.Repeat("7", addressSizeMax)+":1"),
		{From: 7, Payload: []byte{frameIntroduce}},
		{From: 7, Payload: append(introductionFrame(7, later, 0, "seven:1").Payload, 0)},
	} {
		hear(f)
		require.Empty(t, r.addressOf(7))
	}
	for id := range uint64(2 * membersMax) {
		hear(introductionFrame(100+id, later, 0, "a:1"))
	}
	require.Len(t, r.strangers, membersMax)

	// So does who tells a removed member of those that came after it.
	r.toldRemoved(9, appendMembers(nil, []Member{{ID: 5, Address: "five:1"}, {ID: 9, Address: "nine:1"}}))
	r.connect()
	require.Equal(t, "five:1", r.addressOf(5))

	r.writeSome(t, 3)
	r.connect()
	require.Empty(t, r.strangers, "now this member knows as much")
	require.Equal(t, "two:1", r.addressOf(2))
}

func FuzzIntroductions(f *testing.F) {
	f.Add(introductionFrame(9, 100, 1, "nine:1").Payload[1:])
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := testReplica(t, wal.NewMemFS(), nil)
		r.writeSome(t, 1)
		r.receive(transport.Frame{From: 9, Payload: append([]byte{frameIntroduce}, b...)})
		require.NoError(t, r.turn())
		for _, in := range r.strangers {
			again := introductionFrame(9, in.applied, bits(in.moved), in.address)
			r.receive(again)
			require.Equal(t, in, r.strangers[9])
		}
	})
}
