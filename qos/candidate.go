package qos

import "github.com/orchcore/orchcore/qos/resource"

// FSUsage is the use of a file system by one part of a pod.
type FSUsage struct {
	Bytes, Inodes resource.Quantity
}

func (u *FSUsage) add(fs *FSStats) { u.addOf(fs, true, true) }

// addOf adds only what is asked for: each number is behind a pointer.
func (u *FSUsage) addOf(fs *FSStats, bytes, inodes bool) {
	if fs != nil && bytes {
		u.Bytes = u.Bytes.Add(sizeOf(fs.UsedBytes))
	}
	if fs != nil && inodes {
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
	Known        bool
	WorkingSet   resource.Quantity
	Rootfs       FSUsage // writable layers
	Logs         FSUsage
	LocalVolumes FSUsage
	Processes    uint64
	stats        *PodStats
}

// Compile returns the candidate for a pod without statistics.
func Compile(p *Pod) Candidate {
	return Candidate{
		Pod:              p,
		Critical:         IsCritical(p),
		Memory:           RequestOf(p, Memory),
		EphemeralStorage: RequestOf(p, EphemeralStorage),
		Inodes:           RequestOf(p, inodes),
		priority:         Priority(p),
	}
}

// Observe takes in the pod's statistics; nil is "none".
func (c *Candidate) Observe(s *PodStats) {
	c.stats, c.Known = s, s != nil
	c.WorkingSet, c.Processes = resource.Quantity{}, 0
	c.Rootfs, c.Logs, c.LocalVolumes = FSUsage{}, FSUsage{}, FSUsage{}
	if s == nil {
		return
	}
	c.observeMemory()
	c.observeProcesses()
	c.observeDisk(true, true)
}

func (c *Candidate) observeMemory() {
	if m := c.stats.Memory; m != nil {
		c.WorkingSet = sizeOf(m.WorkingSetBytes)
	}
}

func (c *Candidate) observeProcesses() {
	if p := c.stats.Processes; p != nil && p.Count != nil {
		c.Processes = *p.Count
	}
}

func (c *Candidate) observeDisk(bytes, inodes bool) {
	for i := range c.stats.Containers {
		c.Rootfs.addOf(c.stats.Containers[i].Rootfs, bytes, inodes)
		c.Logs.addOf(c.stats.Containers[i].Logs, bytes, inodes)
	}
	for i := range c.Pod.Spec.Volumes {
		if v := &c.Pod.Spec.Volumes[i]; v.local() {
			c.LocalVolumes.addOf(c.stats.volume(v.Name), bytes, inodes)
		}
	}
}

// volume returns the first statistics of that name.
func (s *PodStats) volume(name string) *FSStats {
	for i := range s.Volumes {
		if s.Volumes[i].Name == name {
			return &s.Volumes[i].FSStats
		}
	}
	return nil
}

// local reports whether the volume's use is the pod's use of the node's disk.
func (v *Volume) local() bool {
	return v.HostPath != nil || v.GitRepo != nil || v.ConfigMap != nil || v.EmptyDir != nil && v.EmptyDir.Medium == ""
}

// Candidates compiles the pods and gives each its statistics from the summary,
// by UID.
func Candidates(pods []*Pod, s *Summary) []Candidate {
	stats := s.of(pods)
	out := make([]Candidate, len(pods))
	for i, p := range pods {
		out[i] = Compile(p)
	}
	for i := range out {
		out[i].Observe(stats[i])
	}
	return out
}

// of returns the statistics of each pod, by UID: of several with one UID the
// last, nil if there are none.
func (s *Summary) of(pods []*Pod) []*PodStats {
	byUID := make(map[string]*PodStats, len(s.Pods))
	for i := range s.Pods {
		byUID[s.Pods[i].PodRef.UID] = &s.Pods[i]
	}
	out := make([]*PodStats, len(pods))
	for i, p := range pods {
		out[i] = byUID[p.Metadata.UID]
	}
	return out
}
