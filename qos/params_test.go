package qos

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/qos/resource"
)

func TestOOMScoreAdj(t *testing.T) {
	const capacity = 10 << 30
	burstable := func(request string) *Pod { return podOf(container(list("memory", request), nil)) }
	full := list("cpu", "1", "memory", "1Gi")
	priority := int32(SystemCriticalPriority + 1000)
	nodeCritical := burstable("1Gi")
	nodeCritical.Spec.Priority, nodeCritical.Spec.PriorityClassName = &priority, "system-node-critical"
	clusterCritical := burstable("1Gi")
	clusterCritical.Spec.Priority, clusterCritical.Spec.PriorityClassName = &priority, "system-cluster-critical"
	for _, c := range []struct {
		name string
		pod  *Pod
		want int
	}{
		{"best effort", podOf(container(nil, nil)), 1000},
		{"guaranteed", podOf(container(full, full)), -997},
		{"a tenth", burstable("1Gi"), 900},
		{"nothing of memory", podOf(container(list("cpu", "1"), nil)), 999},
		{"all", burstable("10Gi"), 3},
		{"more than all", burstable("100Ei"), 3},
		{"a byte", burstable("1"), 999},
		{"node critical", nodeCritical, -997},
		{"cluster critical", clusterCritical, 900},
	} {
		got, err := OOMScoreAdj(c.pod, &c.pod.Spec.Containers[0], capacity)
		require.NoError(t, err)
		require.Equal(t, c.want, got, c.name)
	}
	for _, capacity := range []int64{0, -1} {
		_, err := OOMScoreAdj(burstable("1"), &Container{}, capacity)
		require.ErrorContains(t, err, "want a positive number of bytes")
	}

	// A sidecar is never worse off than the containers that it serves.
	p := podOf(container(list("memory", "4Gi"), nil), container(list("memory", "2Gi"), nil))
	p.Spec.InitContainers = []Container{{Name: "s", RestartPolicy: "Always", Resources: Requirements{Requests: list("memory", "1Gi")}}}
	got, err := OOMScoreAdj(p, &p.Spec.InitContainers[0], capacity)
	require.NoError(t, err)
	require.Equal(t, 800, got)

	// What only the pod level requests is spread over the containers.
	p = podOf(container(list("memory", "1Gi"), nil), container(nil, nil))
	p.Spec.Resources = &Requirements{Requests: list("memory", "3Gi")}
	for i, want := range []int{800, 900} {
		got, err := OOMScoreAdj(p, &p.Spec.Containers[i], capacity)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestOOMScoreAdjBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 5000 {
		p := randomClassPod(r)
		p.Spec.Containers = append(p.Spec.Containers, container(list("memory", resource.NewInt(int64(r.Uint64())).String()), nil))
		for i := range p.Spec.Containers {
			score, err := OOMScoreAdj(p, &p.Spec.Containers[i], 1+int64(r.Uint64()>>1)>>r.IntN(62))
			require.NoError(t, err)
			switch ClassOf(p) {
			case Guaranteed:
				require.Equal(t, OOMScoreAdjGuaranteed, score)
			case Burstable:
				require.GreaterOrEqual(t, score, 3)
				require.LessOrEqual(t, score, 999)
			default:
				require.Equal(t, OOMScoreAdjBestEffort, score)
			}
		}
	}
}

func TestSharesQuotaWeight(t *testing.T) {
	for _, c := range []struct{ milli, shares, quota, linear, quadratic int64 }{
		{0, 2, 0, 1, 1}, {1, 2, 1000, 1, 1}, {3, 3, 1000, 1, 2}, {10, 10, 1000, 1, 4}, {50, 51, 5000, 2, 11}, {100, 102, 10000, 4, 17},
		{250, 256, 25000, 10, 35}, {500, 512, 50000, 20, 59}, {1000, 1024, 100000, 39, 100}, {2000, 2048, 200000, 79, 174},
		{4000, 4096, 400000, 157, 303}, {8000, 8192, 800000, 313, 532}, {64000, 65536, 6400000, 2500, 3023}, {256000, 262144, 25600000, 10000, 10000},
		{math.MaxInt64, 262144, math.MaxInt64, 10000, 10000}, {-1, 2, 1000, 1, 1},
	} {
		require.Equal(t, c.shares, Shares(c.milli), c.milli)
		require.Equal(t, c.quota, Quota(c.milli, QuotaPeriodUs), c.milli)
		require.Equal(t, c.linear, WeightLinear(c.shares), c.milli)
		require.Equal(t, c.quadratic, WeightQuadratic(c.shares), c.milli)
	}
	require.Zero(t, WeightQuadratic(0), "unset stays unset")
	before := int64(0)
	for shares := int64(SharesMin); shares <= SharesMax; shares += 61 {
		require.InDelta(t, WeightLinear(shares), WeightLinear(SharesOfWeight(WeightLinear(shares))), 1)
		w := WeightQuadratic(shares)
		require.GreaterOrEqual(t, w, before)
		before = w
	}
}

func TestCgroups(t *testing.T) {
	p := podOf(container(list("cpu", "250m", "memory", "100Mi"), list("cpu", "500m", "memory", "200Mi")),
		container(list("hugepages-2Mi", "4Mi"), list("memory", "1Gi", "hugepages-2Mi", "4Mi")))
	g, err := PodCgroup(p, CgroupConfig{Memory: TieredReservation})
	require.NoError(t, err)
	require.Equal(t, Cgroup{Shares: some(256), MemoryBytes: some(1224 << 20), MemoryLow: some(100 << 20), HugePages: map[string]int64{"hugepages-2Mi": 4 << 20}}, g,
		"no quota: the second container has no cpu limit")
	g, err = ContainerCgroup(p, &p.Spec.Containers[0], CgroupConfig{Memory: TieredReservation})
	require.NoError(t, err)
	require.Equal(t, Cgroup{Shares: some(256), QuotaUs: some(50000), PeriodUs: some(100000), MemoryBytes: some(200 << 20),
		MemoryLow: some(100 << 20), MemoryHigh: some(190 << 20)}, g)
	g, err = ContainerCgroup(p, &p.Spec.Containers[0], CgroupConfig{Memory: ThrottleOnly, NoCPUQuota: true, ThrottlingFactor: 0.5, PageSizeBytes: 64 << 20})
	require.NoError(t, err)
	require.Equal(t, Cgroup{Shares: some(256), MemoryBytes: some(200 << 20), MemoryMin: some(0), MemoryLow: some(0), MemoryHigh: some(128 << 20)}, g)

	unlimited := podOf(container(list("memory", "1Gi"), nil))
	g, err = ContainerCgroup(unlimited, &unlimited.Spec.Containers[0], CgroupConfig{Memory: ThrottleOnly, AllocatableMemoryBytes: 11 << 30})
	require.NoError(t, err)
	require.Equal(t, some(10<<30), g.MemoryHigh, "node allocatable stands in for the limit")
	require.False(t, g.MemoryBytes.Set)
	require.Equal(t, "-", g.MemoryBytes.String())

	full := list("cpu", "1", "memory", "1Gi")
	guaranteed := podOf(container(full, full))
	g, err = PodCgroup(guaranteed, CgroupConfig{NoCPUQuota: true, Memory: TieredReservation})
	require.NoError(t, err)
	require.Equal(t, Cgroup{Shares: some(1024), QuotaUs: some(-1), PeriodUs: some(100000), MemoryBytes: some(1 << 30), MemoryMin: some(1 << 30), HugePages: map[string]int64{}}, g)
	g, err = PodCgroup(podOf(container(nil, nil)), CgroupConfig{})
	require.NoError(t, err)
	require.Equal(t, Cgroup{Shares: some(2), HugePages: map[string]int64{}}, g)

	tiers, err := TierCgroups([]*Pod{p, guaranteed, unlimited, podOf()}, CgroupConfig{Memory: TieredReservation, AllocatableMemoryBytes: 10 << 30}, 50)
	require.NoError(t, err)
	require.Equal(t, Tiers{Root: Cgroup{MemoryMin: some(2<<30 + 100<<20)},
		Burstable:  Cgroup{Shares: some(256), MemoryLow: some(1<<30 + 100<<20), MemoryBytes: some(9<<30 + 512<<20)},
		BestEffort: Cgroup{Shares: some(2), MemoryBytes: some(9<<30 - 50<<20)}}, tiers)

	for _, bad := range []CgroupConfig{{PeriodUs: -1}, {ThrottlingFactor: 2}, {ThrottlingFactor: math.NaN()}, {PageSizeBytes: -1}, {AllocatableMemoryBytes: -1}} {
		_, err1 := PodCgroup(p, bad)
		_, err2 := ContainerCgroup(p, &p.Spec.Containers[0], bad)
		_, err3 := TierCgroups(nil, bad, 0)
		for _, err := range []error{err1, err2, err3} {
			require.ErrorContains(t, err, "CgroupConfig.")
		}
	}
	_, err = TierCgroups(nil, CgroupConfig{}, 101)
	require.ErrorContains(t, err, "101 %: want 0 to 100")
}

func TestAllocatable(t *testing.T) {
	capacity := resource.List{"cpu": resource.MustParse("4"), "memory": resource.MustParse("16Gi"), "ephemeral-storage": resource.MustParse("100Gi"),
		"hugepages-1Gi": resource.MustParse("2Gi"), "pods": resource.MustParse("110")}
	thresholds, err := EvictionSettings{}.Thresholds()
	require.NoError(t, err)
	r := Reservation{System: resource.List{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("1Gi")},
		Kube: resource.List{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("1Gi")}, Thresholds: thresholds}
	require.NoError(t, r.Validate(capacity))
	got := Allocatable(capacity, r)
	require.Equal(t, "3400m", got["cpu"].String())
	require.Equal(t, "12188Mi", got["memory"].String(), "16Gi - 2Gi reserved - 100Mi threshold - 2Gi huge pages")
	require.Equal(t, int64(100<<30-(10<<30+160)), got["ephemeral-storage"].Value(), "10% of float32 precision")
	require.Equal(t, "110", got["pods"].String())
	require.Equal(t, "14Gi", EnforcedAllocatable(capacity, r)["memory"].String())

	r.System["memory"] = resource.MustParse("20Gi")
	require.ErrorContains(t, r.Validate(capacity), `Resource "memory" has a reservation of 21604Mi but capacity of 16Gi. Expected capacity >= reservation.`)
	require.Equal(t, "0", Allocatable(capacity, r)["memory"].String())
}

func TestThresholds(t *testing.T) {
	got, err := EvictionSettings{EnforcePods: true}.Thresholds()
	require.NoError(t, err)
	var texts []string
	for _, x := range got {
		texts = append(texts, x.String())
	}
	require.Equal(t, []string{"memory.available<100Mi", "allocatableMemory.available<100Mi", "nodefs.available<10%", "nodefs.inodesFree<5%",
		"imagefs.available<15%", "imagefs.inodesFree<5%"}, texts)
	got, err = EvictionSettings{Hard: map[string]string{"memory.available": "5%", "nodefs.available": "0%"}, MergeDefaults: true}.Thresholds()
	require.NoError(t, err)
	require.Len(t, got, 4, "0% turns a default off")
	got, err = EvictionSettings{Hard: map[string]string{}, Soft: map[string]string{"pid.available": "1k"}, SoftGracePeriod: map[string]string{"pid.available": "1m"}}.Thresholds()
	require.NoError(t, err)
	require.Equal(t, "pid.available<1k for 1m0s", got[0].String())

	for _, c := range []struct {
		settings EvictionSettings
		want     string
	}{
		{EvictionSettings{Hard: map[string]string{"memory": "1"}}, `evictionHard["memory"]="1": unsupported eviction signal memory`},
		{EvictionSettings{Hard: map[string]string{"memory.available": "0"}}, `evictionHard["memory.available"]="0": eviction threshold memory.available must be positive: 0`},
		{EvictionSettings{Hard: map[string]string{"memory.available": "-1%"}}, `must be >= 0%: -1%`},
		{EvictionSettings{Hard: map[string]string{"memory.available": "101%"}}, `must be <= 100%: 101%`},
		{EvictionSettings{Hard: map[string]string{"memory.available": "NaN%"}}, `want a number`},
		{EvictionSettings{Hard: map[string]string{"memory.available": "1Gib"}}, `parse quantity "1Gib"`},
		{EvictionSettings{Soft: map[string]string{"memory.available": "1"}}, `evictionSoft["memory.available"]="1": grace period must be specified for the soft eviction threshold memory.available`},
		{EvictionSettings{SoftGracePeriod: map[string]string{"memory.available": "-1s"}}, `invalid eviction grace period specified: -1s, must be a positive value`},
		{EvictionSettings{SoftGracePeriod: map[string]string{"memory.available": "1"}}, `missing unit in duration`},
		{EvictionSettings{MinimumReclaim: map[string]string{"memory.available": "0%"}}, `eviction percentage minimum reclaim memory.available must be positive: 0%`},
		{EvictionSettings{MinimumReclaim: map[string]string{"memory.available": "-1"}}, `negative eviction minimum reclaim specified for memory.available`},
	} {
		_, err := c.settings.Thresholds()
		require.ErrorContains(t, err, c.want)
		var setting *SettingError
		require.ErrorAs(t, err, &setting)
	}
}

func TestThresholdsForLayout(t *testing.T) {
	all, err := EvictionSettings{Hard: map[string]string{"nodefs.available": "10%", "imagefs.available": "15%", "imagefs.inodesFree": "5%", "containerfs.available": "1%"}}.Thresholds()
	require.NoError(t, err)
	text := func(ts []Threshold) (out []string) {
		for _, x := range ts {
			out = append(out, x.String())
		}
		return out
	}
	for _, c := range []struct {
		layout Layout
		want   []string
	}{
		{Layout{}, []string{"nodefs.available<10%", "imagefs.available<15%", "imagefs.inodesFree<5%", "containerfs.available<10%"}},
		{Layout{ImageFS: true}, []string{"nodefs.available<10%", "imagefs.available<15%", "imagefs.inodesFree<5%", "containerfs.available<15%", "containerfs.inodesFree<5%"}},
		{Layout{ImageFS: true, SplitImageFS: true}, []string{"nodefs.available<10%", "imagefs.available<15%", "imagefs.inodesFree<5%", "containerfs.available<10%"}},
	} {
		got, ignored := ForLayout(all, c.layout)
		require.Equal(t, c.want, text(got))
		require.Equal(t, []string{"containerfs.available<1%"}, text(ignored))
	}
}

func TestSignalText(t *testing.T) {
	for _, s := range Signals() {
		data, err := json.Marshal(s)
		require.NoError(t, err)
		var back Signal
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, s, back)
		var c Condition
		text, err := s.Condition().MarshalText()
		require.NoError(t, err)
		require.NoError(t, c.UnmarshalText(text))
		require.Equal(t, s.Condition(), c)
		require.NotEmpty(t, s.Resource())
	}
	var s Signal
	require.EqualError(t, s.UnmarshalText([]byte("cpu.available")), "unsupported eviction signal cpu.available")
	require.Equal(t, "Signal(77)", Signal(77).String())
	require.Empty(t, Signal(77).Resource())
	require.Empty(t, Signal(77).Condition().Taint().Key)
	require.Equal(t, "Reclaim(9)", Reclaim(9).String())
}
