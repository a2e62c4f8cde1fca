package qos

import (
	"cmp"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/qos/resource"
)

// RequestOf returns what the pod requests of one resource in the eyes of the
// kubelet's eviction and preemption: with pod-level resources (KEP-2837) only
// what the pod level requests, for any resource; overhead counts only on top
// of a request.
func RequestOf(p *Pod, name string) resource.Quantity {
	var total resource.Quantity
	if podLevelSet(p) {
		if podLevelSupported(name) {
			total = p.Spec.Resources.Requests.Of(name)
		}
	} else {
		total = aggregateOne(p, name)
	}
	if !total.IsZero() {
		total = total.Add(p.Spec.Overhead.Of(name))
	}
	return total
}

// aggregateOne is containerRequests(p)[name] without the maps.
func aggregateOne(p *Pod, name string) resource.Quantity {
	var running, sidecars, peak resource.Quantity
	var inRunning, inSidecars, inPeak bool
	for i := range p.Spec.Containers {
		q, ok := p.Spec.Containers[i].Resources.Requests.Lookup(name)
		running, inRunning = running.Add(q), inRunning || ok
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		q, ok := c.Resources.Requests.Lookup(name)
		step := q.Add(sidecars)
		inStep := inSidecars || ok
		if c.sidecar() {
			step = sidecars.Add(q) // the same amount in the sidecars' notation
			running, inRunning = running.Add(q), inRunning || ok
			sidecars, inSidecars = step, inStep
		}
		if inStep && (!inPeak || step.Cmp(peak) > 0) {
			peak, inPeak = step, true
		}
	}
	if inPeak && (!inRunning || peak.Cmp(running) > 0) {
		return peak
	}
	return running
}

// FSUsage is the use of a file system by one part of a pod.
type FSUsage struct {
	Bytes, Inodes resource.Quantity
}

func (u *FSUsage) add(fs *FSStats) {
	if fs != nil {
		u.Bytes = u.Bytes.Add(sizeOf(fs.UsedBytes))
		u.Inodes = u.Inodes.Add(countOf(fs.InodesUsed))
	}
}

// A Candidate is what ranking reads of a pod: compiled once from its spec, and
// again from its statistics each time there are new ones.
type Candidate struct {
	Pod      *Pod
	Critical bool

	// Compiled from the spec.
	Memory, EphemeralStorage, Inodes resource.Quantity // requests
	priority                         int32

	// Known says that there are statistics; the rest is compiled from them.
	Known           bool
	WorkingSet      resource.Quantity
	Rootfs          FSUsage // writable layers
	Logs            FSUsage
	LocalVolumes    FSUsage
	Processes       uint64
	stats           *PodStats
	localVolumeName []string
}

// Compile returns the candidate for a pod without statistics.
func Compile(p *Pod) Candidate {
	c := Candidate{
		Pod:              p,
		Critical:         IsCritical(p),
		Memory:           RequestOf(p, Memory),
		EphemeralStorage: RequestOf(p, EphemeralStorage),
		Inodes:           RequestOf(p, inodes),
		priority:         Priority(p),
	}
	for i := range p.Spec.Volumes {
		if p.Spec.Volumes[i].local() {
			c.localVolumeName = append(c.localVolumeName, p.Spec.Volumes[i].Name)
		}
	}
	return c
}

// local reports whether the volume's use is the pod's use of the node's disk.
func (v *Volume) local() bool {
	return v.HostPath != nil || v.GitRepo != nil || v.ConfigMap != nil || v.EmptyDir != nil && v.EmptyDir.Medium == ""
}

// Observe takes in the pod's statistics; nil is "none".
func (c *Candidate) Observe(s *PodStats) {
	c.stats, c.Known = s, s != nil
	c.WorkingSet, c.Processes = resource.Quantity{}, 0
	c.Rootfs, c.Logs, c.LocalVolumes = FSUsage{}, FSUsage{}, FSUsage{}
	if s == nil {
		return
	}
	if s.Memory != nil {
		c.WorkingSet = sizeOf(s.Memory.WorkingSetBytes)
	}
	if s.Processes != nil && s.Processes.Count != nil {
		c.Processes = *s.Processes.Count
	}
	for i := range s.Containers {
		c.Rootfs.add(s.Containers[i].Rootfs)
		c.Logs.add(s.Containers[i].Logs)
	}
	for _, name := range c.localVolumeName {
		for i := range s.Volumes {
			if s.Volumes[i].Name == name {
				c.LocalVolumes.add(&s.Volumes[i].FSStats)
				break
			}
		}
	}
}

