package raftstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// A Mutex is a queue of keys below a prefix, each bound to the lease of its owner. Who
// has the lowest create revision holds the lock; everybody else waits for the key just
// before to go, so that nobody is woken for nothing. The keys are those of etcd's own
// recipe, so that both can wait in one queue.
//
//	prefix/5a17  create 12  ◄── holds the lock, token 12
//	prefix/01c3  create 15  ◄── waits for prefix/5a17
//	prefix/77e0  create 19  ◄── waits for prefix/01c3
//
// A lock with a time limit does not exclude by itself: its owner may be paused for
// longer than the lease lives, and go on as if nothing had happened (Jepsen found it in
// etcd 3.4.3). What excludes is the token, which grows with every owner. A Hold's own
// writes compare it, in the same transaction; other resources must remember the
// highest token they have seen, and refuse lower ones.

// ErrLockLost is matched when a lock is not held any more: its lease has expired, or
// somebody has deleted its key.
var ErrLockLost = errors.New("raftstore: lock lost")

// ErrMutexConfig is returned by NewMutex for a value out of range.
var ErrMutexConfig = errors.New("raftstore: invalid mutex config")

// LeasedKV is what a Mutex works on. *Store is one.
type LeasedKV interface {
	KV
	Leaser
}

// MutexConfig says which lock it is and how it is held.
type MutexConfig struct {
	// Prefix names the lock. Nobody else may write below it.
	Prefix []byte
	// TTL is how many seconds the lock outlives an owner that has died; 0 is 60.
	// Less makes others wait less, and pauses more often fatal.
	TTL int64
	// Now and Sleep are the clock; nil is the real one. Sleep returns ctx's error when
	// it ends first.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
}

const defaultMutexTTL = 60

// Mutex is a lock. It has no state of its own: it can be locked several times, also
// by one process, and each Lock waits for the Unlock of all before it.
type Mutex struct {
	kv     LeasedKV
	config MutexConfig
}

