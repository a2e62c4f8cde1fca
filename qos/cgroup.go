package qos

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/qos/resource"
)

// Bounds that the kernel sets, and the period over which it counts a quota.
const (
	SharesMin      = 2      // cpu.shares
	SharesMax      = 262144 // cpu.shares
	WeightMax      = 10000  // cpu.weight; its minimum is 1
	QuotaMinUs     = 1000   // cpu.cfs_quota_us
	QuotaPeriodUs  = 100000 // cpu.cfs_period_us, the default
	QuotaUnlimited = -1     // cpu.cfs_quota_us without a limit
)

// Shares returns cgroup v1's cpu.shares for a cpu request in thousandths.
func Shares(cpuMilli int64) int64 {
	if cpuMilli > SharesMax {
		return SharesMax // 256 cores and more; avoids overflow below
	}
	return min(max(cpuMilli*1024/1000, SharesMin), SharesMax)
}

// Quota returns cgroup v1's cpu.cfs_quota_us for a cpu limit in thousandths,
// 0 (unset) when there is no limit. Both are at most 2^63-1.
func Quota(cpuMilli, periodUs int64) int64 {
	if cpuMilli == 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(max(cpuMilli, 0)), uint64(max(periodUs, 0)))
	if hi >= 500 {
		return math.MaxInt64
	}
	quota, _ := bits.Div64(hi, lo, 1000)
	return max(int64(min(quota, math.MaxInt64)), QuotaMinUs)
}

// WeightLinear returns cgroup v2's cpu.weight for cpu.shares by the formula that
// the kubelet itself uses for pods and classes: the ranges mapped linearly.
func WeightLinear(shares int64) int64 {
	shares = min(max(shares, SharesMin), SharesMax)
	return 1 + (shares-SharesMin)*9999/(SharesMax-SharesMin)
}

// WeightQuadratic returns cgroup v2's cpu.weight for cpu.shares by the formula
// of container runtimes since runc 1.3.2 and crun 1.23: both defaults (1024,
// 100) and both ends correspond. 0 is unset in both.
func WeightQuadratic(shares int64) int64 {
	switch {
	case shares <= 0:
		return 0
	case shares <= SharesMin:
		return 1
	case shares >= SharesMax:
		return WeightMax
	}
	l := math.Log2(float64(shares))
	exponent := (float64(l*l)+float64(125*l))/612.0 - 7.0/34.0
	return int64(math.Ceil(math.Pow(10, exponent)))
}

// SharesOfWeight returns about the cpu.shares that WeightLinear maps to the
// weight: like upstream's it rounds down, which may lose one weight.
func SharesOfWeight(weight int64) int64 {
	weight = min(max(weight, 1), WeightMax)
	return (weight-1)*(SharesMax-SharesMin)/9999 + SharesMin
}

// A MemoryReservation says whether requests protect memory from reclaim
// (KEP-2570, off unless the node turns Memory QoS on).
type MemoryReservation uint8

const (
	// NoMemoryQoS writes no memory.min, low or high.
	NoMemoryQoS MemoryReservation = iota
	// ThrottleOnly sets memory.high; min and low are 0.
	ThrottleOnly
	// TieredReservation sets memory.high, and protects requests: memory.min for
	// Guaranteed pods, memory.low for others.
	TieredReservation
)

// A CgroupConfig says how the node applies requests and limits.
type CgroupConfig struct {
	// PeriodUs is the period of cpu quotas; 0 is QuotaPeriodUs.
	PeriodUs int64
	// NoCPUQuota turns cpu limits off.
	NoCPUQuota bool
	// Memory says whether Memory QoS applies.
	Memory MemoryReservation
	// ThrottlingFactor places memory.high between request and limit; 0 is 0.9.
	ThrottlingFactor float64
	// AllocatableMemoryBytes replaces the limit of containers without one in
	// memory.high; 0 leaves their memory.high unset.
	AllocatableMemoryBytes int64
	// PageSizeBytes is what memory.high is rounded down to; 0 is 4096.
	PageSizeBytes int64
}

func (c CgroupConfig) withDefaults() CgroupConfig {
	if c.PeriodUs == 0 {
		c.PeriodUs = QuotaPeriodUs
	}
	if c.ThrottlingFactor == 0 {
		c.ThrottlingFactor = 0.9
	}
	if c.PageSizeBytes == 0 {
		c.PageSizeBytes = 4096
	}
	return c
}

