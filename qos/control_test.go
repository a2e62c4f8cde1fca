package qos

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func withPriority(p *Pod, priority int32) *Pod {
	p.Spec.Priority = &priority
	return p
}

func named(name string, p *Pod) *Pod {
	p.Metadata.Name, p.Metadata.Namespace, p.Metadata.UID = name, "default", name
	return p
}

func podNames(pods []*Pod) (out []string) {
	for _, p := range pods {
		out = append(out, p.Metadata.Name)
	}
	return out
}

func TestPreemptionVictims(t *testing.T) {
	critical := withPriority(named("critical", podOf(container(list("memory", "1Gi"), nil))), SystemCriticalPriority)
	burstable := func(name, memory string) *Pod { return named(name, podOf(container(list("memory", memory), nil))) }
	guaranteed := func(name, memory string) *Pod {
		full := list("cpu", "1", "memory", memory)
		return named(name, podOf(container(full, full)))
	}
	bestEffort := named("besteffort", podOf(container(nil, nil)))
	running := []*Pod{guaranteed("g1", "4Gi"), burstable("b1", "100Mi"), burstable("b2", "600Mi"), bestEffort, burstable("b3", "500Mi"),
		withPriority(burstable("other-critical", "8Gi"), SystemCriticalPriority)}
	for _, c := range []struct {
		name  string
		short []Shortage
		want  []string
	}{
		{"nothing short", nil, nil},
		{"one pod fits exactly", []Shortage{{"memory", 500 << 20}}, []string{"b3"}},
		{"the smaller of those that do", []Shortage{{"memory", 400 << 20}}, []string{"b3"}},
		{"several", []Shortage{{"memory", 1100 << 20}}, []string{"b2", "b3"}},
		{"a guaranteed pod only if need be", []Shortage{{"memory", 2 << 30}}, []string{"g1"}},
		{"a slot: best effort goes", []Shortage{{"pods", 1}}, []string{"besteffort"}},
		{"cpu: only the guaranteed pod has some", []Shortage{{"cpu", 1}}, []string{"g1"}},
		{"two resources", []Shortage{{"memory", 600 << 20}, {"pods", 2}}, []string{"besteffort", "b2"}},
	} {
		victims, err := PreemptionVictims(critical, running, c.short)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, podNames(victims), c.name)
	}
	_, err := PreemptionVictims(critical, running, []Shortage{{"memory", 8 << 30}, {"cpu", 1}})
	require.EqualError(t, err, "no set of running pods found to reclaim resources: [(res: memory, q: 3036676096), ]")
	_, err = PreemptionVictims(running[1], running, nil)
	require.ErrorContains(t, err, "pod default/b1 is not critical")
}

// The victims free what is short, together.
func TestPreemptionVictimsSuffice(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	critical := withPriority(podOf(), SystemCriticalPriority)
	found := 0
	for range 2000 {
		var running []*Pod
		for i := range r.IntN(8) {
			running = append(running, named(fmt.Sprint("p", i), podOf(container(list("cpu", fmt.Sprintf("%dm", r.IntN(2000))), nil))))
		}
		short := []Shortage{{"cpu", 1 + r.Int64N(3000)}, {"pods", 1 + r.Int64N(3)}}
		victims, err := PreemptionVictims(critical, running, short)
		if err != nil {
			continue
		}
		found++
		for _, s := range short {
			freed := int64(0)
			for _, v := range victims {
				freed += admissionRequest(v, s.Resource)
			}
			require.GreaterOrEqual(t, freed, s.Amount)
		}
	}
	require.NotZero(t, found)
}

