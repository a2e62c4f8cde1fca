package qos

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"
	"k8s.io/kubernetes/pkg/kubelet/preemption"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
)

// preemptCase is a critical pod that lacks something, and the pods that run.
type preemptCase struct {
	Pod   json.RawMessage   `json:"pod"`
	Pods  []json.RawMessage `json:"pods"`
	Lacks []qos.Shortage    `json:"lacks"`
}

func preemptSuite() compare.Suite {
	return &compare.Cases[preemptCase]{
		Parts: []string{"preempt"},
		Generate: func(r *rand.Rand) preemptCase {
			pod := nodePod(r, 100)
			pod["spec"].(tree)["priority"] = pick(r, 2000000000, 2000001000)
			c := preemptCase{Pod: raw(pod)}
			for i := range r.IntN(12) {
				c.Pods = append(c.Pods, raw(nodePod(r, i)))
			}
			for _, name := range []string{"memory", "cpu", "pods", "ephemeral-storage"} {
				if r.IntN(2) == 0 {
					amount := int64(1 + r.IntN(3))
					switch name {
					case "memory", "ephemeral-storage":
						amount = pick(r, int64(1000), 1<<20, 3<<20, 1<<30, 2<<30)
					case "cpu":
						amount = pick(r, int64(1), 100, 1000, 2500)
					}
					c.Lacks = append(c.Lacks, qos.Shortage{Resource: name, Amount: amount})
				}
			}
			return c
		},
		Compare: comparePreempt,
		Shrink: func(c preemptCase) iter.Seq[preemptCase] {
			return func(yield func(preemptCase) bool) {
				for i := range c.Pods {
					if !yield(preemptCase{c.Pod, slices.Delete(slices.Clone(c.Pods), i, i+1), c.Lacks}) {
						return
					}
				}
				for i := range c.Lacks {
					if !yield(preemptCase{c.Pod, c.Pods, slices.Delete(slices.Clone(c.Lacks), i, i+1)}) {
						return
					}
				}
				for i := range c.Pods {
					for p := range shrinkPod(podCase{c.Pods[i]}) {
						pods := slices.Clone(c.Pods)
						pods[i] = p.Pod
						if !yield(preemptCase{c.Pod, pods, c.Lacks}) {
							return
						}
					}
				}
			}
		},
	}
}

// comparePreempt has the kubelet handle a failed admission and notes whom it
// kills, in order.
func comparePreempt(c preemptCase, rec *compare.Record) {
	n, err := nodeCase{Pods: c.Pods}.decode()
	u, o, err2 := decodePods(c.Pod)
	if err != nil || err2 != nil {
		rec.Text("preempt", "decodes", fmt.Sprint(err, err2))
		return
	}
	var killed []string
	handler := preemption.NewCriticalPodAdmissionHandler(
		func() []*v1.Pod { return n.upstreamPods },
		func(p *v1.Pod, _ bool, _ *int64, _ func(*v1.PodStatus)) error {
			killed = append(killed, p.Name)
			return nil
		}, &record.FakeRecorder{})
	var reasons []lifecycle.PredicateFailureReason
	for _, s := range c.Lacks {
		reasons = append(reasons, &lifecycle.InsufficientResourceError{ResourceName: v1.ResourceName(s.Resource), Requested: s.Amount})
	}
	left, err := handler.HandleAdmissionFailure(silent, u, reasons)
	upstream := fmt.Sprint(killed, left)
	if err != nil {
		upstream = strings.TrimPrefix(err.Error(), "preemption: error finding a set of pods to preempt: ")
	}
	victims, err := qos.PreemptionVictims(o, n.ourPods, c.Lacks)
	var names []string
	for _, p := range victims {
		names = append(names, p.Metadata.Name)
	}
	ours := fmt.Sprint(names, []lifecycle.PredicateFailureReason(nil))
	if err != nil {
		ours = err.Error()
	}
	rec.Text("preempt", upstream, ours)
}