func (c CgroupConfig) validate() error {
	switch {
	case c.PeriodUs < 0:
		return fmt.Errorf("CgroupConfig.PeriodUs %d: want a positive number of microseconds", c.PeriodUs)
	case !(c.ThrottlingFactor >= 0 && c.ThrottlingFactor <= 1):
		return fmt.Errorf("CgroupConfig.ThrottlingFactor %v: want 0 to 1", c.ThrottlingFactor)
	case c.PageSizeBytes < 0:
		return fmt.Errorf("CgroupConfig.PageSizeBytes %d: want a positive number of bytes", c.PageSizeBytes)
	case c.AllocatableMemoryBytes < 0:
		return fmt.Errorf("CgroupConfig.AllocatableMemoryBytes %d: want a number of bytes", c.AllocatableMemoryBytes)
	}
	return nil
}

// An Optional is a value that a cgroup file is to have, or none: the file is
// left alone.
type Optional struct {
	Value int64
	Set   bool
}

func some(v int64) Optional { return Optional{v, true} }

// String returns the value, or "-".
func (o Optional) String() string {
	if !o.Set {
		return "-"
	}
	return fmt.Sprint(o.Value)
}

// Cgroup is what the control files of one cgroup are to hold. Shares and Quota
// are in terms of v1; WeightLinear or WeightQuadratic turn Shares into v2's
// cpu.weight.
type Cgroup struct {
	Shares      Optional         // cpu.shares
	QuotaUs     Optional         // cpu.cfs_quota_us; cpu.max on v2
	PeriodUs    Optional         // cpu.cfs_period_us
	MemoryBytes Optional         // memory.limit_in_bytes; memory.max
	MemoryMin   Optional         // memory.min (v2)
	MemoryLow   Optional         // memory.low (v2)
	MemoryHigh  Optional         // memory.high (v2)
	HugePages   map[string]int64 // limit in bytes per resource name
}

// PodCgroup returns the parameters of the cgroup of the pod as a whole.
func PodCgroup(p *Pod, config CgroupConfig) (Cgroup, error) {
	if err := config.validate(); err != nil {
		return Cgroup{}, err
	}
	config = config.withDefaults()
	requests, limits := Requests(p), Limits(p)
	cpuLimited, memoryLimited := everyContainerLimits(p, CPU), everyContainerLimits(p, Memory)
	class := ClassOf(p)

	g := Cgroup{Shares: some(Shares(requests[CPU].MilliValue())), HugePages: hugePages(requests)}
	switch class {
	case BestEffort:
		g.Shares = some(SharesMin)
		cpuLimited, memoryLimited = false, false
	case Guaranteed:
		cpuLimited, memoryLimited = true, true
	}
	if cpuLimited {
		g.QuotaUs, g.PeriodUs = some(Quota(limits[CPU].MilliValue(), config.PeriodUs)), some(config.PeriodUs)
		if config.NoCPUQuota {
			g.QuotaUs = some(QuotaUnlimited)
		}
	}
	if memoryLimited {
		g.MemoryBytes = some(limits[Memory].Value())
	}
	if request := requests[Memory].Value(); config.Memory == TieredReservation && request > 0 {
		if class == Guaranteed {
			g.MemoryMin = some(request)
		} else {
			g.MemoryLow = some(request)
		}
	}
	return g, nil
}

// everyContainerLimits reports whether the pod as a whole is limited: at pod
// level, or in every container. Sidecars count for the init containers after
// them, as upstream has it.
func everyContainerLimits(p *Pod, name string) bool {
	if p.Spec.Resources != nil {
		if q := p.Spec.Resources.Limits.Of(name); !q.IsZero() && podLevelSet(p) {
			return true
		}
	}
	for i := range p.Spec.Containers {
		if p.Spec.Containers[i].Resources.Limits.Of(name).IsZero() {
			return false
		}
	}
	sidecars := resource.Quantity{}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		own := c.Resources.Limits.Of(name).Add(sidecars)
		if c.sidecar() {
			sidecars = own
		}
		if own.IsZero() {
			return false
		}
	}
	return true
}

// podLevelSet reports whether the pod-level block speaks about any resource
// that it may speak about.
func podLevelSet(p *Pod) bool {
	if p.Spec.Resources == nil {
		return false
	}
	supported := func(a resource.Amount) bool { return podLevelSupported(a.Name) }
	return slices.ContainsFunc(p.Spec.Resources.Requests, supported) || slices.ContainsFunc(p.Spec.Resources.Limits, supported)
}

func hugePages(requests resource.List) map[string]int64 {
	pages := map[string]int64{}
	for name, q := range requests {
		if strings.HasPrefix(name, hugePagesPrefix) {
			pages[name] = q.Value()
		}
	}
	return pages
}