func TestStayOn(t *testing.T) {
	taint := func(key string) Taint { return Taint{Key: key, Effect: "NoExecute"} }
	tolerate := func(key string, seconds ...int64) Toleration {
		tol := Toleration{Key: key, Operator: "Exists", Effect: "NoExecute"}
		if len(seconds) > 0 {
			tol.TolerationSeconds = &seconds[0]
		}
		return tol
	}
	for _, c := range []struct {
		name        string
		taints      []Taint
		tolerations []Toleration
		want        Stay
	}{
		{"no taints", nil, nil, Stay{Forever: true}},
		{"NoSchedule does not drive out", []Taint{{Key: "a", Effect: "NoSchedule"}}, nil, Stay{Forever: true}},
		{"not tolerated", []Taint{taint("a")}, []Toleration{tolerate("b")}, Stay{}},
		{"one of two not tolerated", []Taint{taint("a"), taint("b")}, []Toleration{tolerate("b")}, Stay{}},
		{"forever", []Taint{taint("a")}, []Toleration{tolerate("a")}, Stay{Forever: true}},
		{"the shorter", []Taint{taint("a"), taint("b")}, []Toleration{tolerate("a", 300), tolerate("b", 30)}, Stay{For: 30 * time.Second}},
		{"the first that matches", []Taint{taint("a")}, []Toleration{tolerate("a", 300), tolerate("a", 30)}, Stay{For: 300 * time.Second}},
		{"negative is none", []Taint{taint("a")}, []Toleration{tolerate("a", -5)}, Stay{}},
		{"huge", []Taint{taint("a")}, []Toleration{tolerate("a", math.MaxInt64-1)}, Stay{For: math.MaxInt64 / time.Second * time.Second}},
	} {
		require.Equal(t, c.want, StayOn(c.taints, c.tolerations), c.name)
	}
	added := DefaultTolerations([]Toleration{tolerate("a")})
	require.Len(t, added, 3)
	require.Equal(t, Stay{For: 300 * time.Second}, StayOn([]Taint{taint("node.kubernetes.io/unreachable")}, added))
	require.Len(t, DefaultTolerations([]Toleration{{Operator: "Exists"}}), 1, "tolerates everything already")
}

func TestTaintEvictor(t *testing.T) {
	var e TaintEvictor
	unreachable := []Taint{{Key: "node.kubernetes.io/unreachable", Effect: "NoExecute"}}
	defaults := DefaultTolerations(nil)
	leave, leaves := e.Sync("a", unreachable, defaults, epoch)
	require.True(t, leaves)
	require.Equal(t, epoch.Add(300*time.Second), leave)
	_, leaves = e.Sync("forever", unreachable, []Toleration{{Operator: "Exists"}}, epoch)
	require.False(t, leaves)
	e.Sync("b", unreachable, defaults, epoch.Add(time.Second))
	e.Sync("now", unreachable, nil, epoch.Add(2*time.Second))
	require.Equal(t, []string{"now"}, e.Due(epoch.Add(2*time.Second)))
	next, ok := e.Next()
	require.True(t, ok)
	require.Equal(t, leave, next)

	ten := int64(10)
	shorter := []Toleration{{Operator: "Exists", TolerationSeconds: &ten}}
	again, _ := e.Sync("a", unreachable, shorter, epoch.Add(5*time.Second))
	require.Equal(t, leave, again, "what is set stays set")
	_, leaves = e.Sync("a", nil, defaults, epoch.Add(6*time.Second))
	require.False(t, leaves, "the taint is gone")
	_, leaves = e.Sync("a", unreachable, defaults, epoch.Add(7*time.Second))
	require.True(t, leaves)
	require.Empty(t, e.Due(epoch.Add(300*time.Second)))
	require.Equal(t, []string{"b", "a"}, e.Due(epoch.Add(time.Hour)))
	_, ok = e.Next()
	require.False(t, ok)
	require.False(t, e.Cancel("a"))
}

