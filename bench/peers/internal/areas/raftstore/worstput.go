package raftstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/raftstore"
)

// worstPutRow is the longest of the puts that one client does while the leader
// writes all its keys to a file: ours when the log asks for a snapshot, with half a
// second behind it, in which the log is shortened; etcd when a backup is taken (its own
// snapshots are in its database already).
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
	// during starts the writing of a snapshot and returns what tells when it is done, and
	// since when it was written; that may lie behind the first puts.
	during func() (done func() (since time.Time, ended bool, err error), err error)
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
	type put struct {
		end  time.Time
		took time.Duration
	}
	var puts []put
	var since time.Time
	value := make([]byte, valueBytes)
	return measure.Timed(func() (int, error) {
		w.puts = 0
		done, err := w.during()
		if err != nil {
			return 0, err
		}
		for ; ; w.puts++ {
			ended := false
			if since, ended, err = done(); ended || err != nil {
				return w.puts, err
			}
			start := time.Now()
			if err := w.store.put(ctx, keyOf(w.puts%1000), value); err != nil {
				return 0, err
			}
			puts = append(puts, put{time.Now(), time.Since(start)})
		}
	}, func(time.Duration, int) float64 {
		worst := time.Duration(0)
		for _, p := range puts {
			if p.end.After(since) {
				worst = max(worst, p.took)
			}
		}
		return float64(worst.Microseconds()) / 1000
	})
}

func (w *worstPut) check() error {
	return everyOneARevision(context.Background(), w.store, w.before, w.puts)
}

// snapshots remembers those that a member has written.
type snapshots struct {
	raftstore.Unobserved
	mu sync.Mutex
	// begun and ended are of the last one.
	begun, ended time.Time
}

// SnapshotWritten implements raftstore.Observer.
func (s *snapshots) SnapshotWritten(_ uint64, took time.Duration, err error) {
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = time.Now()
	s.begun = s.ended.Add(-took)
}

// afterSnapshot is how long what follows a snapshot may take.
const afterSnapshot = 500 * time.Millisecond

// snapshot waits until the leader has finished one that began after this call: the puts
// themselves bring it about.
func (c *ourCluster) snapshot() (func() (time.Time, bool, error), error) {
	called := time.Now()
	written := &c.written[slices.Index(c.stores, c.leader)]
	return func() (time.Time, bool, error) {
		written.mu.Lock()
		defer written.mu.Unlock()
		return written.begun, written.begun.After(called) && time.Since(written.ended) > afterSnapshot, nil
	}, nil
}

// backup writes the leader's database to a file.
func (c *etcdCluster) backup() (func() (time.Time, bool, error), error) {
	begun := time.Now()
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
	return func() (time.Time, bool, error) {
		select {
		case err := <-ended:
			return begun, true, err
		default:
			return begun, false, nil
		}
	}, nil
}
