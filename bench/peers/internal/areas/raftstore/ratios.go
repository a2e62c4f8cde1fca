package raftstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
)

// Ratios measures a cluster of three members against one of etcd.
func Ratios() measure.Area {
	var rows []measure.Row
	for _, clients := range []int{1, 64, 1000} {
		for _, peer := range []string{direct, client, hashicorp} {
			rows = append(rows, row(fmt.Sprintf("put/clients=%d", clients), peer, "puts/s", putLoad(clients)))
		}
	}
	rows = append(rows,
		row("get-linearizable/clients=64", direct, "gets/s", getLoad(64)),
		row("range/keys=1000", client, "ranges/s", rangeLoad(1000)),
		updateRow(64),
		row("swap/clients=64", client, "swaps/s", swapLoad(64)),
		row("watch/watchers=1000", client, "events/s", watchLoad(1000)),
		restartRow(1_000_000),
		restartAllRow(1_000_000),
		worstPutRow(1_000_000),
		catchUpRow(64, 20_000),
		catchUpRow(64, 600_000),
		memoryRow(1_000_000, false),
		memoryRow(1_000_000, true),
	)
	return measure.Area{Name: "raftstore", Rows: rows}
}

// The peers: EtcdServer's methods in process, etcd's client over gRPC, and
// hashicorp/raft with raft-wal under a map.
const (
	direct    = "etcd-direct"
	client    = "etcd-client"
	hashicorp = "hashicorp"
)

// sampleTime is how long a sample lasts; tests shorten it.
var sampleTime = time.Second

const (
	callTimeout = 60 * time.Second
	valueBytes  = 256
	connections = 8 // of etcd's client
)

// load is a workload: prepare fills a store, run works for a while and returns
// how many operations it did, check compares what they left with that number.
type load struct {
	prepare func(ctx context.Context, s store) error
	run     func(ctx context.Context, s store) (int, error)
	check   func(ctx context.Context, s store, before int64, operations int) error
}

// row measures a load on ours and on a peer.
func row(name, peer, unit string, l load) measure.Row {
	return measure.Row{Name: name + "/peer=" + peer, Unit: unit, Open: func() (*measure.Pair, error) {
		ours, err := openOurs()
		if err != nil {
			return nil, err
		}
		upstream, closePeer, err := openPeer(peer)
		if err != nil {
			ours.close()
			return nil, err
		}
		closeAll := func() {
			ours.close()
			closePeer()
		}
		for _, s := range []store{ours, upstream} {
			if err := l.prepare(context.Background(), s); err != nil {
				closeAll()
				return nil, fmt.Errorf("prepare: %w", err)
			}
		}
		a, b := &side{load: l, store: ours}, &side{load: l, store: upstream}
		return &measure.Pair{Ours: a.measure, Peer: b.measure, Close: closeAll, Check: func() error {
			if err := a.check(); err != nil {
				return fmt.Errorf("ours: %w", err)
			}
			if err := b.check(); err != nil {
				return fmt.Errorf("%s: %w", peer, err)
			}
			return nil
		}}, nil
	}}
}

func openPeer(peer string) (store, func(), error) {
	if peer == hashicorp {
		c, err := openHashicorp()
		if err != nil {
			return nil, nil, err
		}
		return c, c.close, nil
	}
	c, err := openEtcd()
	if err != nil {
		return nil, nil, err
	}
	if peer == direct {
		return etcdDirect{c.leader.Server}, c.close, nil
	}
	clients, err := openClients(c.leader, connections)
	if err != nil {
		c.close()
		return nil, nil, err
	}
	return clients, func() { clients.close(); c.close() }, nil
}

// side is one store under a load.
type side struct {
	load       load
	store      store
	before     int64
	operations int
}

func (s *side) measure() (measure.Sample, error) {
	var err error
	if s.before, err = s.store.revision(context.Background()); err != nil {
		return measure.Sample{}, err
	}
	return measure.Timed(func() (int, error) {
		s.operations, err = s.load.run(context.Background(), s.store)
		return s.operations, err
	}, measure.Rate)
}

func (s *side) check() error {
	return s.load.check(context.Background(), s.store, s.before, s.operations)
}

// forAWhile runs clients at once for sampleTime. Each call of one gets its number
// and how often it was called before; it returns how many operations it did.
func forAWhile(ctx context.Context, clients int, one func(ctx context.Context, client, i int) (int, error)) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	deadline := time.Now().Add(sampleTime)
	var total atomic.Int64
	var failure atomic.Pointer[error]
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			for i := 0; time.Now().Before(deadline) && failure.Load() == nil; i++ {
				n, err := one(ctx, c, i)
				if err != nil {
					failure.CompareAndSwap(nil, &err)
					return
				}
				total.Add(int64(n))
			}
		})
	}
	group.Wait()
	if err := failure.Load(); err != nil {
		return 0, *err
	}
	return int(total.Load()), nil
}

