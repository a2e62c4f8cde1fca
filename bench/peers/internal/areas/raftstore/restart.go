package raftstore

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/raftstore"
)

// restartRow is the time from opening three members that hold so many keys to
// their first linearizable answer.
func restartRow(keys int) measure.Row {
	return measure.Row{Name: fmt.Sprintf("restart/keys=%d", keys), Unit: "ms", Open: func() (*measure.Pair, error) {
		ours, err := openOurs()
		if err != nil {
			return nil, err
		}
		etcd, err := openEtcd()
		if err != nil {
			ours.close()
			return nil, err
		}
		closeAll := func() { ours.close(); etcd.close() }
		for _, put := range []func(ctx context.Context, from, to int) error{ours.putMany, etcd.putMany} {
			if err := fillBatches(keys, put); err != nil {
				closeAll()
				return nil, fmt.Errorf("prepare: %w", err)
			}
		}
		var ourCount, etcdCount int64
		return &measure.Pair{
			Ours: restart(ours.stop, ours.start, ours.total, &ourCount),
			Peer: restart(etcd.stop, etcd.start, etcd.total, &etcdCount),
			Check: func() error {
				if ourCount != int64(keys) || etcdCount != int64(keys) {
					return fmt.Errorf("ours came back with %d keys, etcd with %d, want %d", ourCount, etcdCount, keys)
				}
				return nil
			},
			Close: closeAll,
		}, nil
	}}
}

func restart(stop func(), start func() error, total func(ctx context.Context) (int64, error), count *int64) measure.Side {
	return func() (measure.Sample, error) {
		stop()
		return measure.Timed(func() (int, error) {
			err := start()
			if err == nil {
				*count, err = total(context.Background())
			}
			return 1, err
		}, func(elapsed time.Duration, _ int) float64 { return float64(elapsed.Microseconds()) / 1000 })
	}
}

// fillBatches puts keys in transactions, a hundred in each.
func fillBatches(keys int, put func(ctx context.Context, from, to int) error) error {
	const batch = 100
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	return each((keys+batch-1)/batch, func(i int) error {
		return put(ctx, i*batch, min(keys, (i+1)*batch))
	})
}

func (c *ourCluster) putMany(ctx context.Context, from, to int) error {
	var t raftstore.Txn
	for i := from; i < to; i++ {
		t.Then = append(t.Then, raftstore.Op{Put: &raftstore.PutRequest{Key: keyOf(i), Value: make([]byte, valueBytes)}})
	}
	_, err := c.leader.Txn(ctx, t)
	return err
}

func (c *etcdCluster) putMany(ctx context.Context, from, to int) error {
	t := &pb.TxnRequest{}
	for i := from; i < to; i++ {
		put := &pb.PutRequest{Key: keyOf(i), Value: make([]byte, valueBytes)}
		t.Success = append(t.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
	}
	_, err := c.leader.Server.Txn(ctx, t)
	return err
}

// total counts all keys, linearizably.
func (c *ourCluster) total(ctx context.Context) (int64, error) {
	r, err := c.leader.Range(ctx, raftstore.RangeOptions{Key: []byte{0}, End: []byte{0}, CountOnly: true})
	return r.Count, err
}

func (c *etcdCluster) total(ctx context.Context) (int64, error) {
	r, err := c.leader.Server.Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true})
	if err != nil {
		return 0, err
	}
	return r.Count, nil
}
