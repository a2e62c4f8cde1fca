package raftstore

import (
	"context"
	"fmt"
)

// The quota bounds the state. A member that is asked for a write that would bring
// its own state to the quota raises AlarmNoSpace and refuses; from then on the alarm,
// which is replicated, has every member refuse at apply what grows. So the quotas and
// the sizes of members need not agree, and neither decides what an entry does. Writes
// that are on their way when the alarm is raised may go somewhat beyond.

// What a write counts for besides its keys and values, in bytes, as in etcd.
const (
	pairOverheadBytes  = 256
	leaseOverheadBytes = 64
)

// defaultQuotaBytes is etcd's.
const defaultQuotaBytes = 2 << 30

func putCost(p *PutRequest) int64 { return pairOverheadBytes + int64(len(p.Key)+len(p.Value)) }

// txnCost is what a transaction may add: 0 when no path of it puts.
func txnCost(t *Txn) int64 { return max(opsCost(t.Then), opsCost(t.Else)) }

func opsCost(ops []Op) (sum int64) {
	for i := range ops {
		switch op := &ops[i]; {
		case op.Put != nil:
			sum += putCost(op.Put)
		case op.Txn != nil:
			sum += txnCost(op.Txn)
		}
	}
	return sum
}

// reserve refuses a write that the quota has no room for.
func (s *Store) reserve(ctx context.Context, cost int64) error {
	quota := s.cfg.QuotaBytes
	size := s.kv.SizeBytes()
	if cost == 0 || quota < 0 || size+cost < quota {
		return nil
	}
	err := fmt.Errorf("%w: the state takes %d bytes and the write up to %d, the quota is %d", ErrNoSpace, size, cost, quota)
	if !s.alarms.raised(AlarmNoSpace) {
		// Also without the alarm, which others may have to raise, the write is refused.
		if alarm := s.RaiseAlarm(ctx, Alarm{Member: s.node.replica.id, Type: AlarmNoSpace}); alarm != nil {
			err = fmt.Errorf("%w; no alarm was raised: %v", err, alarm)
		}
	}
	return err
}
