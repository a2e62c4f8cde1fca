package raftstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// leaseShelf is a LeaseStore in memory, with faults by the candidate.
type leaseShelf struct {
	mu       sync.Mutex
	value    []byte
	revision int64
	writes   []LeaseRecord
	faults   func() (delay time.Duration, before, after bool)
}

var errLeaseFault = errors.New("injected fault")

func (s *leaseShelf) fault(ctx context.Context, act func()) error {
	var delay time.Duration
	var before, after bool
	if s.faults != nil {
		delay, before, after = s.faults()
	}
	if err := sleepContext(ctx, delay); err != nil {
		return err
	}
	if before {
		return errLeaseFault
	}
	s.mu.Lock()
	act()
	s.mu.Unlock()
	if after {
		return errLeaseFault // stored, but the caller does not learn it
	}
	return sleepContext(ctx, delay)
}

func (s *leaseShelf) last() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

func (s *leaseShelf) LoadLease(ctx context.Context) (value []byte, revision int64, err error) {
	err = s.fault(ctx, func() { value, revision = s.value, s.revision })
	return value, revision, err
}

func (s *leaseShelf) SwapLease(ctx context.Context, value []byte, revision int64) (newRevision int64, swapped bool, err error) {
	err = s.fault(ctx, func() {
		if s.revision != revision {
			return
		}
		var record LeaseRecord
		if json.Unmarshal(value, &record) != nil {
			panic("candidate wrote no record")
		}
		s.writes = append(s.writes, record)
		s.value, swapped = value, true
		s.revision++
		newRevision = s.revision
	})
	return newRevision, swapped && err == nil, err
}

func newCandidate(t *testing.T, store LeaseStore, c ElectionConfig) *Election {
	t.Helper()
	e, err := NewElection(store, c)
	require.NoError(t, err)
	return e
}

func untilDone(ctx context.Context) { <-ctx.Done() }

