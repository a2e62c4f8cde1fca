package raftstore

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/stretchr/testify/require"
)

func TestASessionWritesOnce(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.CatchUpEntries = 20, 5 })
	ctx := testContext(t)
	session, err := c.stores[1].NewSession(ctx)
	require.NoError(t, err)
	first, err := session.Begin().Put(ctx, PutRequest{Key: []byte("k"), Value: []byte("1")})
	require.NoError(t, err)

	attempt := session.Begin()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = attempt.Put(gone, PutRequest{Key: []byte("k"), Value: []byte("2")})
	require.ErrorIs(t, err, ErrNotApplied)
	p := PutRequest{Key: []byte("k"), Value: []byte("2"), PrevKV: true}
	second, err := attempt.Put(ctx, p)
	require.NoError(t, err)
	require.Equal(t, first.Revision+1, second.Revision)

	// The same write again, over another member, after a restart of all from snapshots.
	for i := range 60 {
		put(t, c.stores[2], "other", string(rune('a'+i%26)))
	}
	for _, m := range c.members {
		c.stop(m.ID, (*Store).Abort)
	}
	for _, m := range c.members {
		c.open(m.ID, nil)
	}
	again := c.stores[3].ResumeSession(session.ID(), attempt.Sequence()).Begin()
	require.Equal(t, attempt.Sequence(), again.Sequence())
	result, err := again.Put(ctx, p)
	require.NoError(t, err)
	require.Equal(t, second, result, "the result of the first time")
	pair, _, err := Get(ctx, c.stores[1], []byte("k"))
	require.NoError(t, err)
	require.Equal(t, int64(2), pair.Version)

	_, err = c.stores[1].ResumeSession(session.ID(), 1).Begin().Put(ctx, p)
	require.ErrorIs(t, err, ErrSession, "its result was seen and is not kept")
	_, err = c.stores[1].ResumeSession(999, 1).Begin().Put(ctx, p)
	require.ErrorIs(t, err, ErrSessionExpired)
	require.ErrorIs(t, err, ErrNotApplied)
	_, err = session.Begin().Put(ctx, PutRequest{Key: []byte("k"), Lease: 7})
	require.ErrorIs(t, err, ErrClosed, "its member has been stopped")
	c.settled()
}

func TestSessionErrorsAreKeptToo(t *testing.T) {
	s, err := Open(t.TempDir(), Config{SegmentSizeBytes: 64 << 10, TickInterval: 5 * time.Millisecond})
	require.NoError(t, err)
	defer s.Close()
	ctx := testContext(t)
	session, err := s.NewSession(ctx)
	require.NoError(t, err)
	missing := PutRequest{Key: []byte("k"), Value: nil, IgnoreValue: true}
	attempt := session.Begin()
	_, err = attempt.Put(ctx, missing)
	require.ErrorIs(t, err, mvcc.ErrKeyNotFound)
	put(t, s, "k", "v")
	_, again := s.ResumeSession(session.ID(), attempt.Sequence()).Begin().Put(ctx, missing)
	require.ErrorIs(t, again, mvcc.ErrKeyNotFound, "though the key exists by now")
	require.Equal(t, err.Error(), again.Error())

	large := bytes.Repeat([]byte("x"), resultKeepMax)
	put(t, s, "k", string(large))
	attempt = session.Begin()
	_, err = attempt.Put(ctx, PutRequest{Key: []byte("k"), Value: []byte("y"), PrevKV: true})
	require.NoError(t, err)
	_, err = s.ResumeSession(session.ID(), attempt.Sequence()).Begin().Put(ctx, PutRequest{Key: []byte("k"), Value: []byte("y"), PrevKV: true})
	require.ErrorIs(t, err, ErrResultLost)
	require.ErrorIs(t, err, ErrUnknownOutcome)

	var attempts []*Attempt
	for range sessionWindow + 1 {
		attempts = append(attempts, session.Begin())
	}
	_, err = attempts[sessionWindow].Put(ctx, PutRequest{Key: []byte("k")})
	require.ErrorIs(t, err, ErrSession, "too many are unfinished")
	attempts[0].Abandon()
	_, err = attempts[sessionWindow].Put(ctx, PutRequest{Key: []byte("k")})
	require.NoError(t, err)
}

func TestTheOldestSessionGivesWay(t *testing.T) {
	m := newMachine([]Member{{ID: 1}})
	var out result
	var ids []uint64
	for range sessionsMax {
		m.openSession(&out)
		ids = append(ids, uint64(out.put.Revision))
	}
	use := func(id, sequence uint64) error {
		var out result
		b := append(appendNumbers(nil, id, sequence, sequence), byte(commandPut))
		m.execute(commandSession, appendPut(b, &PutRequest{Key: []byte("k")}), &out)
		return out.err
	}
	require.NoError(t, use(ids[0], 1))
	m.openSession(&out)
	require.Len(t, m.sessions, sessionsMax)
	require.NoError(t, use(ids[0], 2), "it was used lately")
	require.ErrorIs(t, use(ids[1], 1), ErrSessionExpired)
	b := imageOf(t, m.at(77))
	got, err := readImage(bytes.NewReader(b), 5)
	require.NoError(t, err)
	require.Equal(t, m.sessions, got.sessions)
	require.Equal(t, m.steps, got.steps)
}

func (m *machine) at(index uint64) *machine {
	m.applied = index
	return m
}

func TestResultsSurviveTheCodec(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	pair := func() KeyValue {
		return KeyValue{Key: []byte{1, byte(rng.Uint32())}, Value: randomBytes(rng), CreateRevision: rng.Int64N(9), ModRevision: rng.Int64N(9), Version: rng.Int64N(3), Lease: rng.Int64()}
	}
	var txn func(depth int) TxnResult
	txn = func(depth int) TxnResult {
		r := TxnResult{Succeeded: rng.IntN(2) == 0, Revision: rng.Int64N(99)}
		for range rng.IntN(4) {
			switch k := rng.IntN(4); {
			case k == 0:
				r.Results = append(r.Results, OpResult{Put: &PutResult{Revision: 3, PrevKV: new(pair())}})
			case k == 1:
				r.Results = append(r.Results, OpResult{Delete: &DeleteResult{Revision: 3, Deleted: 2, PrevKVs: []KeyValue{pair(), pair()}}})
			case k == 2 || depth == 0:
				r.Results = append(r.Results, OpResult{Range: &RangeResult{KVs: []KeyValue{pair()}, Count: 7, More: true, Revision: 4}})
			default:
				r.Results = append(r.Results, OpResult{Txn: new(txn(depth - 1))})
			}
		}
		return r
	}
	for range 500 {
		want := result{txn: txn(3)}
		got, err := decodeResult(appendResult(nil, commandTxn, &want), commandTxn)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, sentinel := range storedErrors {
		got, err := decodeResult(appendResult(nil, commandPut, &result{err: sentinel}), commandPut)
		require.NoError(t, err)
		require.ErrorIs(t, got.err, sentinel)
		require.Equal(t, sentinel.Error(), got.err.Error())
	}
}
