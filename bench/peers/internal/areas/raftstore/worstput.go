package raftstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
)

// worstPutRow is the longest of the puts that one client does while the leader
// writes all its keys to a file: ours when the log asks for a snapshot, etcd when
// a backup is taken (its own snapshots are in its database already).
func worstPutRow(keys int) measure.Row {
	return measure.Row{Name: fmt.Sprintf("put-max-during-snapshot/keys=%d", keys), Unit: "ms", Open: func() (*measure.Pair, error) {
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
		a, b := &worstPut{store: ours, during: ours.snapshot}, &worstPut{store: etcdDirect{etcd.leader.Server}, during: etcd.backup}
		return &measure.Pair{Ours: a.measure, Peer: b.measure, Close: closeAll, Check: func() error {
			return errors.Join(a.check(), b.check())
		}}, nil
	}}
}

// worstPut is one side of the row.
type worstPut struct {
	store store
	// during starts the writing of a snapshot and returns what tells when it is done.
	during func() (done func() (bool, error), err error)
	before int64
	puts   int
}

func (w *worstPut) measure() (measure.Sample, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*callTimeout)
	defer cancel()
	var err error
	if w.before, err = w.store.revision(ctx); err != nil {
		return measure.Sample{}, err
	}
	worst, value := time.Duration(0), make([]byte, valueBytes)
	return measure.Timed(func() (int, error) {
		w.puts = 0
		done, err := w.during()
		if err != nil {
			return 0, err
		}
		for ; ; w.puts++ {
			if ended, err := done(); ended || err != nil {
				return w.puts, err
			}
			start := time.Now()
			if err := w.store.put(ctx, keyOf(w.puts%1000), value); err != nil {
				return 0, err
			}
			worst = max(worst, time.Since(start))
		}
	}, func(time.Duration, int) float64 { return float64(worst.Microseconds()) / 1000 })
}

func (w *worstPut) check() error {
	return everyOneARevision(context.Background(), w.store, w.before, w.puts)
}

// snapshot waits until the leader has finished two, the second of which it has
// then written from beginning to end: the puts themselves bring it about.
func (c *ourCluster) snapshot() (func() (bool, error), error) {
	last, finished := c.leader.Status().SnapshotIndex, 0
	return func() (bool, error) {
		if now := c.leader.Status().SnapshotIndex; now != last {
			last = now
			finished++
		}
		return finished == 2, nil
	}, nil
}

// backup writes the leader's database to a file.
func (c *etcdCluster) backup() (func() (bool, error), error) {
	f, err := os.Create(filepath.Join(c.dir, "backup"))
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() {
		snapshot := c.leader.Server.Backend().Snapshot()
		_, err := snapshot.WriteTo(f)
		ended <- errors.Join(err, f.Sync(), snapshot.Close(), f.Close())
	}()
	return func() (bool, error) {
		select {
		case err := <-ended:
			return true, err
		default:
			return false, nil
		}
	}, nil
}
