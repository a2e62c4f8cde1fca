package raftstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
)

func TestRefusalsKeepTheirReasons(t *testing.T) {
	for _, err := range []error{
		nil,
		fmt.Errorf("%w: 77", ErrUnknownMember),
		fmt.Errorf("%w: %w: at a:1", ErrMembership, ErrAddressTaken),
		fmt.Errorf("%w: %w: 1 of 3", ErrMembership, ErrUnhealthy),
		fmt.Errorf("%w: early", ErrLearnerNotReady),
	} {
		r := reader{b: appendRefusal(nil, err)}
		got, ok := r.refusal()
		require.True(t, ok)
		if err == nil {
			require.NoError(t, got)
			continue
		}
		require.EqualError(t, got, err.Error())
		for _, reason := range changeReasons {
			require.Equal(t, errors.Is(err, reason), errors.Is(got, reason), "%v: %v", err, reason)
		}
	}
}

// Frames about changes may hold anything.
func FuzzChangeFrames(f *testing.F) {
	f.Add(appendChanges([]byte{frameChangeAsk, 1, 1}, []memberChange{{memberAddVoter, 9, "a:1"}, {kind: memberRemove, id: 1}}))
	f.Add(appendRefusal([]byte{frameChangeAnswer, 1, 1}, ErrUnhealthy))
	f.Add([]byte{frameChangeAnswer, 1, 1, 0x80, 0})
	f.Add([]byte{frameChangeAsk, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || b[0] != frameChangeAsk && b[0] != frameChangeAnswer {
			return
		}
		r := testReplica(t, wal.NewMemFS(), nil)
		r.writeSome(t, 1)
		call := &changeCall{changes: []memberChange{{kind: memberPromote, id: 5}}, answer: make(chan error, 1)}
		r.changes.ask(call)
		r.receive(transport.Frame{From: 2, Payload: b})
		require.NoError(t, r.turn())
	})
}
