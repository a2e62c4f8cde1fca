package qos

import (
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/apis/core"
	corev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	v1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"
	"k8s.io/kubernetes/pkg/controller/nodelifecycle"
	nodescheduler "k8s.io/kubernetes/pkg/controller/nodelifecycle/scheduler"
	_ "k8s.io/kubernetes/pkg/controller/tainteviction" // linked by name
	"k8s.io/kubernetes/plugin/pkg/admission/defaulttolerationseconds"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
)

// taintCase is a node's taints and a pod's tolerations, as JSON.
type taintCase struct {
	Taints      json.RawMessage `json:"taints"`
	Tolerations json.RawMessage `json:"tolerations"`
}

const differsStay = "tolerationSeconds saturate"

func taintSuite() compare.Suite {
	return &compare.Cases[taintCase]{
		Parts: []string{"taint/stay", "taint/defaults"},
		Corners: []taintCase{
			{raw([]any{}), raw([]any{})},
			{raw([]any{tree{"key": "a", "effect": "NoExecute"}}), raw([]any{tree{"operator": "Exists", "tolerationSeconds": int64(math.MaxInt64)}})},
		},
		Generate: randomTaints,
		Compare:  compareTaints,
		Shrink: func(c taintCase) iter.Seq[taintCase] {
			return func(yield func(taintCase) bool) {
				for p := range shrinkPod(podCase{raw(tree{"a": c.Taints, "b": c.Tolerations})}) {
					var parts map[string]json.RawMessage
					if json.Unmarshal(p.Pod, &parts) == nil && parts["a"] != nil && parts["b"] != nil && !yield(taintCase{parts["a"], parts["b"]}) {
						return
					}
				}
			}
		},
		Documented: []compare.Difference[taintCase]{{Differs: differsStay, Applies: func(c taintCase, d compare.Disagreement) bool {
			return d.Part == "taint/stay" && d.Ours == fmt.Sprint(math.MaxInt64/int64(time.Second)*int64(time.Second)) &&
				strings.Contains(string(c.Tolerations), fmt.Sprint(math.MaxInt64-1))
		}}},
	}
}