// NewMutex returns a lock on a store.
func NewMutex(kv LeasedKV, config MutexConfig) (*Mutex, error) {
	if config.TTL == 0 {
		config.TTL = defaultMutexTTL
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Sleep == nil {
		config.Sleep = sleepContext
	}
	switch {
	case len(config.Prefix) == 0:
		return nil, fmt.Errorf("%w: Prefix is empty, expected a name", ErrMutexConfig)
	case config.TTL < 0 || config.TTL > mvcc.MaxLeaseTTL:
		return nil, fmt.Errorf("%w: TTL is %d, expected 0 to %d", ErrMutexConfig, config.TTL, int64(mvcc.MaxLeaseTTL))
	}
	config.Prefix = append(bytes.Clone(config.Prefix), '/')
	return &Mutex{kv: kv, config: config}, nil
}

// Hold is a lock that is held. It keeps its lease alive until Unlock.
type Hold struct {
	kv     LeasedKV
	config *MutexConfig
	key    []byte
	lease  Lease
	token  int64

	// alive ends when the lease cannot be kept any more, or with Unlock.
	alive   context.Context
	end     context.CancelFunc
	renewal sync.WaitGroup
}

// Lock waits until the lock is held, or ctx ends, or the lease that the place in the
// queue depends on cannot be kept (ErrLockLost).
func (m *Mutex) Lock(ctx context.Context) (*Hold, error) {
	asked := m.config.Now()
	lease, err := m.kv.Grant(ctx, 0, m.config.TTL)
	if err != nil {
		return nil, err
	}
	h := &Hold{kv: m.kv, config: &m.config, lease: lease}
	h.key = fmt.Appendf(bytes.Clone(m.config.Prefix), "%x", lease.ID)
	h.alive, h.end = context.WithCancel(context.Background())
	h.renewal.Go(func() { h.renew(asked) })
	if err := h.acquire(ctx); err != nil {
		// Whether or not the key was put: without the lease there is none.
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
		defer cancel()
		if give := h.Unlock(short); give != nil {
			err = fmt.Errorf("%w (others wait until the lease expires: %v)", err, give)
		}
		return nil, err
	}
	return h, nil
}

// unlockTimeout bounds how long a Lock that has failed tries to clear its place.
const unlockTimeout = 2 * time.Second

// acquire takes a place in the queue and waits until it is the first.
func (h *Hold) acquire(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(h.alive, func() { cancel(ErrLockLost) })()
	if err := h.enqueue(ctx); err != nil {
		return err
	}
	for {
		before, revision, err := h.predecessor(ctx)
		if err != nil || before == nil {
			return err
		}
		if err := h.awaitDeletion(ctx, before, revision); err != nil {
			return err
		}
	}
}

// enqueue puts the key, which nobody else can have put: so it may be tried again when
// the outcome is unknown.
func (h *Hold) enqueue(ctx context.Context) error {
	for {
		r, err := h.kv.Txn(ctx, Txn{
			If:   []Compare{{Target: CompareCreateRevision, Operator: Equal, Key: h.key}},
			Then: []Op{{Put: &PutRequest{Key: h.key, Lease: h.lease.ID}}},
			Else: []Op{{Range: &RangeOptions{Key: h.key}}},
		})
		switch {
		case errors.Is(err, mvcc.ErrLeaseNotFound):
			return fmt.Errorf("%w: %w", ErrLockLost, err)
		case errors.Is(err, ErrUnknownOutcome) && ctx.Err() == nil && !errors.Is(err, ErrClosed):
			continue
		case err != nil:
			return err
		case r.Succeeded:
			h.token = r.Revision
		default:
			h.token = r.Results[0].Range.KVs[0].CreateRevision
		}
		return nil
	}
}

// predecessor returns the key just before this one in the queue, nil if there is none,
// and the revision at which it was so. Its own key must still be there: its lease may
// have expired while it waited.
func (h *Hold) predecessor(ctx context.Context) (before []byte, revision int64, err error) {
	prefix := h.config.Prefix
	r, err := h.kv.Txn(ctx, Txn{
		If: []Compare{{Target: CompareCreateRevision, Operator: Equal, Key: h.key, Number: h.token}},
		Then: []Op{{Range: &RangeOptions{
			Key: prefix, End: PrefixEnd(prefix), MaxCreateRevision: h.token - 1,
			SortTarget: mvcc.SortByCreateRevision, SortOrder: mvcc.SortDescend, Limit: 1, KeysOnly: true,
		}}},
	})
	switch {
	case err != nil:
		return nil, 0, err
	case !r.Succeeded:
		return nil, 0, h.gone()
	case len(r.Results[0].Range.KVs) == 0:
		return nil, r.Revision, nil
	}
	return r.Results[0].Range.KVs[0].Key, r.Revision, nil
}

// awaitDeletion waits until a key that existed at a revision is deleted. It may return
// early.
func (h *Hold) awaitDeletion(ctx context.Context, key []byte, revision int64) error {
	w, err := h.kv.Watch(ctx, WatchOptions{Key: key, StartRevision: revision + 1, NoPut: true})
	if errors.Is(err, mvcc.ErrCompacted) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		batch, err := w.Next(ctx)
		if errors.Is(err, mvcc.ErrCompacted) || err == nil && len(batch.Events) > 0 {
			return nil
		}
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// renew keeps the lease alive, every third of its life, and ends the Hold when that has
// not worked for a whole one: counted from before the call that has worked last, so that
// it ends here before it ends in the store.
func (h *Hold) renew(renewed time.Time) {
	defer h.end()
	life := time.Duration(h.lease.TTL) * time.Second
	pause := life / 3
	for {
		left := renewed.Add(life).Sub(h.config.Now())
		if left <= 0 || h.config.Sleep(h.alive, min(pause, left)) != nil {
			return
		}
		begun := h.config.Now()
		if left = renewed.Add(life).Sub(begun); left <= 0 {
			return
		}
		ctx, cancel := context.WithTimeout(h.alive, left)
		_, err := h.kv.KeepAlive(ctx, h.lease.ID)
		cancel()
		switch {
		case err == nil:
			renewed, pause = begun, life/3
		case errors.Is(err, mvcc.ErrLeaseNotFound) || h.alive.Err() != nil:
			return
		default:
			pause = max(life/30, time.Millisecond)
		}
	}
}

// Token is the fencing token: the create revision of the key. Every later owner has a
// higher one.
func (h *Hold) Token() int64 { return h.token }

// Key is the owner's key. It exists as long as the lock is held, and nobody else's has
// the same create revision.
func (h *Hold) Key() []byte { return h.key }

// Lost is closed when the lock may be held by somebody else, or was given back. Not to
// be closed is no promise: only a write that compares the token knows.
func (h *Hold) Lost() <-chan struct{} { return h.alive.Done() }

// Txn runs a transaction if the lock is still held when it is applied, and changes
// nothing otherwise (ErrLockLost).
func (h *Hold) Txn(ctx context.Context, t Txn) (TxnResult, error) {
	r, err := h.kv.Txn(ctx, Txn{
		If:   []Compare{{Target: CompareCreateRevision, Operator: Equal, Key: h.key, Number: h.token}},
		Then: []Op{{Txn: &t}},
	})
	if err != nil {
		return TxnResult{}, err
	}
	if !r.Succeeded {
		return TxnResult{}, errors.Join(ErrNotApplied, h.gone())
	}
	inner := *r.Results[0].Txn
	inner.Revision = r.Revision
	return inner, nil
}

// Put is KV.Put, if the lock is still held when it is applied.
func (h *Hold) Put(ctx context.Context, p PutRequest) (PutResult, error) {
	r, err := h.Txn(ctx, Txn{Then: []Op{{Put: &p}}})
	if err != nil {
		return PutResult{}, err
	}
	return *r.Results[0].Put, nil
}

// DeleteRange is KV.DeleteRange, if the lock is still held when it is applied.
func (h *Hold) DeleteRange(ctx context.Context, d DeleteRequest) (DeleteResult, error) {
	r, err := h.Txn(ctx, Txn{Then: []Op{{Delete: &d}}})
	if err != nil {
		return DeleteResult{}, err
	}
	return *r.Results[0].Delete, nil
}

// Unlock gives the lock back. After an error others have to wait until the lease
// expires, unless it is called again. A lock that was lost before is no error.
func (h *Hold) Unlock(ctx context.Context) error {
	h.end()
	h.renewal.Wait()
	_, err := h.kv.Revoke(ctx, h.lease.ID)
	if errors.Is(err, mvcc.ErrLeaseNotFound) {
		return nil
	}
	return err
}

func (h *Hold) gone() error {
	return fmt.Errorf("%w: key %q of create revision %d is gone", ErrLockLost, h.key, h.token)
}
