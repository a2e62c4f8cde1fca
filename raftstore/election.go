package raftstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Leader election as Kubernetes does it: candidates compete for one record,
// the lease. The holder rewrites it every RetryPeriod by compare-and-swap and
// stops leading when it has not succeeded for RenewDeadline. The others take
// over when they have seen no change for the lease's duration, by their own
// clock: the times inside the record are for people, and are never compared
// with a local clock, so that clocks may differ by any amount. They must run at
// the same rate within LeaseDuration / RenewDeadline.
//
// This alone does not fence: a leader that is paused between Leading and its act
// can act beside its successor (Jepsen, etcd 3.4.3; kubernetes#23731). Writes into
// the store that keeps the lease are fenced by a transaction that compares the
// lease's modification revision with Revision.

// LeaseRecord is what candidates compete for, with the fields of a
// coordination.k8s.io/v1 Lease's spec.
type LeaseRecord struct {
	HolderIdentity       string `json:"holderIdentity"`
	LeaseDurationSeconds int32  `json:"leaseDurationSeconds"`
	// AcquireTime and RenewTime are the holder's clock, for people to read.
	AcquireTime LeaseTime `json:"acquireTime"`
	RenewTime   LeaseTime `json:"renewTime"`
	// LeaseTransitions counts the changes of the holder.
	LeaseTransitions int32 `json:"leaseTransitions"`
}

// LeaseTime is a time in Kubernetes' MicroTime form: RFC 3339 with six digits
// of a second, null when zero.
type LeaseTime struct{ time.Time }

const leaseTimeLayout = "2006-01-02T15:04:05.000000Z07:00"

// MarshalJSON writes the time in UTC.
func (t LeaseTime) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(t.UTC().Format(leaseTimeLayout))
}

// UnmarshalJSON reads any RFC 3339 time.
func (t *LeaseTime) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		t.Time = time.Time{}
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("time %.64s: expected an RFC 3339 string", b)
	}
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("time %.64q: expected RFC 3339", text)
	}
	t.Time = parsed
	return nil
}

// LeaseStore keeps the record: one key of a store. Both calls must return when
// ctx ends.
type LeaseStore interface {
	// LoadLease returns the record and its modification revision, which is 0
	// when there is no record.
	LoadLease(ctx context.Context) (value []byte, revision int64, err error)
	// SwapLease stores value if the modification revision still is revision, and
	// returns the new one. An error leaves open whether it has been stored.
	SwapLease(ctx context.Context, value []byte, revision int64) (newRevision int64, swapped bool, err error)
}

// ElectionConfig says who competes, and how patiently.
type ElectionConfig struct {
	// Identity names the candidate. It must be unique and not empty.
	Identity string
	// LeaseDuration is how long others wait, from the last change they saw,
	// before they take over; 0 is 15 s. It is written in whole seconds, rounded
	// up. More means a longer gap after a crash.
	LeaseDuration time.Duration
	// RenewDeadline is how long the leader goes on without a successful
	// renewal, counted from the start of the last one; 0 is 10 s. It must be
	// below LeaseDuration.
	RenewDeadline time.Duration
	// RetryPeriod is the time between attempts; 0 is 2 s. RenewDeadline must
	// be above 1.2 of it.
	RetryPeriod time.Duration
	// CallTimeout bounds each call of the store; 0 is half of RenewDeadline,
	// which it must stay below.
	CallTimeout time.Duration
	// Release gives the lease up when Run ends, so that others need not wait.
	Release bool
	// Seed spreads the attempts of the candidates (up to 1.2 RetryPeriod).
	Seed uint64
	// OnNewLeader, if set, is called by Run with each new holder it sees.
	OnNewLeader func(identity string)
	// Now and Sleep are the clock; nil is the real one. Sleep returns ctx's
	// error when it ends first.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
	// Logger gets failed attempts; nil is silent.
	Logger *slog.Logger
}

// Errors of an election.
var (
	// ErrElectionConfig is returned by NewElection for a value out of range.
	ErrElectionConfig = errors.New("raftstore: invalid election config")
	// ErrLeadershipLost is returned by Run when the lease could not be renewed
	// in time, or somebody else holds it.
	ErrLeadershipLost = errors.New("raftstore: leadership lost")
	// ErrLeaseRecord is met when the key holds something that is no record.
	ErrLeaseRecord = errors.New("raftstore: invalid lease record")
)

// electionJitter is client-go's: attempts to acquire are spread over
// [RetryPeriod, 2.2 RetryPeriod).
const electionJitter = 1.2