func keyOf(i int) []byte { return fmt.Appendf(nil, "/registry/pods/default/pod-%07d", i) }

// everyOneARevision is the check of writes: each acknowledged one, and nothing
// else, has made a revision.
func everyOneARevision(ctx context.Context, s store, before int64, operations int) error {
	after, err := s.revision(ctx)
	if err != nil {
		return err
	}
	if after-before != int64(operations) {
		return fmt.Errorf("%d writes were acknowledged, and made %d revisions", operations, after-before)
	}
	return nil
}

func nothing(context.Context, store) error { return nil }

// putLoad is every client writing keys of its own.
func putLoad(clients int) load {
	const keysEach = 100
	value := make([]byte, valueBytes)
	return load{prepare: nothing, check: everyOneARevision, run: func(ctx context.Context, s store) (int, error) {
		return forAWhile(ctx, clients, func(ctx context.Context, c, i int) (int, error) {
			return 1, s.put(ctx, keyOf(c*keysEach+i%keysEach), value)
		})
	}}
}

// fill puts keys, sixty-four clients at once.
func fill(ctx context.Context, s store, keys int) error {
	value := make([]byte, valueBytes)
	return each(keys, func(i int) error { return s.put(ctx, keyOf(i), value) })
}

// each calls work with 0 to n-1, sixty-four at once.
func each(n int, work func(i int) error) error {
	var next atomic.Int64
	var failure atomic.Pointer[error]
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && failure.Load() == nil; i = next.Add(1) - 1 {
				if err := work(int(i)); err != nil {
					failure.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	group.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

// unchanged is the check of reads.
func unchanged(ctx context.Context, s store, before int64, _ int) error {
	return everyOneARevision(ctx, s, before, 0)
}

func getLoad(clients int) load {
	const keys = 10_000
	return load{
		prepare: func(ctx context.Context, s store) error { return fill(ctx, s, keys) },
		check:   unchanged,
		run: func(ctx context.Context, s store) (int, error) {
			return forAWhile(ctx, clients, func(ctx context.Context, c, i int) (int, error) {
				n, err := s.get(ctx, keyOf((c*7919+i*31)%keys))
				if err == nil && n != valueBytes {
					err = fmt.Errorf("a value of %d bytes, want %d", n, valueBytes)
				}
				return 1, err
			})
		},
	}
}

func rangeLoad(keys int) load {
	return load{
		prepare: func(ctx context.Context, s store) error { return fill(ctx, s, keys) },
		check:   unchanged,
		run: func(ctx context.Context, s store) (int, error) {
			return forAWhile(ctx, 1, func(ctx context.Context, c, i int) (int, error) {
				n, err := s.count(ctx, []byte("/registry/pods/"))
				if err == nil && n != keys {
					err = fmt.Errorf("%d keys, want %d", n, keys)
				}
				return 1, err
			})
		},
	}
}

// swapLoad is all clients swapping one key by bare compare-and-swap: each tries with
// what it last saw.
func swapLoad(clients int) load {
	key, value := []byte("contended"), make([]byte, valueBytes)
	return load{
		prepare: func(ctx context.Context, s store) error { return s.put(ctx, key, value) },
		check:   everyOneARevision,
		run: func(ctx context.Context, s store) (int, error) {
			seen := make([]int64, clients)
			return forAWhile(ctx, clients, func(ctx context.Context, c, i int) (int, error) {
				now, swapped, err := s.swap(ctx, key, value, seen[c])
				seen[c] = now
				if swapped {
					return 1, err
				}
				return 0, err
			})
		},
	}
}

// watchLoad is every watcher receiving every one of some puts.
func watchLoad(watchers int) load {
	const puts = 300
	return load{prepare: nothing, run: func(ctx context.Context, s store) (int, error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		var watching, done sync.WaitGroup
		var events atomic.Int64
		var failure atomic.Pointer[error]
		watching.Add(watchers)
		for range watchers {
			done.Go(func() {
				left, ready := puts, sync.OnceFunc(watching.Done)
				defer ready() // also when it fails before
				err := s.watch(ctx, []byte("/registry/"), ready, func() bool {
					events.Add(1)
					left--
					return left > 0
				})
				if err != nil {
					failure.CompareAndSwap(nil, &err)
					cancel()
				}
			})
		}
		watching.Wait()
		if err := fill(ctx, s, puts); err != nil {
			return 0, err
		}
		done.Wait()
		if err := failure.Load(); err != nil {
			return 0, *err
		}
		return int(events.Load()), nil
	}, check: func(ctx context.Context, s store, before int64, operations int) error {
		if operations != watchers*puts {
			return fmt.Errorf("%d events, want %d", operations, watchers*puts)
		}
		return everyOneARevision(ctx, s, before, puts)
	}}
}
