package qos_test

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
)

// pod decodes a pod, for examples.
func pod(text string) *qos.Pod {
	p, err := qos.DecodePod([]byte(text))
	if err != nil {
		panic(err)
	}
	return p
}

// A node runs out of memory: the pod that exceeds its request goes, although
// its class is higher than that of the other.
func ExampleEvictor() {
	pods := []*qos.Pod{
		pod(`{"metadata": {"name": "idle", "uid": "1"}, "spec": {"containers": [{"name": "c"}]}}`),
		pod(`{"metadata": {"name": "busy", "uid": "2"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"memory": "64Mi"}}}]}}`),
	}
	var stats qos.Summary
	if err := json.Unmarshal([]byte(`{
		"node": {"memory": {"availableBytes": 50000000, "workingSetBytes": 950000000}},
		"pods": [{"podRef": {"uid": "1"}, "memory": {"workingSetBytes": 0}},
		         {"podRef": {"uid": "2"}, "memory": {"workingSetBytes": 900000000}}]}`), &stats); err != nil {
		panic(err)
	}
	thresholds, err := qos.EvictionSettings{}.Thresholds() // the kubelet's defaults
	if err != nil {
		panic(err)
	}
	evictor, err := qos.NewEvictor(qos.EvictorConfig{Thresholds: thresholds})
	if err != nil {
		panic(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := evictor.Step(now, qos.Observe(&stats), qos.Candidates(pods, &stats))
	fmt.Println(d.Conditions, d.Taints()[0].Key)
	for _, e := range d.Evict {
		fmt.Printf("%s within %d s: %s\n", e.Pod.Metadata.Name, e.GracePeriodSeconds, e.Message)
	}
	// Output:
	// [MemoryPressure] node.kubernetes.io/memory-pressure
	// busy within 1 s: The node was low on resource: memory. Threshold quantity: 100Mi, available: 50000000.
}

func ExampleExplain() {
	var stats qos.Summary
	if err := json.Unmarshal([]byte(`{"pods": [{"podRef": {"uid": "1"}, "process_stats": {"process_count": 3}},
		{"podRef": {"uid": "2"}, "process_stats": {"process_count": 30}}]}`), &stats); err != nil {
		panic(err)
	}
	candidates := qos.Candidates([]*qos.Pod{
		pod(`{"metadata": {"namespace": "shop", "name": "few", "uid": "1"}}`),
		pod(`{"metadata": {"namespace": "shop", "name": "many", "uid": "2"}}`),
		pod(`{"metadata": {"namespace": "shop", "name": "precious", "uid": "3"}, "spec": {"priority": 1000}}`),
	}, &stats)
	if err := qos.WriteTable(os.Stdout, qos.Explain(candidates, qos.PIDAvailable, qos.Layout{})); err != nil {
		panic(err)
	}
	// Output:
	// PLACE  POD            CLASS       WHY
	// 1      shop/many      BestEffort  priority 0; 30 processes
	// 2      shop/few       BestEffort  priority 0; 3 processes
	// 3      shop/precious  BestEffort  priority 1000; no statistics
}

func ExampleOOMScoreAdj() {
	p := pod(`{"spec": {"containers": [{"name": "c", "resources": {"requests": {"memory": "1Gi"}}}]}}`)
	score, err := qos.OOMScoreAdj(p, &p.Spec.Containers[0], 10<<30)
	fmt.Println(score, err)
	// Output: 900 <nil>
}

func ExamplePodCgroup() {
	p := pod(`{"spec": {"containers": [{"resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "memory": "64Mi"}}}]}}`)
	g, err := qos.PodCgroup(p, qos.CgroupConfig{})
	if err != nil {
		panic(err)
	}
	fmt.Println("cpu.shares", g.Shares, "cpu.weight", qos.WeightLinear(g.Shares.Value), "cfs_quota_us", g.QuotaUs, "limit", g.MemoryBytes)
	// Output: cpu.shares 256 cpu.weight 10 cfs_quota_us 50000 limit 67108864
}

func ExampleAllocatable() {
	thresholds, err := qos.EvictionSettings{}.Thresholds()
	if err != nil {
		panic(err)
	}
	capacity := resource.List{qos.CPU: resource.MustParse("4"), qos.Memory: resource.MustParse("16Gi")}
	left := qos.Allocatable(capacity, qos.Reservation{Kube: resource.List{qos.Memory: resource.MustParse("1Gi")}, Thresholds: thresholds})
	fmt.Println(left[qos.CPU], left[qos.Memory])
	// Output: 4 15260Mi
}

func ExamplePreemptionVictims() {
	critical := pod(`{"spec": {"priority": 2000000000}}`)
	running := []*qos.Pod{
		pod(`{"metadata": {"name": "large"}, "spec": {"containers": [{"resources": {"requests": {"memory": "4Gi"}}}]}}`),
		pod(`{"metadata": {"name": "right"}, "spec": {"containers": [{"resources": {"requests": {"memory": "1Gi"}}}]}}`),
	}
	victims, err := qos.PreemptionVictims(critical, running, []qos.Shortage{{Resource: qos.Memory, Amount: 900 << 20}})
	fmt.Println(victims[0].Metadata.Name, err)
	// Output: right <nil>
}

func ExampleTaintEvictor() {
	var e qos.TaintEvictor
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	unreachable := []qos.Taint{{Key: "node.kubernetes.io/unreachable", Effect: "NoExecute"}}
	leave, _ := e.Sync("shop/web", unreachable, qos.DefaultTolerations(nil), now)
	fmt.Println(leave.Sub(now))
	fmt.Println(e.Due(now.Add(4*time.Minute)), e.Due(now.Add(5*time.Minute)))
	// Output:
	// 5m0s
	// [] [shop/web]
}

func ExampleZones() {
	z := qos.NewZones(qos.ZoneConfig{})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	z.Update(map[string]qos.Zone{"a": {Ready: 98, NotReady: 2}, "b": {Ready: 3, NotReady: 97}}, now)
	for _, name := range []string{"a", "b"} {
		rate, state := z.Rate(name)
		fmt.Printf("zone %s: %v, %v nodes a second\n", name, state, rate)
	}
	z.Add("a", "node-1")
	z.Add("a", "node-2")
	fmt.Println(z.Due(now), z.Due(now.Add(5*time.Second)), z.Due(now.Add(10*time.Second)))
	// Output:
	// zone a: Normal, 0.1 nodes a second
	// zone b: PartialDisruption, 0.01 nodes a second
	// [node-1] [] [node-2]
}

func ExampleBudget() {
	var b qos.Budget
	if err := json.Unmarshal([]byte(`{"metadata": {"name": "web"}, "spec": {"maxUnavailable": "25%"}}`), &b); err != nil {
		panic(err)
	}
	var pods []*qos.Pod
	for i := range 4 {
		pods = append(pods, pod(fmt.Sprintf(`{"metadata": {"name": "web-%d", "ownerReferences": [{"uid": "rs", "controller": true}]},
			"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}`, i)))
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	scale := func(qos.OwnerReference) (int32, bool) { return 4, true }
	var err error
	if b.Status, err = b.Sync(pods, scale, now); err != nil {
		panic(err)
	}
	fmt.Println("allowed:", b.Status.DisruptionsAllowed)
	charged, err := qos.Evict(pods[0], []*qos.Budget{&b}, now)
	fmt.Println("allowed after one:", charged.Status.DisruptionsAllowed, err)
	_, err = qos.Evict(pods[1], []*qos.Budget{charged}, now)
	fmt.Println(err)
	// Output:
	// allowed: 1
	// allowed after one: 0 <nil>
	// Cannot evict pod as it would violate the pod's disruption budget. The disruption budget web does not allow evicting pods currently
}

func ExampleDrain() {
	pods := []*qos.Pod{
		pod(`{"metadata": {"name": "web", "ownerReferences": [{"kind": "ReplicaSet", "controller": true}]}, "spec": {"priority": 10}}`),
		pod(`{"metadata": {"name": "batch", "ownerReferences": [{"kind": "Job", "controller": true}]}}`),
		pod(`{"metadata": {"name": "agent", "ownerReferences": [{"kind": "DaemonSet", "name": "agents", "controller": true}]}}`),
	}
	none := func(*qos.Pod) []*qos.Budget { return nil }
	for _, s := range qos.Drain(pods, qos.DrainOptions{IgnoreDaemonSets: true}, none, time.Time{}) {
		fmt.Printf("%v %s: %s\n", s.Action, s.Pod.Metadata.Name, s.Why)
	}
	// Output:
	// evict batch: no budget covers it
	// evict web: no budget covers it
	// skip agent: DaemonSet agents would bring it back
}