func (c ElectionConfig) withDefaults() ElectionConfig {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&c.LeaseDuration, 15*time.Second)
	set(&c.RenewDeadline, 10*time.Second)
	set(&c.RetryPeriod, 2*time.Second)
	set(&c.CallTimeout, c.RenewDeadline/2)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = sleepContext
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c *ElectionConfig) validate() error {
	bad := func(field string, value any, expected string) error {
		return fmt.Errorf("%w: %s = %v, expected %s", ErrElectionConfig, field, value, expected)
	}
	switch {
	case c.Identity == "":
		return bad("Identity", `""`, "a name")
	case c.RetryPeriod <= 0:
		return bad("RetryPeriod", c.RetryPeriod, "a positive duration")
	case float64(c.RenewDeadline) <= electionJitter*float64(c.RetryPeriod):
		return bad("RenewDeadline", c.RenewDeadline, fmt.Sprintf("more than 1.2 × RetryPeriod (%v)", c.RetryPeriod))
	case c.LeaseDuration <= c.RenewDeadline:
		return bad("LeaseDuration", c.LeaseDuration, fmt.Sprintf("more than RenewDeadline (%v)", c.RenewDeadline))
	case c.LeaseDuration > (1<<31-1)*time.Second:
		return bad("LeaseDuration", c.LeaseDuration, "at most 2147483647 s")
	case c.CallTimeout <= 0 || c.CallTimeout >= c.RenewDeadline:
		return bad("CallTimeout", c.CallTimeout, fmt.Sprintf("between 0 and RenewDeadline (%v)", c.RenewDeadline))
	}
	return nil
}

func sleepContext(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ballot is the pure part of an election: what a candidate has seen of the
// record, and what follows from that at a given time.
type ballot struct {
	identity string
	duration time.Duration // of a lease that this candidate takes

	record   LeaseRecord
	revision int64     // of the record; 0 is none
	changed  time.Time // when revision was first seen, by the local clock
}

// observe takes note of the record as loaded at a time.
func (b *ballot) observe(now time.Time, value []byte, revision int64) error {
	if revision == b.revision && revision != 0 {
		return nil
	}
	if revision == 0 {
		b.record, b.revision, b.changed = LeaseRecord{}, 0, now
		return nil
	}
	var record LeaseRecord
	if err := json.Unmarshal(value, &record); err != nil {
		return fmt.Errorf("%w: %.128q: %v", ErrLeaseRecord, value, err)
	}
	b.record, b.revision, b.changed = record, revision, now
	return nil
}

func (b *ballot) held() bool { return b.record.HolderIdentity == b.identity }

// expired reports that the record has not changed for its whole duration.
func (b *ballot) expired(now time.Time) bool {
	return !now.Before(b.changed.Add(time.Duration(b.record.LeaseDurationSeconds) * time.Second))
}

// propose returns the record to write, if the candidate may take or keep the
// lease: it is its own, or nobody's, or has expired.
func (b *ballot) propose(now time.Time) (LeaseRecord, bool) {
	stamp := LeaseTime{now}
	next := LeaseRecord{
		HolderIdentity:       b.identity,
		LeaseDurationSeconds: int32((b.duration + time.Second - 1) / time.Second),
		AcquireTime:          stamp,
		RenewTime:            stamp,
	}
	switch {
	case b.revision == 0:
		return next, true
	case b.held():
		next.AcquireTime = b.record.AcquireTime
		next.LeaseTransitions = b.record.LeaseTransitions
		return next, true
	case b.record.HolderIdentity != "" && !b.expired(now):
		return LeaseRecord{}, false
	}
	next.LeaseTransitions = b.record.LeaseTransitions + 1
	return next, true
}

// accept takes note of a record that the candidate has written.
func (b *ballot) accept(now time.Time, record LeaseRecord, revision int64) {
	b.record, b.revision, b.changed = record, revision, now
}

// Election is one candidate's part in an election.
type Election struct {
	config ElectionConfig
	store  LeaseStore
	random *rand.Rand

	ballot   ballot // used by Run alone
	reported string // holder last passed to OnNewLeader

	mu       sync.Mutex
	record   LeaseRecord // copies of the ballot's for other goroutines
	revision int64
	renewed  time.Time // start of the last successful renewal; zero: not leading
}

// NewElection checks the configuration and returns a candidate that does not
// compete before Run.
func NewElection(store LeaseStore, config ElectionConfig) (*Election, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	return &Election{
		config: config,
		store:  store,
		random: rand.New(rand.NewPCG(config.Seed, 0)),
		ballot: ballot{identity: config.Identity, duration: config.LeaseDuration},
	}, nil
}

// Leading reports whether the candidate may act as the leader now: its lease
// has been renewed less than RenewDeadline ago. Ask before every act.
func (e *Election) Leading() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.renewed.IsZero() && e.config.Now().Before(e.renewed.Add(e.config.RenewDeadline))
}

// Record returns the record as the candidate last saw it.
func (e *Election) Record() LeaseRecord {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.record
}

// Revision returns the modification revision that the lease has since the
// candidate's last renewal, or 0 when it does not lead. A transaction that
// compares it with the lease's is applied only while nobody has taken the lease
// over. A renewal in between makes it fail as well: ask again, if still Leading.
func (e *Election) Revision() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.renewed.IsZero() {
		return 0
	}
	return e.revision
}