// Candidates compiles the pods and gives each its statistics from the summary,
// by UID.
func Candidates(pods []*Pod, s *Summary) []Candidate {
	byUID := make(map[string]*PodStats, len(s.Pods))
	for i := range s.Pods {
		byUID[s.Pods[i].PodRef.UID] = &s.Pods[i]
	}
	out := make([]Candidate, len(pods))
	for i, p := range pods {
		out[i] = Compile(p)
		out[i].Observe(byUID[p.Metadata.UID])
	}
	return out
}

// parts says which parts of a pod's disk use count for a signal.
type parts struct{ rootfs, logs, localVolumes bool }

func (l Layout) parts(s Signal) parts {
	onImageFS := s == ImageFSAvailable || s == ImageFSInodesFree
	onNodeFS := s == NodeFSAvailable || s == NodeFSInodesFree
	switch {
	case !l.ImageFS:
		return parts{rootfs: true, logs: true, localVolumes: true}
	case !l.SplitImageFS:
		return parts{rootfs: !onNodeFS, logs: onNodeFS, localVolumes: onNodeFS}
	case onImageFS:
		return parts{} // images alone, which belong to no pod
	}
	return parts{rootfs: true, logs: true, localVolumes: true}
}

// A Key is a candidate's place in the order of eviction for one signal: the
// smaller key goes first.
//
// The kubelet compares, in this order: does the pod exceed its request, its
// priority, and by how much it exceeds the request; for processes, priority
// and their number. Pods without statistics come before all that depends on
// statistics. QoS class plays no part.
type Key struct {
	Unknown bool              // no statistics: goes first
	Exceeds bool              // uses more than it requests: goes first
	Prio    int32             // the lower goes first
	Excess  resource.Quantity // use less request, or processes; the larger goes first
	pid     bool
}

// KeyFor returns the candidate's key for a signal.
func (c *Candidate) KeyFor(s Signal, layout Layout) Key {
	k := Key{Unknown: !c.Known, Prio: c.priority}
	if s == PIDAvailable {
		k.pid = true
		k.Excess = processCount(c.Processes)
		return k
	}
	if !c.Known {
		return k
	}
	switch s {
	case MemoryAvailable, AllocatableMemoryAvailable:
		k.Exceeds = c.WorkingSet.Cmp(c.Memory) > 0
		k.Excess = c.WorkingSet.Sub(c.Memory)
	default:
		use, request := c.diskUse(s, layout)
		k.Exceeds = use.Cmp(request) > 0
		// Upstream subtracts the request for bytes from inodes too.
		k.Excess = use.Sub(c.EphemeralStorage)
	}
	return k
}

func processCount(n uint64) resource.Quantity {
	if n > 1<<62 {
		n = 1 << 62 // far beyond any pid limit
	}
	return resource.NewInt(int64(n))
}

// diskUse returns what counts for the signal, and the request of it.
func (c *Candidate) diskUse(s Signal, layout Layout) (use, request resource.Quantity) {
	var total FSUsage
	counted := layout.parts(s)
	for _, part := range [...]struct {
		counts bool
		FSUsage
	}{{counted.rootfs, c.Rootfs}, {counted.logs, c.Logs}, {counted.localVolumes, c.LocalVolumes}} {
		if part.counts {
			total.Bytes = total.Bytes.Add(part.Bytes)
			total.Inodes = total.Inodes.Add(part.Inodes)
		}
	}
	if s.countsInodes() {
		return total.Inodes, c.Inodes
	}
	return total.Bytes, c.EphemeralStorage
}