// At any time the pods due are those whose time has come, in order, once each.
func TestTaintEvictorKeepsTime(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	taints := []Taint{{Key: "a", Effect: "NoExecute"}}
	for range 200 {
		var e TaintEvictor
		model := map[string]time.Time{}
		now := epoch
		for range 60 {
			now = now.Add(time.Duration(r.IntN(3)) * time.Second)
			pod := fmt.Sprint("p", r.IntN(6))
			seconds := int64(r.IntN(20))
			switch r.IntN(4) {
			case 0:
				e.Cancel(pod)
				delete(model, pod)
			default:
				leave, leaves := e.Sync(pod, taints, []Toleration{{Operator: "Exists", TolerationSeconds: &seconds}}, now)
				require.True(t, leaves)
				model[pod] = leave
			}
			var want []string
			for pod, leave := range model {
				if !leave.After(now) {
					want = append(want, pod)
				}
			}
			slices.SortFunc(want, func(a, b string) int {
				if order := model[a].Compare(model[b]); order != 0 {
					return order
				}
				return compareNames(a, b)
			})
			require.Equal(t, want, e.Due(now))
			for _, pod := range want {
				delete(model, pod)
			}
		}
	}
}

func compareNames(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func TestZones(t *testing.T) {
	z := NewZones(ZoneConfig{})
	counts := map[string]Zone{"a": {Ready: 10}, "b": {Ready: 100}}
	require.Zero(t, z.Update(counts, epoch))
	require.True(t, z.Add("a", "a1"))
	require.False(t, z.Add("a", "a1"), "it waits already")
	require.True(t, z.Add("a", "a2"))
	require.True(t, z.Add("b", "b1"))
	require.Equal(t, []string{"a1", "b1"}, z.Due(epoch), "one of each zone")
	require.Empty(t, z.Due(epoch.Add(9*time.Second)))
	require.Equal(t, []string{"a2"}, z.Due(epoch.Add(10*time.Second)), "0.1 nodes a second")
	require.False(t, z.Add("a", "a2"), "tainted already")
	require.True(t, z.Remove("a", "a2"))
	require.False(t, z.Remove("a", "a2"))

	rateOf := func(name string) string { rate, state := z.Rate(name); return fmt.Sprint(rate, " ", state) }
	counts = map[string]Zone{"a": {Ready: 4, NotReady: 6}, "b": {Ready: 40, NotReady: 60}}
	require.Zero(t, z.Update(counts, epoch))
	require.Equal(t, "0 PartialDisruption", rateOf("a"), "small zones stop")
	require.Equal(t, "0.01 PartialDisruption", rateOf("b"))
	counts["a"] = Zone{NotReady: 10}
	require.Zero(t, z.Update(counts, epoch))
	require.Equal(t, "0.1 FullDisruption", rateOf("a"), "one dead zone among others is evacuated")
	z.Add("b", "b2")
	counts["b"] = Zone{NotReady: 100}
	require.Equal(t, ZoneChange{EnterStop: true}, z.Update(counts, epoch.Add(time.Minute)))
	require.Equal(t, "0 FullDisruption", rateOf("b"))
	require.Zero(t, z.Update(counts, epoch.Add(2*time.Minute)))
	require.Empty(t, z.Due(epoch.Add(time.Hour)))
	counts["b"] = Zone{Ready: 1, NotReady: 99}
	require.Equal(t, ZoneChange{LeaveStop: true}, z.Update(counts, epoch.Add(time.Hour)))
	require.Equal(t, "0.1 FullDisruption", rateOf("a"))
	require.True(t, z.Add("a", "a3"))
	require.Empty(t, z.Due(epoch.Add(time.Hour)), "after a stop the first node waits too")
	require.Equal(t, []string{"a3"}, z.Due(epoch.Add(time.Hour+10*time.Second)))
	z.Update(map[string]Zone{"b": {Ready: 1}}, epoch.Add(2*time.Hour))
	require.Equal(t, "0.1 Initial", rateOf("a"), "forgotten")
	require.Equal(t, ZonePartial, ZoneConfig{}.State(Zone{Ready: 2, NotReady: 3}))
	require.Equal(t, ZoneNormal, ZoneConfig{}.State(Zone{Ready: 1, NotReady: 2}), "fewer than three down")
}

func ready(p *Pod, owner string) *Pod {
	p.Status.Phase = "Running"
	p.Status.Conditions = []PodCondition{{Type: "Ready", Status: "True"}}
	if owner != "" {
		yes := true
		p.Metadata.OwnerReferences = []OwnerReference{{Kind: "ReplicaSet", Name: owner, UID: owner, Controller: &yes}}
	}
	return p
}

func decodeBudget(t *testing.T, text string) *Budget {
	var b Budget
	require.NoError(t, json.Unmarshal([]byte(text), &b))
	return &b
}

func TestBudgetSync(t *testing.T) {
	var pods []*Pod
	for i := range 4 {
		pods = append(pods, ready(named(fmt.Sprint("p", i), podOf()), "rs"))
	}
	pods = append(pods, ready(named("lonely", podOf()), ""))
	pods[0].Status.Conditions[0].Status = "False"
	deleted := epoch
	pods[1].Metadata.DeletionTimestamp = &deleted
	scale := func(o OwnerReference) (int32, bool) { return 5, o.UID == "rs" }
	for _, c := range []struct {
		spec                                string
		expected, desired, healthy, allowed int32
	}{
		{`{"spec":{}}`, 0, 0, 3, 0},
		{`{"spec":{"minAvailable":2}}`, 5, 2, 3, 1},
		{`{"spec":{"minAvailable":"50%"}}`, 5, 3, 3, 0},
		{`{"spec":{"minAvailable":"20%"}}`, 5, 1, 3, 2},
		{`{"spec":{"maxUnavailable":"30%"}}`, 5, 3, 3, 0},
		{`{"spec":{"maxUnavailable":3}}`, 5, 2, 3, 1},
		{`{"spec":{"maxUnavailable":9}}`, 5, 0, 3, 3},
		{`{"spec":{"minAvailable":1},"status":{"disruptedPods":{"p2":"2025-12-31T23:59:00Z","p3":"2025-12-31T23:00:00Z","gone":"2025-12-31T23:59:00Z"}}}`, 5, 1, 2, 1},
	} {
		status, err := decodeBudget(t, c.spec).Sync(pods, scale, epoch)
		require.NoError(t, err, c.spec)
		require.Equal(t, []int32{c.expected, c.desired, c.healthy, c.allowed},
			[]int32{status.ExpectedPods, status.DesiredHealthy, status.CurrentHealthy, status.DisruptionsAllowed}, c.spec)
	}
	unknown := func(OwnerReference) (int32, bool) { return 0, false }
	status, err := decodeBudget(t, `{"spec":{"maxUnavailable":1},"status":{"disruptionsAllowed":3,"currentHealthy":4}}`).Sync(pods, unknown, epoch)
	require.EqualError(t, err, `found no controllers for pod "p0"`)
	require.Zero(t, status.DisruptionsAllowed)
	require.EqualValues(t, 4, status.CurrentHealthy)
	_, err = decodeBudget(t, `{"spec":{"maxUnavailable":"many"}}`).Sync(pods, scale, epoch)
	require.ErrorContains(t, err, "string is not a percentage")
	_, err = decodeBudget(t, `{"spec":{"minAvailable":"x%"}}`).Sync(pods, scale, epoch)
	require.ErrorContains(t, err, `invalid value "x%"`)
	var b Budget
	require.ErrorContains(t, json.Unmarshal([]byte(`{"spec":{"minAvailable":""}}`), &b), "want a number or a percentage")
	require.Error(t, json.Unmarshal([]byte(`{"spec":{"minAvailable":1.5}}`), &b))
	data, err := json.Marshal([]IntOrPercent{{Int: 3}, {Text: "5%"}})
	require.NoError(t, err)
	require.Equal(t, `[3,"5%"]`, string(data))
}

func TestEvict(t *testing.T) {
	pod := ready(named("p", podOf()), "rs")
	unready := ready(named("p", podOf()), "rs")
	unready.Status.Conditions = nil
	pending := named("p", podOf())
	pending.Status.Phase = "Pending"
	budget := func(status string) []*Budget {
		return []*Budget{decodeBudget(t, `{"metadata":{"name":"b","generation":2},"status":{"observedGeneration":2,`+status+`}}`)}
	}
	for _, c := range []struct {
		name     string
		pod      *Pod
		covering []*Budget
		code     int
		want     string
	}{
		{"no budget", pod, nil, 0, ""},
		{"two budgets", pod, append(budget(`"disruptionsAllowed":1`), budget(`"disruptionsAllowed":1`)...), 500, "more than one PodDisruptionBudget"},
		{"allowed", pod, budget(`"disruptionsAllowed":1`), 0, "charged"},
		{"none left", pod, budget(`"disruptionsAllowed":0,"currentHealthy":2,"desiredHealthy":2`), 429, "The disruption budget b needs 2 healthy pods and has 2 currently"},
		{"sync failed", pod, budget(`"disruptionsAllowed":0,"conditions":[{"type":"DisruptionAllowed","status":"False","reason":"SyncFailed","message":"no scale"}]`), 429, "because it failed sync: no scale"},
		{"another reason", pod, budget(`"disruptionsAllowed":0,"currentHealthy":3,"desiredHealthy":2,"conditions":[{"type":"DisruptionAllowed","status":"False","reason":"X","message":"y"}]`), 429, "currently (X): y"},
		{"no reason", pod, budget(`"disruptionsAllowed":0,"currentHealthy":3,"desiredHealthy":2`), 429, "does not allow evicting pods currently"},
		{"stale", pod, []*Budget{decodeBudget(t, `{"metadata":{"name":"b","generation":3},"status":{"observedGeneration":2,"disruptionsAllowed":1}}`)}, 429, "still being processed"},
		{"negative", pod, budget(`"disruptionsAllowed":-1`), 403, "negative"},
		{"pending pods are free", pending, budget(`"disruptionsAllowed":0`), 0, ""},
		{"unready pod, enough others", unready, budget(`"disruptionsAllowed":0,"currentHealthy":2,"desiredHealthy":2`), 0, ""},
		{"unready pod, too few others", unready, budget(`"disruptionsAllowed":0,"currentHealthy":1,"desiredHealthy":2`), 429, "needs 2 healthy pods and has 1"},
		{"unready pod, always allowed", unready, []*Budget{decodeBudget(t, `{"spec":{"unhealthyPodEvictionPolicy":"AlwaysAllow"}}`)}, 0, ""},
	} {
		charged, err := Evict(c.pod, c.covering, epoch)
		if c.code > 0 {
			var refused *BudgetError
			require.ErrorAs(t, err, &refused, c.name)
			require.Equal(t, c.code, refused.Code, c.name)
			require.ErrorContains(t, err, c.want, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		require.Equal(t, c.want == "charged", charged != nil, c.name)
		if charged != nil {
			require.Zero(t, charged.Status.DisruptionsAllowed)
			require.Equal(t, epoch, charged.Status.DisruptedPods["p"])
			require.EqualValues(t, 1, c.covering[0].Status.DisruptionsAllowed, "the budget itself is not changed")
		}
	}
	crowded := budget(`"disruptionsAllowed":1`)
	crowded[0].Status.DisruptedPods = map[string]time.Time{}
	for i := range maxDisruptedPods + 1 {
		crowded[0].Status.DisruptedPods[fmt.Sprint(i)] = epoch
	}
	_, err := Evict(pod, crowded, epoch)
	require.ErrorContains(t, err, "DisruptedPods map too big")
}

func TestDrain(t *testing.T) {
	low, high := withPriority(ready(named("low", podOf()), "rs"), -1), withPriority(ready(named("high", podOf()), "rs"), 10)
	daemon := ready(named("daemon", podOf()), "ds")
	daemon.Metadata.OwnerReferences[0].Kind = "DaemonSet"
	lonely, data := ready(named("lonely", podOf()), ""), ready(named("data", podOf()), "rs")
	data.Spec.Volumes = []Volume{{Name: "v", EmptyDir: &EmptyDirVolume{}}}
	done, mirror := named("done", podOf()), ready(named("mirror", podOf()), "")
	done.Status.Phase = "Succeeded"
	mirror.Metadata.Annotations = map[string]string{configMirrorAnnotation: ""}
	critical := withPriority(ready(named("critical", podOf()), "rs"), SystemCriticalPriority)
	pods := []*Pod{high, critical, low, daemon, lonely, data, done, mirror}
	b := decodeBudget(t, `{"metadata":{"name":"b"},"status":{"disruptionsAllowed":1,"currentHealthy":3,"desiredHealthy":2}}`)
	covering := func(p *Pod) []*Budget {
		if p == low || p == high {
			return []*Budget{b}
		}
		return nil
	}
	show := func(steps []DrainStep) (out []string) {
		for _, s := range steps {
			out = append(out, fmt.Sprintf("%s: %v", s.Pod.Metadata.Name, s.Action))
		}
		return out
	}
	require.Equal(t, []string{"low: evict", "done: evict", "high: wait", "critical: evict", "daemon: refuse", "data: refuse", "lonely: refuse", "mirror: skip"},
		show(Drain(pods, DrainOptions{}, covering, epoch)))
	steps := Drain(pods, DrainOptions{IgnoreDaemonSets: true, DeleteEmptyDirData: true, Force: true}, covering, epoch)
	require.Equal(t, []string{"low: evict", "data: evict", "done: evict", "lonely: evict", "high: wait", "critical: evict", "daemon: skip", "mirror: skip"}, show(steps))
	require.Equal(t, "allowed by b", steps[0].Why)
	require.Contains(t, steps[4].Why, "The disruption budget b does not allow evicting pods currently")
	require.EqualValues(t, 1, b.Status.DisruptionsAllowed)
	require.Equal(t, "DrainAction(7)", DrainAction(7).String())
}

func TestExplain(t *testing.T) {
	over, within := Compile(named("over", podOf(container(list("memory", "1Mi"), nil)))), Compile(named("within", podOf(container(list("memory", "9Mi"), nil))))
	stats := &PodStats{Memory: &MemoryStats{WorkingSetBytes: bytesOf("5Mi")}, Processes: &ProcessStats{Count: bytesOf("7")}}
	over.Observe(stats)
	within.Observe(stats)
	vital := Compile(withPriority(named("vital", podOf()), SystemCriticalPriority))
	var reasons []string
	for _, e := range Explain([]Candidate{within, over, vital}, MemoryAvailable, Layout{}) {
		reasons = append(reasons, e.Pod.Metadata.Name+": "+e.Reason())
	}
	require.Equal(t, []string{
		"vital: critical: never evicted; no statistics; priority 2000000000",
		"over: exceeds its request of memory; priority 0; use less request 4Mi",
		"within: within its request of memory; priority 0; use less request -4Mi",
	}, reasons)
	reasons = nil
	for _, e := range Explain([]Candidate{within, over, vital}, PIDAvailable, Layout{}) {
		reasons = append(reasons, e.Reason())
	}
	require.Equal(t, []string{"priority 0; 7 processes", "priority 0; 7 processes", "critical: never evicted; priority 2000000000; no statistics"}, reasons)
}

func TestNodeTaints(t *testing.T) {
	keys := func(taints []Taint) (out []string) {
		for _, x := range taints {
			require.Equal(t, "NoSchedule", x.Effect)
			out = append(out, x.Key)
		}
		return out
	}
	require.Equal(t, []string{"node.kubernetes.io/memory-pressure", "node.kubernetes.io/unreachable", "node.kubernetes.io/network-unavailable", "node.kubernetes.io/unschedulable"},
		keys(NodeTaints([]NodeCondition{{"MemoryPressure", "True"}, {"DiskPressure", "False"}, {"PIDPressure", "Unknown"}, {"Ready", "Unknown"}, {"NetworkUnavailable", "True"}, {"Other", "True"}}, true)))
	require.Empty(t, NodeTaints([]NodeCondition{{"Ready", "True"}}, false))
	for status, want := range map[string]string{"False": "node.kubernetes.io/not-ready", "Unknown": "node.kubernetes.io/unreachable", "True": ""} {
		taint, ok := EvictionTaint([]NodeCondition{{"DiskPressure", "True"}, {"Ready", status}})
		require.Equal(t, want != "", ok)
		require.Equal(t, want, taint.Key)
	}
	_, ok := EvictionTaint(nil)
	require.False(t, ok)
}