// ContainerCgroup returns the parameters of the cgroup of one container of a
// pod, as the kubelet hands them to the container runtime.
func ContainerCgroup(p *Pod, c *Container, config CgroupConfig) (Cgroup, error) {
	if err := config.validate(); err != nil {
		return Cgroup{}, err
	}
	config = config.withDefaults()
	cpuLimit, memoryLimit := containerLimit(p, c, CPU), containerLimit(p, c, Memory)
	cpuRequest, requested := c.Resources.Requests.Lookup(CPU)
	if !requested {
		cpuRequest = cpuLimit
	}
	g := Cgroup{Shares: some(Shares(cpuRequest.MilliValue()))}
	if v := memoryLimit.Value(); v != 0 {
		g.MemoryBytes = some(v)
	}
	if !config.NoCPUQuota {
		g.QuotaUs, g.PeriodUs = some(Quota(cpuLimit.MilliValue(), config.PeriodUs)), some(config.PeriodUs)
	}
	if config.Memory != NoMemoryQoS {
		protectMemory(&g, p, c, config)
	}
	return g, nil
}

// containerLimit returns the container's limit or, when it has none, the pod
// level's.
func containerLimit(p *Pod, c *Container, name string) resource.Quantity {
	q := c.Resources.Limits.Of(name)
	if q.IsZero() && podLevelSet(p) {
		return p.Spec.Resources.Limits.Of(name)
	}
	return q
}

// protectMemory sets memory.min, low and high (KEP-2570).
func protectMemory(g *Cgroup, p *Pod, c *Container, config CgroupConfig) {
	request, limit := c.Resources.Requests.Of(Memory).Value(), c.Resources.Limits.Of(Memory).Value()
	switch {
	case request == 0 || config.Memory != TieredReservation:
		g.MemoryMin, g.MemoryLow = some(0), some(0)
	case ClassOf(p) == Guaranteed:
		g.MemoryMin = some(request)
	default:
		g.MemoryLow = some(request)
	}
	if request == limit {
		return
	}
	ceiling := limit
	if ceiling == 0 {
		ceiling = config.AllocatableMemoryBytes
	}
	if ceiling == 0 {
		return
	}
	// The conversion keeps compilers from fusing the product with the sum, which
	// would round differently from one architecture to the next.
	high := float64(request) + float64((float64(ceiling)-float64(request))*config.ThrottlingFactor)
	if pages := math.Floor(high / float64(config.PageSizeBytes)); pages*float64(config.PageSizeBytes) < math.MaxInt64 {
		if v := int64(pages) * config.PageSizeBytes; v > request && v != 0 {
			g.MemoryHigh = some(v)
		}
	}
}

// Tiers are the cgroups that pods live in. Guaranteed pods live in the root of
// all pods directly.
type Tiers struct {
	Root, Burstable, BestEffort Cgroup
}

// TierCgroups returns the parameters of the tiers for the pods of a node.
// memoryReservedPercent is the kubelet's QOSReserved for memory: what part of
// the requests of better classes a tier must leave alone; 0 turns it off.
func TierCgroups(pods []*Pod, config CgroupConfig, memoryReservedPercent int64) (Tiers, error) {
	if err := config.validate(); err != nil {
		return Tiers{}, err
	}
	if memoryReservedPercent < 0 || memoryReservedPercent > 100 {
		return Tiers{}, fmt.Errorf("memory reserved for better classes %d %%: want 0 to 100", memoryReservedPercent)
	}
	var cpuMilli int64
	var memory [Guaranteed + 1]int64
	for _, p := range pods {
		class, requests := ClassOf(p), Requests(p)
		if class > Guaranteed {
			return Tiers{}, fmt.Errorf("pod %s/%s: status.qosClass %v: want one of the constants", p.Metadata.Namespace, p.Metadata.Name, class)
		}
		if class == Burstable {
			cpuMilli = saturatingAdd(cpuMilli, requests[CPU].MilliValue())
		}
		memory[class] = saturatingAdd(memory[class], requests[Memory].Value())
	}
	t := Tiers{Burstable: Cgroup{Shares: some(Shares(cpuMilli))}, BestEffort: Cgroup{Shares: some(SharesMin)}}
	switch config.Memory {
	case TieredReservation:
		t.Root.MemoryMin = some(saturatingAdd(memory[Guaranteed], memory[Burstable]))
		t.Burstable.MemoryLow = some(memory[Burstable])
	case ThrottleOnly:
		t.Root.MemoryMin, t.Burstable.MemoryLow = some(0), some(0)
	}
	if memoryReservedPercent > 0 && config.AllocatableMemoryBytes > 0 {
		limit := saturatingSub(config.AllocatableMemoryBytes, percentOf(memory[Guaranteed], memoryReservedPercent))
		t.Burstable.MemoryBytes = some(limit)
		t.BestEffort.MemoryBytes = some(saturatingSub(limit, percentOf(memory[Burstable], memoryReservedPercent)))
	}
	return t, nil
}

// percentOf returns v·percent/100 without its fraction, for percents up to 100.
func percentOf(v, percent int64) int64 {
	return v/100*percent + v%100*percent/100
}
