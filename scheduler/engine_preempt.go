package scheduler

import "slices"

// candidateTable keeps what preemption could do on each node for pods of one
// class and priority. As long as no filter looks beyond the node, that is a
// function of the node and of the budgets: rows are made again for nodes that
// have changed, and all of them when a budget has.
//
//	rows    by position     not curable · rejected · candidate, with its rank
//	blocks  64 rows each    the best candidate, found again when a row is
type candidateTable struct {
	class    *class
	priority int32
	rows     []candidateRow
	blocks   []candidateBlock
	stale    []int32 // rows to make again, each once
	verdicts rejections
	need     []need
}

type candidateRow struct {
	state   rowState
	verdict int32 // of a rejected row
	found   candidate
	rank    rank
}

type rowState uint8

const (
	rowStale rowState = iota
	rowIncurable
	rowRejected
	rowCandidate
)

// rank is what pick compares, criterion by criterion; the highest is best.
type rank [len(pickCriteria)]int64

func (d *candidate) rank() rank {
	var out rank
	for i, rate := range pickCriteria {
		out[i] = rate(d)
	}
	return out
}

func (r *rank) above(s *rank) bool {
	for i := range r {
		if r[i] != s[i] {
			return r[i] > s[i]
		}
	}
	return false
}

const rowsPerBlock = 64

type candidateBlock struct {
	best   int32 // position of the first best candidate, -1: there is none
	soiled bool
}

// candidates returns the table for a pod of the class.
func (f *failures) candidates(k *class, p *PodInfo) *candidateTable {
	t := f.table
	if t != nil && t.priority == p.Priority {
		t.class = k // in a fork not the one that it was made for
		return t
	}
	n := len(f.rejected.kind)
	t = &candidateTable{
		class: k, priority: p.Priority,
		rows: make([]candidateRow, n), blocks: make([]candidateBlock, (n+rowsPerBlock-1)/rowsPerBlock),
		stale: make([]int32, n), need: k.needs(),
	}
	for i := range t.stale {
		t.stale[i] = int32(i)
		t.blocks[i/rowsPerBlock].soiled = true
	}
	f.table = t
	return t
}

// clone copies a table for another engine.
func (t *candidateTable) clone() *candidateTable {
	if t == nil {
		return nil
	}
	out := *t
	out.rows, out.blocks, out.stale = slices.Clone(t.rows), slices.Clone(t.blocks), slices.Clone(t.stale)
	out.verdicts = t.verdicts.clone()
	return &out
}

// soil has a row made again.
func (t *candidateTable) soil(at int32) {
	if t.rows[at].state != rowStale {
		t.rows[at].state = rowStale
		t.stale = append(t.stale, at)
		t.blocks[at/rowsPerBlock].soiled = true
	}
}

// best returns the candidate that dryRun and pick would find, nil if there is
// none.
func (t *candidateTable) best(c *Cycle, fit *FitError) *candidate {
	for _, at := range t.stale {
		t.make(c, fit, at)
	}
	t.stale = t.stale[:0]
	first := int32(-1)
	for i := range t.blocks {
		b := &t.blocks[i]
		if b.soiled {
			b.best = t.bestIn(i*rowsPerBlock, min((i+1)*rowsPerBlock, len(t.rows)))
			b.soiled = false
		}
		if b.best >= 0 && (first < 0 || t.rows[b.best].rank.above(&t.rows[first].rank)) {
			first = b.best
		}
	}
	if first < 0 {
		return nil
	}
	return &t.rows[first].found
}

func (t *candidateTable) bestIn(from, to int) int32 {
	best := int32(-1)
	for i := from; i < to; i++ {
		if r := &t.rows[i]; r.state == rowCandidate && (best < 0 || r.rank.above(&t.rows[best].rank)) {
			best = int32(i)
		}
	}
	return best
}

// make fills a row as dryRun would.
func (t *candidateTable) make(c *Cycle, fit *FitError, at int32) {
	row := &t.rows[at]
	*row = candidateRow{state: rowIncurable}
	if kind := fit.rejected.kind[at]; fit.rejected.verdicts[kind].status.Code != Unschedulable {
		return
	}
	found, v, plugin := t.victims(c, at)
	if v, plugin = c.judged(&found, v, plugin); v.Code != Success {
		row.state, row.verdict = rowRejected, t.verdicts.kindOf(plugin, v)
		return
	}
	row.state, row.found, row.rank = rowCandidate, found, found.rank()
}

// rejections returns why the rows that are no candidates are none. All rows are
// fresh.
func (t *candidateTable) rejections(nodes []*NodeInfo) []Rejection {
	var list []Rejection
	for i := range t.rows {
		if r := &t.rows[i]; r.state == rowRejected {
			v := &t.verdicts.verdicts[r.verdict]
			list = append(list, Rejection{nodes[i].Name, v.plugin, v.status})
		}
	}
	return list
}

// need is an amount of a resource that the pod requests and that is checked.
type need struct {
	name   string
	amount int64
}

// needs lists what NodeResourcesFit checks for the class; nil when that is not
// all that the pods on a node decide about.
func (k *class) needs() []need {
	fit := k.parts.fit
	if fit == nil || len(k.pod.hostPorts) > 0 {
		return nil
	}
	list := []need{}
	want := &k.pod.Request
	for _, name := range [...]string{"cpu", "memory", "ephemeral-storage"} {
		if v := want.Amount(name); v > 0 {
			list = append(list, need{name, v})
		}
	}
	for _, s := range want.Scalars {
		if s.Value != 0 && !fit.ignores(s.Name) {
			list = append(list, need{s.Name, s.Value})
		}
	}
	return list
}

// victims is Cycle.victimsOn. Where nothing but resources and the number of
// pods keeps the pod from the node, the pods are put back by arithmetic: room
// is what is left of each resource once all less important pods are gone, and
// one is put back if the pod still has what it needs.
func (t *candidateTable) victims(c *Cycle, at int32) (candidate, Status, string) {
	n := c.Nodes[at]
	if t.need == nil || t.class.local[at]&causeStatic != 0 || len(c.cache.nominated.pods.get(n.Name)) > 0 {
		return c.victimsOn(n)
	}
	pool := c.lessImportantOn(n)
	if len(pool) == 0 {
		return candidate{}, RejectFinally(ReasonNoVictims), ""
	}
	var memory [8]int64
	room := memory[:0]
	for _, w := range t.need {
		left := n.Allocatable.Amount(w.name) - n.Requested.Amount(w.name) - w.amount
		for _, q := range pool {
			left += q.requested.Amount(w.name)
		}
		room = append(room, left)
	}
	slots := n.Allocatable.Pods - int64(len(n.Pods)-len(pool)+1)
	if slots < 0 || slices.Min(append(room, 0)) < 0 {
		return c.victimsOn(n) // which says why
	}
	out := c.reprieve(n, pool, func(q *PodInfo) bool {
		if slots == 0 {
			return false
		}
		for i, w := range t.need {
			if q.requested.Amount(w.name) > room[i] {
				return false
			}
		}
		for i, w := range t.need {
			room[i] -= q.requested.Amount(w.name)
		}
		slots--
		return true
	})
	return out, Status{}, ""
}
