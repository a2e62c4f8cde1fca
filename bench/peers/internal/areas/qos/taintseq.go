package qos

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"
	_ "unsafe" // for linkname

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/controller/tainteviction"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
)

//go:linkname processPodOnNode k8s.io/kubernetes/pkg/controller/tainteviction.(*Controller).processPodOnNode
func processPodOnNode(tc *tainteviction.Controller, ctx context.Context, pod types.NamespacedName, node string, tolerations []v1.Toleration, taints []v1.Taint, now time.Time)

// departureCase is what happens to one pod's tolerations and its node's taints.
type departureCase struct {
	Steps []departureStep `json:"steps"`
}

type departureStep struct {
	AfterSeconds int             `json:"afterSeconds"`
	Taints       json.RawMessage `json:"taints"`
	Tolerations  json.RawMessage `json:"tolerations"`
}

// departureSuite compares when a pod is to leave its node, step by step, until
// it leaves at once. Steps without NoExecute taints are left out: there the
// controller takes another way (it cancels), which TestTaintEvictor covers.
func departureSuite() compare.Suite {
	return &compare.Cases[departureCase]{
		Parts: []string{"taint/departure"},
		Generate: func(r *rand.Rand) departureCase {
			var c departureCase
			for range 1 + r.IntN(6) {
				c.Steps = append(c.Steps, departureStep{AfterSeconds: r.IntN(3) * 10,
					Taints: raw([]any{tree{"key": pick(r, "a", "b"), "effect": "NoExecute"}}), Tolerations: raw(longTolerations(r))})
			}
			return c
		},
		Compare: compareDeparture,
		Shrink: func(c departureCase) iter.Seq[departureCase] {
			return func(yield func(departureCase) bool) {
				for i := range c.Steps {
					if !yield(departureCase{slices.Delete(slices.Clone(c.Steps), i, i+1)}) {
						return
					}
				}
			}
		},
	}
}

// longTolerations last long enough for no timer to fire meanwhile.
func longTolerations(r *rand.Rand) []any {
	var out []any
	for range 1 + r.IntN(3) {
		t := tree{"key": pick(r, "", "a", "b"), "operator": "Exists"}
		if r.IntN(3) != 0 {
			t["tolerationSeconds"] = pick(r, 300, 600, 3600, 0)
		}
		out = append(out, t)
	}
	return out
}

func compareDeparture(c departureCase, rec *compare.Record) {
	tc := new(tainteviction.Controller)
	queue := tainteviction.CreateWorkerQueue(func(context.Context, time.Time, *tainteviction.WorkArgs) error { return nil })
	hidden(tc, "taintEvictionQueue").Set(reflectValue(queue))
	defer queue.CancelAndWait()
	pod := types.NamespacedName{Namespace: "a", Name: "p"}
	var ours qos.TaintEvictor
	now := created
	for i, step := range c.Steps {
		now = now.Add(time.Duration(step.AfterSeconds) * time.Second)
		var ut []v1.Taint
		var ot []qos.Taint
		var utol []v1.Toleration
		var otol []qos.Toleration
		for _, err := range []error{json.Unmarshal(step.Taints, &ut), json.Unmarshal(step.Taints, &ot), json.Unmarshal(step.Tolerations, &utol), json.Unmarshal(step.Tolerations, &otol)} {
			if err != nil {
				rec.Text("taint/departure", "decodes", err.Error())
				return
			}
		}
		processPodOnNode(tc, silent, pod, "n", utol, ut, now)
		upstream := "now or never"
		if w := queue.GetWorkerUnsafe(pod.String()); w != nil {
			upstream = w.FireAt.String()
		}
		leave, leaves := ours.Sync(pod.String(), ot, otol, now)
		text := "now or never"
		if leaves && leave.After(now) {
			text = leave.String()
		}
		rec.Text("taint/departure", fmt.Sprintf("step %d: %s", i, upstream), fmt.Sprintf("step %d: %s", i, text))
		if leaves && !leave.After(now) {
			return
		}
	}
}
