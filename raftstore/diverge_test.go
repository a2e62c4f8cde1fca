package raftstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAMemberThatDivergesIsFound(t *testing.T) {
	failed := make(chan error, 3)
	c := newCluster(t, 3, func(cfg *Config) { cfg.OnFailure = func(err error) { failed <- err } })
	put(t, c.stores[1], "k", "v")
	lead := c.leader().Status().MemberID
	wrong := c.stores[lead%3+1]
	c.settled()
	// A bit flips behind everybody's back.
	require.True(t, wrong.node.call(func() {
		_, err := wrong.kv.Put(&PutRequest{Key: []byte("k"), Value: []byte("w")})
		require.NoError(t, err)
	}))
	put(t, c.stores[lead], "other", "1")
	select {
	case err := <-failed:
		require.ErrorIs(t, err, ErrDiverged)
		require.ErrorIs(t, err, ErrFailed)
	case <-time.After(30 * time.Second):
		t.Fatal("nobody has noticed")
	}
	require.ErrorIs(t, wrong.Err(), ErrDiverged)
	_, err := wrong.Put(testContext(t), PutRequest{Key: []byte("k")})
	require.ErrorIs(t, err, ErrDiverged)
	put(t, c.stores[lead], "others", "go on")
}
