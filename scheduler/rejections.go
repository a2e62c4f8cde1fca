package scheduler

import (
	"iter"
	"slices"
)

// rejections says which nodes rejected a pod and why. Nodes reject for the same
// few causes, so that each verdict is held once:
//
//	nodes  n3 n7 n1 n9 …     start: where the scan began
//	kind    0  0  2 −1 …     verdicts[kind]; −1: no verdict
//
// A value that is handed out is immutable; it may share nodes with the Cache.
type rejections struct {
	nodes    []*NodeInfo
	start    int
	kind     []int32
	verdicts []verdict
	len      int // nodes with a verdict
}

// verdict is what one plugin said.
type verdict struct {
	plugin string
	status Status
}

// add records a verdict, in place of the first one if that is on the same node:
// it was looked at alone, before the others.
func (r *rejections) add(n *NodeInfo, plugin string, v Status) {
	kind := r.kindOf(plugin, v)
	if len(r.nodes) > 0 && r.nodes[0].Name == n.Name {
		r.kind[0] = kind
		return
	}
	r.nodes = append(r.nodes, n)
	r.kind = append(r.kind, kind)
	r.len++
}

// kindOf returns the number of a verdict.
func (r *rejections) kindOf(plugin string, v Status) int32 {
	for i := len(r.verdicts) - 1; i >= 0; i-- {
		if old := &r.verdicts[i]; old.plugin == plugin && old.status.equal(&v) {
			return int32(i)
		}
	}
	r.verdicts = append(r.verdicts, verdict{plugin, v})
	return int32(len(r.verdicts) - 1)
}

func (s *Status) equal(t *Status) bool {
	return s.Code == t.Code && s.Reasons == t.Reasons && s.Err == nil && t.Err == nil && slices.Equal(s.Details, t.Details)
}

// reset empties r, keeping its memory.
func (r *rejections) reset() rejections {
	clear(r.verdicts)
	return rejections{nodes: r.nodes[:0], kind: r.kind[:0], verdicts: r.verdicts[:0]}
}

// clone returns a copy that shares nothing with r.
func (r *rejections) clone() rejections {
	out := *r
	out.nodes, out.kind, out.verdicts = slices.Clone(r.nodes), slices.Clone(r.kind), slices.Clone(r.verdicts)
	return out
}

// all yields the nodes in scan order with their verdicts.
func (r *rejections) all() iter.Seq2[*NodeInfo, *verdict] {
	return func(yield func(*NodeInfo, *verdict) bool) {
		for i := range r.kind {
			at := r.start + i
			if at >= len(r.kind) {
				at -= len(r.kind)
			}
			if k := r.kind[at]; k >= 0 && !yield(r.nodes[at], &r.verdicts[k]) {
				return
			}
		}
	}
}

// counted yields the verdicts with the number of nodes that each was given on.
func (r *rejections) counted() iter.Seq2[*verdict, int] {
	return func(yield func(*verdict, int) bool) {
		counts := make([]int, len(r.verdicts))
		for _, k := range r.kind {
			if k >= 0 {
				counts[k]++
			}
		}
		for k, n := range counts {
			if n > 0 && !yield(&r.verdicts[k], n) {
				return
			}
		}
	}
}
