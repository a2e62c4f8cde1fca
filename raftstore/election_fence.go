package raftstore

import (
	"context"
	"errors"
	"fmt"
)

// LeaseKey keeps the record of an election in one key of a KV.
func LeaseKey(kv KV, key []byte) LeaseStore { return leaseKey{kv: kv, key: key} }

type leaseKey struct {
	kv  KV
	key []byte
}

func (l leaseKey) LoadLease(ctx context.Context) (value []byte, revision int64, err error) {
	pair, ok, err := Get(ctx, l.kv, l.key)
	if err != nil || !ok {
		return nil, 0, err
	}
	return pair.Value, pair.ModRevision, nil
}

func (l leaseKey) SwapLease(ctx context.Context, value []byte, revision int64) (newRevision int64, swapped bool, err error) {
	return CompareAndSwap(ctx, l.kv, l.key, value, revision)
}

// FencedTxn runs a transaction only while e leads, as far as the store itself
// can tell: in the same revision it compares the election's record, kept in key,
// with the one that e has written last. A leader that was paused while somebody
// took over gets ErrLeadershipLost, and has changed nothing.
//
// A renewal between the reading of Revision and the transaction makes the
// comparison fail without any loss; then it is made again.
func FencedTxn(ctx context.Context, kv KV, e *Election, key []byte, t Txn) (TxnResult, error) {
	for {
		seen := e.Revision()
		if seen == 0 || !e.Leading() {
			return TxnResult{}, lostBefore(key)
		}
		r, err := kv.Txn(ctx, Txn{
			If:   []Compare{{Target: CompareModRevision, Operator: Equal, Key: key, Number: seen}},
			Then: []Op{{Txn: &t}},
			Else: []Op{{Range: &RangeOptions{Key: key, KeysOnly: true}}},
		})
		if err != nil {
			return TxnResult{}, err
		}
		if r.Succeeded {
			inner := *r.Results[0].Txn
			inner.Revision = r.Revision
			return inner, nil
		}
		now := int64(0)
		if kvs := r.Results[0].Range.KVs; len(kvs) > 0 {
			now = kvs[0].ModRevision
		}
		if err := e.awaitRevision(ctx, now, key); err != nil {
			return TxnResult{}, err
		}
	}
}

// awaitRevision waits until the candidate knows that it has written the record
// at a revision, as it does when a renewal is on its way back. Somebody else's
// record never becomes its own.
func (e *Election) awaitRevision(ctx context.Context, revision int64, key []byte) error {
	for e.Leading() {
		if e.Revision() >= revision && revision != 0 {
			return nil
		}
		if err := e.config.Sleep(ctx, e.config.RetryPeriod/100+1); err != nil {
			return errors.Join(ErrNotApplied, err)
		}
	}
	return lostBefore(key)
}

func lostBefore(key []byte) error {
	return fmt.Errorf("%w: %w: the lease in %q is not ours", ErrNotApplied, ErrLeadershipLost, key)
}
