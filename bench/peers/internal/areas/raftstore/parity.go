// Package raftstore holds orchcore's raftstore/mvcc against etcd: the store,
// the lessor, and the code that checks and applies requests, all of etcd
// v3.7.3, without Raft between them.
package raftstore

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	ours "github.com/orchcore/orchcore/raftstore/mvcc"
)

// Parity compares scripts of requests.
func Parity() compare.Area {
	return compare.Area{
		Name: "raftstore",
		Doc:  "raftstore/mvcc/doc.go",
		Suites: []compare.Suite{
			suite(corners(), func(r *rand.Rand) script { return newGenerator(r).script(60) }),
			serverSuite(),
		},
	}
}

// script is a sequence of requests to an empty store.
type script []step

// step is one request: one field is set.
type step struct {
	Put     *ours.PutRequest    `json:"put,omitempty"`
	Delete  *ours.DeleteRequest `json:"delete,omitempty"`
	Range   *ours.RangeOptions  `json:"range,omitempty"`
	Txn     *ours.Txn           `json:"txn,omitempty"`
	Compact *int64              `json:"compact,omitempty"`
	Grant   *ours.Lease         `json:"grant,omitempty"`
	Revoke  *int64              `json:"revoke,omitempty"`
	Watch   *ours.WatchOptions  `json:"watch,omitempty"`
	// Restart takes ours through an image; etcd goes on.
	Restart bool `json:"restart,omitempty"`
}

func suite(corners []script, generate func(r *rand.Rand) script) compare.Suite {
	return &compare.Cases[script]{
		Parts:    []string{"put", "delete", "range", "txn", "compact", "lease", "watch", "history"},
		Corners:  corners,
		Generate: generate,
		Compare:  compareScript,
		Shrink:   shrinkScript,
		Documented: []compare.Difference[script]{{
			Differs: "a put that needs its key after a delete of it in the same transaction",
			Applies: func(c script, d compare.Disagreement) bool {
				return d.Part == "txn" && d.Ours == ours.ErrKeyNotFound.Error() &&
					strings.HasPrefix(d.Upstream, "panic: runtime error: index out of range [0]")
			},
		}, {
			Differs: "a key deleted and put again in one revision survives a compaction at that revision",
			Applies: func(c script, d compare.Disagreement) bool {
				// Whatever reads the key: etcd's index has it, its table does not.
				return strings.HasPrefix(d.Upstream, "panic: range failed to find revision pair")
			},
		}, {
			Differs: "a watch from the floor on delivers every change of the floor's revision",
			Applies: missesChangesAtFloor,
		}, {
			Differs: "a comparison with an unknown target or operator is refused",
			Applies: func(c script, d compare.Disagreement) bool {
				return d.Part == "txn" && d.Ours == ours.ErrInvalidCompare.Error()
			},
		}, {
			Differs: "a lease without an identifier, or with a time to live that is not positive, is refused",
			Applies: func(c script, d compare.Disagreement) bool {
				return d.Part == "lease" && d.Ours == ours.ErrInvalidLease.Error()
			},
		}},
	}
}

// missesChangesAtFloor reports that etcd left out events of the revision of a
// compaction in the script, and agrees in all others.
func missesChangesAtFloor(c script, d compare.Disagreement) bool {
	if d.Part != "watch" {
		return false
	}
	theirs := strings.FieldsFunc(d.Upstream, func(r rune) bool { return r == '\n' })
	for _, event := range strings.Split(d.Ours, "\n") {
		if len(theirs) > 0 && theirs[0] == event {
			theirs = theirs[1:]
			continue
		}
		if !slices.ContainsFunc(c, func(s step) bool {
			return s.Compact != nil && strings.Contains(event, fmt.Sprintf(", modified %d, ", *s.Compact))
		}) {
			return false
		}
	}
	return len(theirs) == 0
}

// pair is the two stores under one script.
type pair struct {
	rec      *compare.Record
	etcd     *etcd
	ours     *ours.Store
	watches  []*watchPair
	panicked bool
	differed bool
}

// compareScript runs a script on both, up to the first step on which they
// disagree: after that they hold different things.
func compareScript(c script, rec *compare.Record) {
	e, err := newEtcd()
	if err != nil {
		panic(fmt.Sprintf("compare: no etcd: %v", err))
	}
	p := &pair{rec: rec, etcd: e, ours: ours.New()}
	defer func() { e.close(p.panicked) }()
	for i := range c {
		p.step(&c[i])
		if p.differed {
			return
		}
		if p.watch(); p.differed {
			return
		}
	}
	p.history()
}

// answer records what both say about one request.
func (p *pair) answer(part string, upstream, mine func() string) {
	theirs := p.guarded(upstream)
	own := mine()
	p.rec.Text(part, theirs, own)
	p.differed = theirs != own
}

func (p *pair) guarded(f func() string) (text string) {
	defer func() {
		if r := recover(); r != nil {
			p.panicked = true
			text = fmt.Sprint("panic: ", r)
		}
	}()
	return f()
}

func text[R any](show func(R) string, name func(error) string, result R, err error) string {
	if err != nil {
		return name(err)
	}
	return show(result)
}

