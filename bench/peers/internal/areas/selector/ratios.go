package selector

import (
	"fmt"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/selector"
)

// Ratios measures matching.
func Ratios() measure.Area {
	return measure.Area{Name: "selector", Rows: []measure.Row{
		matchRow(1, "app=web"),
		matchRow(3, "app=web,tier in (a,b),!canary"),
	}}
}

func matchRow(reqs int, text string) measure.Row {
	return measure.Row{Name: fmt.Sprintf("match/reqs=%d", reqs), Unit: "ns/op", Open: func() (*measure.Pair, error) {
		upstream, err := labels.Parse(text)
		if err != nil {
			return nil, err
		}
		ours, err := selector.Parse(text)
		if err != nil {
			return nil, err
		}
		set := labels.Set{"app": "web", "tier": "a", "zone": "z1", "release": "r7"}
		own := selector.NewLabels(set)
		var hitsOurs, hitsUpstream int
		return &measure.Pair{
			Ours: measure.Loop(func(n int) {
				hitsOurs = 0
				for range n {
					if ours.Matches(own) {
						hitsOurs++
					}
				}
				hitsOurs /= n
			}),
			Peer: measure.Loop(func(n int) {
				hitsUpstream = 0
				for range n {
					if upstream.Matches(set) {
						hitsUpstream++
					}
				}
				hitsUpstream /= n
			}),
			Check: func() error {
				if hitsOurs != 1 || hitsUpstream != 1 {
					return fmt.Errorf("hit rates ours %d, upstream %d: want 1", hitsOurs, hitsUpstream)
				}
				return nil
			},
		}, nil
	}}
}
