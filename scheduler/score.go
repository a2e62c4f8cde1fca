package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// scoreTable holds the scores of the feasible nodes: per plugin a row with one
// column per node. Its memory is used again from cycle to cycle.
type scoreTable struct {
	scorers []scorer // those that took part, one row each
	raw     [][]int64
	scaled  [][]int64 // normalised
	total   []int64
}

// fill runs PreScore, Score and Normalize over the feasible nodes and adds up
// the weighted scores.
func (t *scoreTable) fill(c *Cycle, feasible []*NodeInfo) error {
	for _, pl := range c.profile.preScores {
		switch v := pl.plugin.PreScore(c, feasible); v.Code {
		case Success:
		case Skip:
			c.skipScore[pl.number] = true
		default:
			err := v.Err
			if err == nil {
				err = fmt.Errorf("%s", v.Message())
			}
			return fmt.Errorf("running PreScore plugin %q: %w", pl.plugin.Name(), err)
		}
	}
	t.scorers = t.scorers[:0]
	for _, s := range c.profile.scores {
		if c.skipScore[s.number] {
			continue
		}
		t.row(c, s, feasible)
	}
	return t.add(len(feasible))
}

// row adds the scores of one plugin.
func (t *scoreTable) row(c *Cycle, s scorer, feasible []*NodeInfo) {
	i := len(t.scorers)
	t.scorers = append(t.scorers, s)
	if i == len(t.raw) {
		t.raw, t.scaled = append(t.raw, nil), append(t.scaled, nil)
	}
	t.raw[i] = resize(t.raw[i], len(feasible))
	for at, n := range feasible {
		t.raw[i][at] = s.plugin.Score(c, n)
	}
	t.scaled[i] = append(t.scaled[i][:0], t.raw[i]...)
	if s.normalizer != nil {
		s.normalizer.Normalize(c, feasible, t.scaled[i])
	}
}

// add totals the weighted scores of every node.
func (t *scoreTable) add(nodes int) error {
	t.total = resize(t.total, nodes)
	for at := range nodes {
		t.total[at] = 0
		for i, s := range t.scorers {
			score := t.scaled[i][at]
			if score < 0 || score > MaxNodeScore {
				return fmt.Errorf("applying score defaultWeights on Score plugins: plugin %q returns an invalid score %d, it should in the range of [0, %d] after normalizing",
					s.plugin.Name(), score, MaxNodeScore)
			}
			t.total[at] += score * s.weight
		}
	}
	return nil
}

// resize returns s with length n, its contents undefined.
func resize(s []int64, n int) []int64 {
	return slices.Grow(s[:0], n)[:n]
}

// plugins returns what each plugin gave node number at.
func (t *scoreTable) plugins(at int) []PluginScore {
	list := make([]PluginScore, len(t.scorers))
	for i, s := range t.scorers {
		list[i] = PluginScore{
			Plugin:     s.plugin.Name(),
			Raw:        t.raw[i][at],
			Normalized: t.scaled[i][at],
			Weighted:   t.scaled[i][at] * s.weight,
		}
	}
	return list
}

// choose returns the index of the node to take.
func (t *scoreTable) choose(tie TieBreak, feasible []*NodeInfo, rng *rand.Rand) int {
	best := slices.Max(t.total)
	switch tie {
	case TieFirst:
		at := -1
		for i, n := range feasible {
			if t.total[i] == best && (at < 0 || n.Name < feasible[at].Name) {
				at = i
			}
		}
		return at
	case TieRandom:
		return drawBest(t.total, best, rng)
	}
	return firstInHeap(t.total, best)
}

// drawBest picks one of the best with equal probability.
func drawBest(totals []int64, best int64, rng *rand.Rand) int {
	at, seen := 0, 0
	for i, total := range totals {
		if total != best {
			continue
		}
		if seen++; rng.IntN(seen) == 0 {
			at = i
		}
	}
	return at
}

// firstInHeap returns the first index with value best in pre-order of the
// binary heap that the slice is read as: a node, then the subtree at 2i+1,
// then the one at 2i+2. Upstream builds a max-heap of the nodes in place and
// takes its root; among equal totals, sifting down lets the left child win
// unless only the right subtree has a best one, which amounts to this order.
func firstInHeap(totals []int64, best int64) int {
	at := 0
	for {
		if totals[at] == best {
			return at
		}
		if left := 2*at + 1; left < len(totals) {
			at = left
			continue
		}
		// Up until a left child, whose sibling is next.
		for at%2 == 0 || at+1 == len(totals) {
			at = (at - 1) / 2
		}
		at++
	}
}
