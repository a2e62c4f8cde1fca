package raftstore

import (
	"context"
	"fmt"
	"os"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/raftstore"
)

// restartRow is the time from opening one member that holds so many keys, all
// of its cluster, to its first linearizable answer.
func restartRow(keys int) measure.Row {
	return measure.Row{Name: fmt.Sprintf("restart/keys=%d", keys), Unit: "ms", Open: func() (*measure.Pair, error) {
		dir, err := os.MkdirTemp("", "ratios-restart")
		if err != nil {
			return nil, err
		}
		return restartPair(keys,
			&soleRestart{open: func() (sole, error) { return openSoleOurs(dir) }},
			&soleRestart{open: func() (sole, error) { return openSoleEtcd(dir) }},
			func() { _ = os.RemoveAll(dir) })
	}}
}

// restartAllRow is the same for a cluster of three members, all of which are opened
// at once.
func restartAllRow(keys int) measure.Row {
	return measure.Row{Name: fmt.Sprintf("restart-all/keys=%d/members=3", keys), Unit: "ms", Open: func() (*measure.Pair, error) {
		ours, err := openOurs()
		if err != nil {
			return nil, err
		}
		etcd, err := openEtcd()
		if err != nil {
			ours.close()
			return nil, err
		}
		return restartPair(keys, ours, restartedEtcd{etcd}, func() { ours.close(); etcd.close() })
	}}
}

// restarted is one side of the rows.
type restarted interface {
	start() error
	stop()
	putMany(ctx context.Context, from, to int) error
	get(ctx context.Context, key []byte) (int, error)
	total(ctx context.Context) (int64, error)
}

type restartedEtcd struct{ *etcdCluster }

func (e restartedEtcd) get(ctx context.Context, key []byte) (int, error) {
	return etcdDirect{e.leader.Server}.get(ctx, key)
}

type soleRestart struct {
	open func() (sole, error)
	now  sole
}

func (r *soleRestart) start() (err error) { r.now, err = r.open(); return err }
func (r *soleRestart) stop() {
	if r.now.close != nil {
		r.now.close()
	}
	r.now = sole{}
}
func (r *soleRestart) putMany(ctx context.Context, from, to int) error {
	return r.now.putMany(ctx, from, to)
}
func (r *soleRestart) get(ctx context.Context, key []byte) (int, error) { return r.now.get(ctx, key) }
func (r *soleRestart) total(ctx context.Context) (int64, error)         { return r.now.total(ctx) }

// restartPair fills both sides, of which clusters run already and single members
// do not.
func restartPair(keys int, ours, etcd restarted, clean func()) (*measure.Pair, error) {
	closeAll := func() { ours.stop(); etcd.stop(); clean() }
	for _, side := range []restarted{ours, etcd} {
		var err error
		if one, ok := side.(*soleRestart); ok {
			err = one.start()
		}
		if err == nil {
			err = fillBatches(keys, side.putMany)
		}
		if err != nil {
			closeAll()
			return nil, fmt.Errorf("prepare: %w", err)
		}
	}
	return &measure.Pair{
		Ours: restart(ours, keys), Peer: restart(etcd, keys), Close: closeAll,
		Check: func() error {
			for i, side := range []restarted{ours, etcd} {
				if n, err := side.total(context.Background()); err != nil || n != int64(keys) {
					return fmt.Errorf("%s came back with %d keys, want %d: %w", [...]string{"ours", "etcd"}[i], n, keys, err)
				}
			}
			return nil
		},
	}, nil
}

func restart(side restarted, keys int) measure.Side {
	return func() (measure.Sample, error) {
		side.stop()
		return measure.Timed(func() (int, error) {
			if err := side.start(); err != nil {
				return 0, err
			}
			ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
			defer cancel()
			n, err := side.get(ctx, keyOf(keys/2))
			if err == nil && n != valueBytes {
				err = fmt.Errorf("a value of %d bytes, want %d", n, valueBytes)
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
