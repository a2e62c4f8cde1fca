package raftstore

import (
	"fmt"
	"math/rand/v2"

	ours "github.com/orchcore/orchcore/raftstore/mvcc"
)

const leasesMax = 4

// generator draws requests over few keys, so that they meet. It keeps track
// of the revision roughly, to aim near it.
type generator struct {
	r        *rand.Rand
	revision int64
}

func newGenerator(r *rand.Rand) *generator { return &generator{r: r, revision: 1} }

var keys = []string{"a", "a\x00", "b", "ba", "bb", "c", "d", "\x00", "\xff", "\xff\xff", "k/1", "k/2", "k/3", "k/4", "k/5", "k/6"}

func (g *generator) one(n int) bool { return g.r.IntN(n) == 0 }

func (g *generator) key() []byte {
	if g.one(80) {
		return nil
	}
	return []byte(keys[g.r.IntN(len(keys))])
}

func (g *generator) end() []byte {
	switch g.r.IntN(8) {
	case 0, 1, 2, 3:
		return nil
	case 4:
		return []byte{0}
	case 5:
		return []byte("l")
	default:
		return []byte(keys[g.r.IntN(len(keys))])
	}
}

func (g *generator) value() []byte {
	if g.one(6) {
		return nil
	}
	return fmt.Appendf(nil, "v%d", g.r.IntN(6))
}

func (g *generator) lease() int64 {
	if !g.one(3) {
		return 0
	}
	return g.r.Int64N(leasesMax+1) - 1
}

// near is a revision around those that exist, mostly one that does.
func (g *generator) near() int64 { return g.r.Int64N(g.revision+4) - 1 }

func (g *generator) script(steps int) script {
	var s script
	catchUps := 0 // each costs etcd 100 ms
	for range steps {
		st := g.step()
		if w := st.Watch; w != nil && w.StartRevision > 0 && w.StartRevision <= g.revision {
			if catchUps++; catchUps > 1 || !g.one(4) {
				w.StartRevision = 0
			}
		}
		s = append(s, st)
	}
	return s
}

func (g *generator) step() step {
	switch n := g.r.IntN(100); {
	case n < 28:
		g.revision++
		return step{Put: g.put()}
	case n < 35:
		g.revision++
		return step{Delete: &ours.DeleteRequest{Key: g.key(), End: g.end(), PrevKV: g.one(2)}}
	case n < 60:
		return step{Range: g.rangeOptions()}
	case n < 85:
		g.revision++
		return step{Txn: g.txn(3)}
	case n < 88:
		revision := g.near()
		return step{Compact: &revision}
	case n < 91:
		return step{Grant: &ours.Lease{ID: g.leaseID(), TTL: g.ttl()}}
	case n < 93:
		id := g.leaseID()
		return step{Revoke: &id}
	case n < 98:
		return step{Watch: g.watch()}
	default:
		return step{Restart: true}
	}
}

func (g *generator) leaseID() int64 {
	if id := g.r.Int64N(leasesMax+1) - 1; id != 0 {
		return id
	}
	return 1
}

func (g *generator) ttl() int64 {
	if g.one(10) {
		return ours.MaxLeaseTTL + g.r.Int64N(2)
	}
	return 1000
}

func (g *generator) put() *ours.PutRequest {
	p := &ours.PutRequest{Key: g.key(), Value: g.value(), Lease: g.lease(), PrevKV: g.one(3)}
	if g.one(6) {
		p.IgnoreValue = true
		if !g.one(8) {
			p.Value = nil
		}
	}
	if g.one(6) {
		p.IgnoreLease = true
		if !g.one(8) {
			p.Lease = 0
		}
	}
	return p
}

func (g *generator) rangeOptions() *ours.RangeOptions {
	o := &ours.RangeOptions{Key: g.key(), End: g.end(), KeysOnly: g.one(4), CountOnly: g.one(8)}
	if g.one(2) {
		o.Limit = g.r.Int64N(9) - 1
	}
	if g.one(3) {
		o.Revision = g.near()
	}
	if g.one(2) {
		o.SortOrder, o.SortTarget = ours.SortOrder(g.r.IntN(3)), ours.SortTarget(g.r.IntN(5))
		if g.one(30) {
			o.SortOrder = 3
		}
		if g.one(30) {
			o.SortTarget = 5
		}
	}
	for _, bound := range []*int64{&o.MinModRevision, &o.MaxModRevision, &o.MinCreateRevision, &o.MaxCreateRevision} {
		if g.one(8) {
			*bound = g.near()
		}
	}
	return o
}

func (g *generator) txn(depth int) *ours.Txn {
	t := &ours.Txn{Then: g.ops(depth), Else: g.ops(depth)}
	for range g.r.IntN(3) {
		t.If = append(t.If, g.compare())
	}
	return t
}

func (g *generator) compare() ours.Compare {
	c := ours.Compare{
		Target: ours.CompareTarget(g.r.IntN(5)), Operator: ours.CompareOperator(g.r.IntN(4)),
		Key: g.key(), End: g.end(), Number: g.r.Int64N(4),
	}
	switch {
	case c.Target == ours.CompareValue:
		c.Value = g.value()
	case c.Target == ours.CompareLease:
		c.Number = g.lease()
	case g.one(2):
		c.Number = g.near()
	}
	return c
}

func (g *generator) ops(depth int) []ours.Op {
	n := g.r.IntN(4)
	if g.one(40) {
		n = maxTxnOps + g.r.IntN(2)
	}
	var ops []ours.Op
	for range n {
		switch k := g.r.IntN(20); {
		case k < 6:
			ops = append(ops, ours.Op{Range: g.rangeOptions()})
		case k < 13:
			ops = append(ops, ours.Op{Put: g.put()})
		case k < 16:
			ops = append(ops, ours.Op{Delete: &ours.DeleteRequest{Key: g.key(), End: g.end(), PrevKV: g.one(2)}})
		case k == 16 && g.one(10):
			ops = append(ops, ours.Op{})
		case depth > 0:
			ops = append(ops, ours.Op{Txn: g.txn(depth - 1)})
		}
	}
	return ops
}

func (g *generator) watch() *ours.WatchOptions {
	o := &ours.WatchOptions{
		Key: g.key(), End: g.end(), PrevKV: g.one(2), NoPut: g.one(8), NoDelete: g.one(8), BatchEvents: g.r.IntN(3),
	}
	if g.one(2) {
		o.StartRevision = g.near()
		if g.one(4) {
			o.StartRevision = g.revision + g.r.Int64N(8)
		}
	}
	return o
}