func (p *pair) step(s *step) {
	switch {
	case s.Put != nil:
		p.answer("put", func() string {
			r, err := p.etcd.put(s.Put)
			return text(showPut, upstreamError, r, err)
		}, func() string {
			r, err := p.ours.Put(s.Put)
			return text(showPut, ourError, &r, err)
		})
	case s.Delete != nil:
		p.answer("delete", func() string {
			r, err := p.etcd.delete(s.Delete)
			return text(showDelete, upstreamError, r, err)
		}, func() string {
			r, err := p.ours.Delete(s.Delete)
			return text(showDelete, ourError, &r, err)
		})
	case s.Range != nil:
		p.rangeKeys("range", s.Range)
	case s.Txn != nil:
		p.txn(s.Txn)
	case s.Watch != nil:
		p.open(s.Watch)
	case s.Restart:
		p.restart()
	default:
		p.maintain(s)
	}
}

func (p *pair) rangeKeys(part string, o *ours.RangeOptions) {
	p.answer(part, func() string {
		r, err := p.etcd.rangeKeys(o)
		return text(showRange, upstreamError, r, err)
	}, func() string {
		r, err := p.ours.Range(o)
		return text(showRange, ourError, &r, err)
	})
}

func (p *pair) txn(t *ours.Txn) {
	p.answer("txn", func() string {
		r, err := p.etcd.txn(t)
		return text(showTxn, upstreamError, r, err)
	}, func() string {
		if err := ours.Validate(t, ours.Limits{MaxTxnOps: maxTxnOps}); err != nil {
			return ourError(err)
		}
		r, err := p.ours.Apply(t)
		return text(showTxn, ourError, &r, err)
	})
}

func (p *pair) maintain(s *step) {
	done := func(revision int64) string { return fmt.Sprint("revision ", revision) }
	switch {
	case s.Compact != nil:
		p.answer("compact", func() string {
			return text(done, upstreamError, p.etcd.kv.Rev(), p.etcd.compact(*s.Compact))
		}, func() string {
			return text(done, ourError, p.ours.Revision(), p.ours.Compact(*s.Compact))
		})
	case s.Grant != nil:
		p.answer("lease", func() string {
			return text(done, upstreamError, p.etcd.kv.Rev(), p.etcd.grant(s.Grant.ID, s.Grant.TTL))
		}, func() string {
			return text(done, ourError, p.ours.Revision(), p.ours.LeaseGrant(s.Grant.ID, s.Grant.TTL))
		})
	case s.Revoke != nil:
		p.answer("lease", func() string {
			err := p.etcd.revoke(*s.Revoke)
			return text(done, upstreamError, p.etcd.kv.Rev(), err)
		}, func() string {
			_, err := p.ours.LeaseRevoke(*s.Revoke)
			return text(done, ourError, p.ours.Revision(), err)
		})
	}
}

// restart puts ours through an image, with its watchers open.
func (p *pair) restart() {
	loaded, err := reload(p.ours)
	if err != nil {
		p.rec.Text("history", "no image", err.Error())
		p.differed = true
		return
	}
	p.ours.Restore(loaded)
}

// history compares all that can still be read: every revision, and what the
// leases hold.
func (p *pair) history() {
	for revision := max(1, p.ours.CompactedRevision()); revision <= p.ours.Revision() && !p.differed; revision++ {
		p.rangeKeys("history", &ours.RangeOptions{Key: []byte{0}, End: []byte{0}, Revision: revision})
	}
	for id := int64(-1); id <= leasesMax && !p.differed; id++ {
		p.answer("lease", func() string {
			keys := slices.Clone(p.etcd.leaseKeys(id))
			slices.Sort(keys)
			return fmt.Sprintf("%q", keys)
		}, func() string {
			keys, _ := p.ours.LeaseKeys(id)
			return fmt.Sprintf("%q", keys)
		})
	}
}

// shrinkScript leaves out a part of the script, or of a transaction.
func shrinkScript(c script) iter.Seq[script] {
	return func(yield func(script) bool) {
		for n := len(c) / 2; n > 0; n /= 2 {
			for from := 0; from+n <= len(c); from += n {
				if !yield(slices.Delete(slices.Clone(c), from, from+n)) {
					return
				}
			}
		}
		for i := range c {
			if c[i].Txn == nil {
				continue
			}
			for t := range shrinkTxn(c[i].Txn) {
				smaller := slices.Clone(c)
				smaller[i] = step{Txn: t}
				if !yield(smaller) {
					return
				}
			}
		}
	}
}

func shrinkTxn(t *ours.Txn) iter.Seq[*ours.Txn] {
	return func(yield func(*ours.Txn) bool) {
		for i := range t.If {
			if !yield(&ours.Txn{If: slices.Delete(slices.Clone(t.If), i, i+1), Then: t.Then, Else: t.Else}) {
				return
			}
		}
		for i := range t.Then {
			if !yield(&ours.Txn{If: t.If, Then: slices.Delete(slices.Clone(t.Then), i, i+1), Else: t.Else}) {
				return
			}
		}
		for i := range t.Else {
			if !yield(&ours.Txn{If: t.If, Then: t.Then, Else: slices.Delete(slices.Clone(t.Else), i, i+1)}) {
				return
			}
		}
	}
}