// Run competes until the candidate leads, calls lead, and renews the lease
// meanwhile. The context of lead ends when the lease is lost or ctx ends; Run
// returns after lead has: with nil when lead came to its end by itself,
// ErrLeadershipLost, or ctx's error. Calling it again competes again.
func (e *Election) Run(ctx context.Context, lead func(ctx context.Context)) error {
	if err := e.acquire(ctx); err != nil {
		return err
	}
	leadCtx, stop := context.WithCancel(ctx)
	defer stop()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		defer stop()
		lead(leadCtx)
	}()
	err := e.renew(leadCtx)
	stop()
	<-finished
	e.step(time.Time{})
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if e.config.Release && !errors.Is(err, ErrLeadershipLost) {
		e.release(context.WithoutCancel(ctx))
	}
	return err
}

// acquire tries until it holds the lease.
func (e *Election) acquire(ctx context.Context) error {
	for {
		if e.attempt(ctx, e.config.CallTimeout) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		spread := 1 + electionJitter*e.random.Float64()
		if err := e.config.Sleep(ctx, time.Duration(float64(e.config.RetryPeriod)*spread)); err != nil {
			return err
		}
	}
}

// renew keeps the lease. It returns nil when ctx ends.
func (e *Election) renew(ctx context.Context) error {
	for {
		left := e.deadline().Sub(e.config.Now())
		if left <= 0 {
			return fmt.Errorf("%w: not renewed for %v", ErrLeadershipLost, e.config.RenewDeadline)
		}
		if e.config.Sleep(ctx, min(e.config.RetryPeriod, left)) != nil {
			return nil
		}
		left = e.deadline().Sub(e.config.Now())
		if left > 0 && !e.attempt(ctx, min(e.config.CallTimeout, left)) && !e.ballot.held() {
			return fmt.Errorf("%w: held by %q", ErrLeadershipLost, e.ballot.record.HolderIdentity)
		}
	}
}

func (e *Election) deadline() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.renewed.Add(e.config.RenewDeadline)
}

// attempt tries once to take or keep the lease.
func (e *Election) attempt(ctx context.Context, timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ok, err := e.swap(ctx)
	if err != nil && ctx.Err() == nil || errors.Is(err, ErrLeaseRecord) {
		e.config.Logger.Warn("lease not taken", "identity", e.config.Identity, "err", err)
	}
	e.report()
	return ok
}

func (e *Election) swap(ctx context.Context) (bool, error) {
	if e.ballot.held() && e.ballot.revision != 0 {
		// The holder knows the revision: it need not read first.
		if ok, err := e.write(ctx); ok || err != nil {
			return ok, err
		}
	}
	value, revision, err := e.store.LoadLease(ctx)
	if err != nil {
		return false, fmt.Errorf("load lease: %w", err)
	}
	if err := e.ballot.observe(e.config.Now(), value, revision); err != nil {
		return false, err
	}
	return e.write(ctx)
}

// write proposes a record, if the ballot allows one. The lease counts from the
// time before the call: nobody can have seen the record earlier.
func (e *Election) write(ctx context.Context) (bool, error) {
	now := e.config.Now()
	record, ok := e.ballot.propose(now)
	if !ok {
		return false, nil
	}
	value, err := json.Marshal(record)
	if err != nil {
		return false, err
	}
	revision, swapped, err := e.store.SwapLease(ctx, value, e.ballot.revision)
	if err != nil || !swapped {
		return false, err
	}
	e.ballot.accept(now, record, revision)
	e.step(now)
	return true, nil
}

// step publishes the state to other goroutines.
func (e *Election) step(renewed time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.record, e.revision = e.ballot.record, e.ballot.revision
	e.renewed = renewed
}

func (e *Election) report() {
	holder := e.ballot.record.HolderIdentity
	e.mu.Lock()
	e.record = e.ballot.record
	e.mu.Unlock()
	if holder == e.reported {
		return
	}
	e.reported = holder
	if e.config.OnNewLeader != nil && holder != "" {
		e.config.OnNewLeader(holder)
	}
}

// release writes a record without a holder, which anybody may take at once. A
// renewal that was cut short may have been stored after all, so that a lost
// swap is worth another look.
func (e *Election) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.config.CallTimeout)
	defer cancel()
	for range 2 {
		if !e.ballot.held() {
			break
		}
		swapped, err := e.swapReleased(ctx)
		if swapped {
			break
		}
		var value []byte
		var revision int64
		if err == nil {
			value, revision, err = e.store.LoadLease(ctx)
		}
		if err == nil {
			err = e.ballot.observe(e.config.Now(), value, revision)
		}
		if err != nil {
			e.config.Logger.Warn("lease not released", "identity", e.config.Identity, "err", err)
			break
		}
	}
	e.report()
}

func (e *Election) swapReleased(ctx context.Context) (bool, error) {
	now := e.config.Now()
	stamp := LeaseTime{now}
	record := LeaseRecord{
		LeaseDurationSeconds: 1,
		AcquireTime:          stamp,
		RenewTime:            stamp,
		LeaseTransitions:     e.ballot.record.LeaseTransitions,
	}
	value, err := json.Marshal(record)
	if err != nil {
		return false, err
	}
	revision, swapped, err := e.store.SwapLease(ctx, value, e.ballot.revision)
	if swapped {
		e.ballot.accept(now, record, revision)
	}
	return swapped, err
}