// Compare returns -1 if k's pod goes before l's, 1 if after, 0 if the kubelet's
// rules leave it open. Both keys must be for the same signal.
func (k Key) Compare(l Key) int {
	if !k.pid {
		if order := compareTrueFirst(k.Unknown, l.Unknown); order != 0 {
			return order
		}
		if order := compareTrueFirst(k.Exceeds, l.Exceeds); order != 0 {
			return order
		}
	}
	if order := cmp.Compare(k.Prio, l.Prio); order != 0 {
		return order
	}
	if k.pid {
		if order := compareTrueFirst(k.Unknown, l.Unknown); order != 0 {
			return order
		}
	}
	return l.Excess.Cmp(k.Excess)
}

func compareTrueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// compareTie orders what the kubelet leaves to its unstable sort: the younger
// pod goes first, then by namespace, name and UID.
func compareTie(a, b *Pod) int {
	if order := b.Metadata.CreationTimestamp.Compare(a.Metadata.CreationTimestamp); order != 0 {
		return order
	}
	if order := strings.Compare(a.Metadata.Namespace, b.Metadata.Namespace); order != 0 {
		return order
	}
	if order := strings.Compare(a.Metadata.Name, b.Metadata.Name); order != 0 {
		return order
	}
	return strings.Compare(a.Metadata.UID, b.Metadata.UID)
}

// Rank returns the indexes of the candidates in the order in which they are to
// be evicted for the signal.
func Rank(candidates []Candidate, s Signal, layout Layout) []int {
	keys := make([]rankKey, len(candidates))
	for i := range candidates {
		keys[i] = newRankKey(&candidates[i], s, layout, i)
	}
	slices.SortFunc(keys, func(a, b rankKey) int {
		if order := a.compare(b); order != 0 {
			return order
		}
		return compareExactly(candidates, a, b, s, layout)
	})
	order := make([]int, len(keys))
	for i := range keys {
		order[i] = int(keys[i].index)
	}
	return order
}

// First returns the index of the candidate that Rank would put first among
// those that are not critical, or -1. It takes one pass and no memory.
func First(candidates []Candidate, s Signal, layout Layout) int {
	best := rankKey{index: -1}
	for i := range candidates {
		if candidates[i].Critical {
			continue
		}
		key := newRankKey(&candidates[i], s, layout, i)
		if best.index >= 0 {
			order := key.compare(best)
			if order == 0 {
				order = compareExactly(candidates, key, best, s, layout)
			}
			if order > 0 {
				continue
			}
		}
		best = key
	}
	return int(best.index)
}

// A rankKey is a Key in two numbers: all that precedes the excess in one, and
// the excess in whole units. Rounding keeps the order, so that different
// rankKeys are in the order of their Keys; equal ones are compared exactly.
type rankKey struct {
	class   uint64
	excess  int64
	index   int32
	rounded bool // excess is not the whole truth
}

func newRankKey(c *Candidate, s Signal, layout Layout, index int) rankKey {
	k := c.KeyFor(s, layout)
	prio := uint64(uint32(k.Prio) ^ 1<<31) // ordered like the signed number
	class := prio << 1
	if !k.Unknown {
		class |= 1
	}
	if !k.pid {
		class = prio
		if !k.Exceeds {
			class |= 1 << 32
		}
		if !k.Unknown {
			class |= 1 << 33
		}
	}
	excess := k.Excess.Value()
	return rankKey{class, excess, int32(index), k.Excess.CmpInt(excess) != 0}
}

func (k rankKey) compare(l rankKey) int {
	switch {
	case k.class < l.class:
		return -1
	case k.class > l.class:
		return 1
	case k.excess > l.excess:
		return -1
	case k.excess < l.excess:
		return 1
	}
	return 0
}

// compareExactly orders candidates whose rankKeys are equal.
func compareExactly(candidates []Candidate, k, l rankKey, s Signal, layout Layout) int {
	a, b := &candidates[k.index], &candidates[l.index]
	if k.rounded || l.rounded {
		if order := b.KeyFor(s, layout).Excess.Cmp(a.KeyFor(s, layout).Excess); order != 0 {
			return order
		}
	}
	if order := compareTie(a.Pod, b.Pod); order != 0 {
		return order
	}
	return cmp.Compare(k.index, l.index)
}