func TestElectionConfig(t *testing.T) {
	tests := map[string]struct {
		change func(*ElectionConfig)
		want   string
	}{
		"defaults":          {func(c *ElectionConfig) {}, ""},
		"no identity":       {func(c *ElectionConfig) { c.Identity = "" }, "Identity"},
		"deadline too long": {func(c *ElectionConfig) { c.RenewDeadline = 15 * time.Second }, "LeaseDuration = 15s"},
		"retry too long":    {func(c *ElectionConfig) { c.RetryPeriod = 9 * time.Second }, "RenewDeadline = 10s"},
		"negative retry":    {func(c *ElectionConfig) { c.RetryPeriod = -1 }, "RetryPeriod = -1ns"},
		"call too long":     {func(c *ElectionConfig) { c.CallTimeout = 10 * time.Second }, "CallTimeout = 10s"},
		"overflow":          {func(c *ElectionConfig) { c.LeaseDuration = 1 << 62 }, "at most 2147483647 s"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := ElectionConfig{Identity: "a"}
			test.change(&c)
			_, err := NewElection(&leaseShelf{}, c)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrElectionConfig)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestLeaseRecordJSON(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89000, time.FixedZone("", 3600))
	b, err := json.Marshal(LeaseRecord{
		HolderIdentity: "node-1", LeaseDurationSeconds: 15,
		AcquireTime: LeaseTime{at}, LeaseTransitions: 3,
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"holderIdentity":"node-1","leaseDurationSeconds":15,
		"acquireTime":"2026-03-04T04:06:07.000089Z","renewTime":null,"leaseTransitions":3}`, string(b))

	var got LeaseRecord // the spec of a Lease as kubectl prints it
	require.NoError(t, json.Unmarshal([]byte(`{"acquireTime":"2024-01-02T03:04:05.123456Z",
		"holderIdentity":"cm_7","leaseDurationSeconds":15,"leaseTransitions":2,
		"renewTime":"2024-01-02T03:05:05Z","strategy":"OldestEmulationVersion"}`), &got))
	require.Equal(t, "cm_7", got.HolderIdentity)
	require.Equal(t, 123456000, got.AcquireTime.Nanosecond())

	for _, bad := range []string{
		`{"acquireTime":7}`, `{"renewTime":"yesterday"}`, `{"leaseDurationSeconds":1e99}`,
		`{"leaseTransitions":4294967296}`, `[]`, ``,
	} {
		require.Error(t, json.Unmarshal([]byte(bad), &got), bad)
	}
}

func TestBallot(t *testing.T) {
	start := time.Unix(1000, 0)
	record := func(holder string, seconds int32) []byte {
		b, err := json.Marshal(LeaseRecord{HolderIdentity: holder, LeaseDurationSeconds: seconds, LeaseTransitions: 4})
		require.NoError(t, err)
		return b
	}
	tests := map[string]struct {
		value       []byte
		revision    int64
		after       time.Duration
		want        bool
		transitions int32
	}{
		"no record":            {nil, 0, 0, true, 0},
		"mine":                 {record("me", 15), 9, 0, true, 4},
		"held":                 {record("you", 15), 9, 14999 * time.Millisecond, false, 0},
		"expired":              {record("you", 15), 9, 15 * time.Second, true, 5},
		"released":             {record("", 1), 9, 0, true, 5},
		"longer lease of his":  {record("you", 60), 9, 59 * time.Second, false, 0},
		"longest lease of all": {record("you", 1<<31-1), 9, 24 * time.Hour, false, 0},
		"negative duration":    {record("you", -1), 9, 0, true, 5},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := ballot{identity: "me", duration: 14500 * time.Millisecond}
			require.NoError(t, b.observe(start, test.value, test.revision))
			later := start.Add(test.after)
			require.NoError(t, b.observe(later, test.value, test.revision), "seen again, unchanged")
			got, ok := b.propose(later)
			require.Equal(t, test.want, ok)
			if ok {
				require.Equal(t, "me", got.HolderIdentity)
				require.EqualValues(t, 15, got.LeaseDurationSeconds, "rounded up")
				require.Equal(t, test.transitions, got.LeaseTransitions)
			}
		})
	}

	b := ballot{identity: "me", duration: time.Second}
	require.NoError(t, b.observe(start, record("you", 15), 9))
	require.ErrorIs(t, b.observe(start, []byte("{"), 10), ErrLeaseRecord)
	require.NoError(t, b.observe(start.Add(10*time.Second), record("you", 15), 11))
	_, ok := b.propose(start.Add(20 * time.Second))
	require.False(t, ok, "a renewal starts the wait anew")
}

// A candidate whose clock is hours off takes over when it has seen no change
// for the lease's duration, and not before.
func TestElectionTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := &leaseShelf{}
		first := newCandidate(t, shelf, ElectionConfig{Identity: "first"})
		var seen []string
		second := newCandidate(t, shelf, ElectionConfig{
			Identity:    "second",
			Now:         func() time.Time { return time.Now().Add(-7 * time.Hour) },
			OnNewLeader: func(identity string) { seen = append(seen, identity) },
		})
		ctx, crash := context.WithCancel(t.Context())
		firstDone := make(chan error, 1)
		go func() { firstDone <- first.Run(ctx, untilDone) }()
		time.Sleep(time.Second)
		require.True(t, first.Leading())

		ctx2, stop := context.WithCancel(t.Context())
		secondDone := make(chan error, 1)
		go func() { secondDone <- second.Run(ctx2, untilDone) }()
		time.Sleep(time.Minute)
		require.True(t, first.Leading())
		require.False(t, second.Leading())

		crash()
		require.ErrorIs(t, <-firstDone, context.Canceled)
		require.False(t, first.Leading())
		crashed := time.Now()
		for !second.Leading() {
			time.Sleep(100 * time.Millisecond)
		}
		gap := time.Since(crashed)
		require.Greater(t, gap, 10*time.Second)
		require.Less(t, gap, 20*time.Second)
		stop()
		require.ErrorIs(t, <-secondDone, context.Canceled)
		require.Equal(t, []string{"first", "second"}, seen)
		require.EqualValues(t, 1, shelf.writes[len(shelf.writes)-1].LeaseTransitions)
	})
}

// The revision fences: it is that of the record that the leader wrote last, and
// a successor's write ends it.
func TestElectionRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := &leaseShelf{}
		e := newCandidate(t, shelf, ElectionConfig{Identity: "me"})
		require.Zero(t, e.Revision())
		require.NoError(t, e.Run(t.Context(), func(ctx context.Context) {
			first := e.Revision()
			require.Equal(t, shelf.last(), first)
			time.Sleep(3 * time.Second)
			require.Greater(t, e.Revision(), first)
			require.Equal(t, shelf.last(), e.Revision())
		}))
		require.Zero(t, e.Revision())
	})
}

func TestElectionRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := &leaseShelf{}
		first := newCandidate(t, shelf, ElectionConfig{Identity: "first", Release: true})
		require.NoError(t, first.Run(t.Context(), func(context.Context) { time.Sleep(time.Minute) }))
		require.Empty(t, first.Record().HolderIdentity)
		start := time.Now()
		second := newCandidate(t, shelf, ElectionConfig{Identity: "second"})
		require.NoError(t, second.Run(t.Context(), func(context.Context) {}))
		require.Zero(t, time.Since(start), "nothing to wait for")
	})
}

func TestElectionLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := &leaseShelf{}
		e := newCandidate(t, shelf, ElectionConfig{Identity: "me"})
		done := make(chan error, 1)
		go func() { done <- e.Run(t.Context(), untilDone) }()
		time.Sleep(5 * time.Second)
		shelf.mu.Lock() // somebody else writes without asking
		shelf.value = []byte(`{"holderIdentity":"thief","leaseDurationSeconds":15}`)
		shelf.revision++
		shelf.mu.Unlock()
		err := <-done
		require.ErrorIs(t, err, ErrLeadershipLost)
		require.ErrorContains(t, err, "thief")
		require.False(t, e.Leading())
	})
	synctest.Test(t, func(t *testing.T) { // cut off: it must stop in time by itself
		var cut atomic.Bool
		shelf := &leaseShelf{faults: func() (time.Duration, bool, bool) {
			if cut.Load() {
				return time.Hour, false, false
			}
			return 0, false, false
		}}
		e := newCandidate(t, shelf, ElectionConfig{Identity: "me"})
		var ended time.Time
		done := make(chan error, 1)
		go func() {
			done <- e.Run(t.Context(), func(ctx context.Context) { <-ctx.Done(); ended = time.Now() })
		}()
		time.Sleep(5 * time.Second) // renewals at 0, 2 and 4 s
		cut.Store(true)
		start := time.Now()
		require.ErrorIs(t, <-done, ErrLeadershipLost)
		require.Equal(t, 9*time.Second, ended.Sub(start), "10 s after the renewal at 4 s")
	})
	synctest.Test(t, func(t *testing.T) { // garbage in the key: nobody leads, nobody overwrites it
		shelf := &leaseShelf{value: []byte("not a record"), revision: 3}
		e := newCandidate(t, shelf, ElectionConfig{Identity: "me"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.ErrorIs(t, e.Run(ctx, untilDone), context.DeadlineExceeded)
		require.EqualValues(t, 3, shelf.revision)
	})
}

// Under lost, delayed and half-done calls, with clocks hours apart, no two
// candidates lead at once, and somebody leads most of the time.
func TestElectionNeverTwoLeaders(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { electionStorm(t, seed) })
		})
	}
}

func electionStorm(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 5))
	var mu sync.Mutex
	shelf := &leaseShelf{faults: func() (time.Duration, bool, bool) {
		mu.Lock()
		defer mu.Unlock()
		delay := time.Duration(r.Int64N(int64(300 * time.Millisecond)))
		if r.IntN(10) == 0 {
			delay = time.Duration(r.Int64N(int64(20 * time.Second)))
		}
		return delay, r.IntN(8) == 0, r.IntN(8) == 0
	}}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var all []*Election
	for i := range 4 {
		skew := time.Duration(i-2) * 5 * time.Hour
		e := newCandidate(t, shelf, ElectionConfig{
			Identity: fmt.Sprint("candidate-", i), Seed: uint64(i), Release: i%2 == 0,
			Now: func() time.Time { return time.Now().Add(skew) },
		})
		all = append(all, e)
		running.Go(func() {
			for term := 0; ctx.Err() == nil; term++ {
				_ = e.Run(ctx, func(ctx context.Context) {
					_ = sleepContext(ctx, time.Duration(30+10*term)*time.Second)
				})
			}
		})
	}
	led, ticks := 0, 0
	for ; ticks < 20_000; ticks++ {
		time.Sleep(100 * time.Millisecond)
		leaders := 0
		for _, e := range all {
			if e.Leading() {
				leaders++
			}
		}
		require.LessOrEqual(t, leaders, 1, "after %v", time.Duration(ticks)*100*time.Millisecond)
		led += leaders
	}
	cancel()
	running.Wait()
	require.Greater(t, led, ticks/2, "somebody should lead most of the time")
}

func ExampleElection() {
	shelf := &leaseShelf{} // in a program: one key of a KV
	e, err := NewElection(shelf, ElectionConfig{Identity: "scheduler-1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = e.Run(context.Background(), func(ctx context.Context) {
		fmt.Println(e.Record().HolderIdentity, "leads:", e.Leading())
	})
	fmt.Println(err)
	// Output:
	// scheduler-1 leads: true
	// <nil>
}