func randomTaints(r *rand.Rand) taintCase {
	taints, tolerations := []any{}, []any{}
	for range r.IntN(4) {
		taints = append(taints, tree{"key": pick(r, "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "a"), "value": pick(r, "", "x"),
			"effect": pick(r, "NoExecute", "NoExecute", "NoSchedule", "PreferNoSchedule")})
	}
	for range r.IntN(5) {
		t := tree{"key": pick(r, "", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "a"), "operator": pick(r, "", "Equal", "Exists", "Lt", "Gt"),
			"value": pick(r, "", "x", "5"), "effect": pick(r, "", "NoExecute", "NoSchedule")}
		if r.IntN(2) == 0 {
			t["tolerationSeconds"] = pick(r, int64(0), -1, 1, 30, 300, math.MaxInt64, math.MaxInt64-1)
		}
		tolerations = append(tolerations, t)
	}
	return taintCase{raw(taints), raw(tolerations)}
}

func compareTaints(c taintCase, rec *compare.Record) {
	var ut []v1.Taint
	var ot []qos.Taint
	var utol []v1.Toleration
	var otol []qos.Toleration
	for _, err := range []error{json.Unmarshal(c.Taints, &ut), json.Unmarshal(c.Taints, &ot), json.Unmarshal(c.Tolerations, &utol), json.Unmarshal(c.Tolerations, &otol)} {
		if err != nil {
			rec.Text("taint/stay", "decodes", err.Error())
			return
		}
	}
	rec.Text("taint/stay", upstreamStay(ut, utol), ourStay(qos.StayOn(ot, otol)))

	pod := v1.Pod{Spec: v1.PodSpec{Tolerations: utol}}
	var internal core.Pod
	if err := corev1.Convert_v1_Pod_To_core_Pod(&pod, &internal, nil); err != nil {
		rec.Text("taint/defaults", "converts", err.Error())
		return
	}
	plugin := defaulttolerationseconds.NewDefaultTolerationSeconds()
	plugin.InspectFeatureGates(nil)
	attributes := admission.NewAttributesRecord(&internal, nil, schema.GroupVersionKind{}, "", "", core.Resource("pods").WithVersion("v1"), "", admission.Create, nil, false, nil)
	if err := plugin.Admit(silent, attributes, nil); err != nil {
		rec.Text("taint/defaults", "admits", err.Error())
		return
	}
	var us, os []string
	for _, t := range internal.Spec.Tolerations {
		us = append(us, fmt.Sprint(t.Key, t.Operator, t.Value, t.Effect, seconds(t.TolerationSeconds)))
	}
	for _, t := range qos.DefaultTolerations(otol) {
		os = append(os, fmt.Sprint(t.Key, core.TolerationOperator(t.Operator), t.Value, core.TaintEffect(t.Effect), seconds(t.TolerationSeconds)))
	}
	rec.Text("taint/defaults", strings.Join(us, "; "), strings.Join(os, "; "))
}

func seconds(s *int64) string {
	if s == nil {
		return " forever"
	}
	return fmt.Sprint(" ", *s)
}

// upstreamStay does what the taint eviction controller does for a tainted node.
func upstreamStay(taints []v1.Taint, tolerations []v1.Toleration) string {
	taints = slices.DeleteFunc(slices.Clone(taints), func(t v1.Taint) bool { return t.Effect != v1.TaintEffectNoExecute })
	if len(taints) == 0 {
		return "forever"
	}
	tolerated, used := v1helper.GetMatchingTolerations(klog.Logger{}, taints, tolerations)
	if !tolerated {
		return "0"
	}
	if d := getMinTolerationTime(used); d >= 0 {
		return fmt.Sprint(d)
	}
	return "forever" // as the controller takes a product that wrapped, too
}

func ourStay(s qos.Stay) string {
	if s.Forever {
		return "forever"
	}
	return fmt.Sprint(int64(s.For))
}

// zoneCase is how many nodes of each zone are ready, pass by pass.
type zoneCase struct {
	Passes []map[string]qos.Zone `json:"passes"`
}

func zoneSuite() compare.Suite {
	return &compare.Cases[zoneCase]{
		Parts: []string{"zone/state", "zone/rate"},
		Generate: func(r *rand.Rand) zoneCase {
			var c zoneCase
			zones := 1 // zones come but do not go: what upstream does then depends on its map iteration
			for range 1 + r.IntN(6) {
				pass := map[string]qos.Zone{}
				zones = max(zones, 1+r.IntN(3))
				for _, name := range []string{"a", "b", "c"}[:zones] {
					size := pick(r, 1, 3, 10, 50, 51, 60)
					down := pick(r, 0, 0, r.IntN(size+1), size, size*55/100, size*55/100+1)
					pass[name] = qos.Zone{Ready: size - min(down, size), NotReady: min(down, size)}
				}
				c.Passes = append(c.Passes, pass)
			}
			return c
		},
		Compare: compareZones,
		Shrink: func(c zoneCase) iter.Seq[zoneCase] {
			return func(yield func(zoneCase) bool) {
				for i := range c.Passes {
					if !yield(zoneCase{slices.Delete(slices.Clone(c.Passes), i, i+1)}) {
						return
					}
				}
			}
		},
	}
}

// compareZones gives the node lifecycle controller just the parts that its
// handling of disruptions uses.
func compareZones(c zoneCase, rec *compare.Record) {
	nc := new(nodelifecycle.Controller)
	*hidden(nc, "evictionLimiterQPS").Addr().Interface().(*float32) = 0.1
	*hidden(nc, "secondaryEvictionLimiterQPS").Addr().Interface().(*float32) = 0.01
	*hidden(nc, "largeClusterThreshold").Addr().Interface().(*int32) = 50
	*hidden(nc, "unhealthyZoneThreshold").Addr().Interface().(*float32) = 0.55
	hidden(nc, "enterPartialDisruptionFunc").Set(reflectValue(nc.ReducedQPSFunc))
	hidden(nc, "enterFullDisruptionFunc").Set(reflectValue(nc.HealthyQPSFunc))
	hidden(nc, "computeZoneStateFunc").Set(reflectValue(nc.ComputeZoneState))
	states, queues := map[string]nodelifecycle.ZoneState{}, map[string]*nodescheduler.RateLimitedTimedQueue{}
	hidden(nc, "zoneStates").Set(reflectValue(states))
	hidden(nc, "zoneNoExecuteTainter").Set(reflectValue(queues))
	*hidden(nc, "now").Addr().Interface().(*func() metav1Time) = metav1Now

	ours := qos.NewZones(qos.ZoneConfig{})
	for i, pass := range c.Passes {
		conditions := map[string][]*v1.NodeCondition{}
		for name, z := range pass {
			if _, known := states[name]; !known {
				states[name] = "Initial"
				queues[name] = nodescheduler.NewRateLimitedTimedQueue(newLimiter(0.1))
			}
			for k := range z.Ready + z.NotReady {
				status := v1.ConditionTrue
				if k >= z.Ready {
					status = pick(rand.New(rand.NewPCG(uint64(k), 1)), v1.ConditionFalse, v1.ConditionUnknown)
				}
				conditions[name] = append(conditions[name], &v1.NodeCondition{Type: v1.NodeReady, Status: status})
			}
		}
		handleDisruption(nc, silent, conditions, nil)
		ours.Update(pass, created.Add(time.Duration(i)*time.Minute))
		var us, os, urate, orate []string
		for _, name := range []string{"a", "b", "c"} {
			if _, ok := pass[name]; !ok {
				continue
			}
			rate, state := ours.Rate(name)
			us, os = append(us, string(states[name])), append(os, state.String())
			urate, orate = append(urate, fmt.Sprint(limiterQPS(queues[name]))), append(orate, fmt.Sprint(float32(rate)))
		}
		label := fmt.Sprintf("pass %d: ", i)
		rec.Text("zone/state", label+strings.Join(us, " "), label+strings.Join(os, " "))
		rec.Text("zone/rate", label+strings.Join(urate, " "), label+strings.Join(orate, " "))
	}
}
