package qos

import (
	"math"
	"time"

	"github.com/orchcore/orchcore/qos/resource"
)

// A Summary is what a kubelet's /stats/summary says about its node, as far as
// eviction reads it. A nil number is one that was not measured.
type Summary struct {
	Node NodeStats  `json:"node"`
	Pods []PodStats `json:"pods"`
}

// NodeStats is the usage of the node as a whole.
type NodeStats struct {
	NodeName         string           `json:"nodeName,omitempty"`
	SystemContainers []ContainerStats `json:"systemContainers,omitempty"`
	Memory           *MemoryStats     `json:"memory,omitempty"`
	FS               *FSStats         `json:"fs,omitempty"`
	Runtime          *RuntimeStats    `json:"runtime,omitempty"`
	Rlimit           *RlimitStats     `json:"rlimit,omitempty"`
}

// RuntimeStats is about the file systems of the container runtime.
type RuntimeStats struct {
	ImageFS     *FSStats `json:"imageFs,omitempty"`
	ContainerFS *FSStats `json:"containerFs,omitempty"`
}

// RlimitStats is about the number of processes.
type RlimitStats struct {
	Time    time.Time `json:"time,omitzero"`
	MaxPID  *int64    `json:"maxpid,omitempty"`
	Running *int64    `json:"curproc,omitempty"`
}

// MemoryStats is the memory of a node, pod or container.
type MemoryStats struct {
	Time            time.Time `json:"time,omitzero"`
	AvailableBytes  *uint64   `json:"availableBytes,omitempty"`
	WorkingSetBytes *uint64   `json:"workingSetBytes,omitempty"`
	PSI             *PSI      `json:"psi,omitempty"`
}

// PSI is pressure stall information: how long tasks waited for a resource.
type PSI struct {
	Full PSIShares `json:"full"` // all tasks waited
	Some PSIShares `json:"some"` // at least one did
}

// PSIShares is the time waited: in per cent of the last 10, 60 and 300 seconds,
// and in all.
type PSIShares struct {
	Total  uint64  `json:"total"` // as the kernel counts it, in microseconds
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
}

// FSStats is the use of a file system.
type FSStats struct {
	Time           time.Time `json:"time,omitzero"`
	AvailableBytes *uint64   `json:"availableBytes,omitempty"`
	CapacityBytes  *uint64   `json:"capacityBytes,omitempty"`
	UsedBytes      *uint64   `json:"usedBytes,omitempty"`
	InodesFree     *uint64   `json:"inodesFree,omitempty"`
	Inodes         *uint64   `json:"inodes,omitempty"`
	InodesUsed     *uint64   `json:"inodesUsed,omitempty"`
}

// PodStats is the usage of one pod.
type PodStats struct {
	PodRef           PodReference     `json:"podRef"`
	Containers       []ContainerStats `json:"containers,omitempty"`
	Memory           *MemoryStats     `json:"memory,omitempty"`
	Volumes          []VolumeStats    `json:"volume,omitempty"`
	EphemeralStorage *FSStats         `json:"ephemeral-storage,omitempty"`
	Processes        *ProcessStats    `json:"process_stats,omitempty"`
}

// A PodReference says which pod is meant. The UID decides.
type PodReference struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	UID       string `json:"uid"`
}

// ContainerStats is the usage of one container.
type ContainerStats struct {
	Name   string       `json:"name"`
	Memory *MemoryStats `json:"memory,omitempty"`
	Rootfs *FSStats     `json:"rootfs,omitempty"`
	Logs   *FSStats     `json:"logs,omitempty"`
}

// VolumeStats is the usage of one volume of a pod.
type VolumeStats struct {
	Name string `json:"name"`
	FSStats
}

// ProcessStats counts the processes of a pod.
type ProcessStats struct {
	Count *uint64 `json:"process_count,omitempty"`
}

// An Observation is how much of what a signal is about there is, and is left.
type Observation struct {
	Capacity, Available resource.Quantity
	// Time is when it was measured; the zero time is "just now". The evictor
	// acts on a measurement once.
	Time time.Time
}

// Observations holds at most one observation per signal. The zero value is
// none.
type Observations struct {
	of   [signalCount]Observation
	have [signalCount]bool
}

// Set puts in the observation for a signal.
func (o *Observations) Set(s Signal, obs Observation) { o.of[s], o.have[s] = obs, true }

// Of returns the observation for a signal and whether there is one.
func (o *Observations) Of(s Signal) (Observation, bool) {
	if s >= signalCount {
		return Observation{}, false
	}
	return o.of[s], o.have[s]
}

// podsContainer is the system container whose memory is that of all pods.
const podsContainer = "pods"

// Observe derives the observations of all signals from a summary. Signals of
// which something was not measured have none.
func Observe(s *Summary) Observations {
	var o Observations
	o.memory(MemoryAvailable, s.Node.Memory)
	for i := range s.Node.SystemContainers {
		if s.Node.SystemContainers[i].Name == podsContainer {
			o.memory(AllocatableMemoryAvailable, s.Node.SystemContainers[i].Memory)
			break
		}
	}
	o.fileSystem(NodeFSAvailable, NodeFSInodesFree, s.Node.FS)
	if r := s.Node.Runtime; r != nil {
		o.fileSystem(ImageFSAvailable, ImageFSInodesFree, r.ImageFS)
		o.fileSystem(ContainerFSAvailable, ContainerFSInodesFree, r.ContainerFS)
	}
	if r := s.Node.Rlimit; r != nil && r.MaxPID != nil && r.Running != nil {
		o.Set(PIDAvailable, Observation{resource.NewInt(*r.MaxPID), resource.NewInt(*r.MaxPID).Sub(resource.NewInt(*r.Running)), r.Time})
	}
	return o
}

func (o *Observations) memory(s Signal, m *MemoryStats) {
	if m == nil || m.AvailableBytes == nil || m.WorkingSetBytes == nil {
		return
	}
	available := sizeOf(m.AvailableBytes)
	o.Set(s, Observation{available.Add(sizeOf(m.WorkingSetBytes)), available, m.Time})
}

func (o *Observations) fileSystem(space, inodesFree Signal, fs *FSStats) {
	if fs == nil {
		return
	}
	if fs.AvailableBytes != nil && fs.CapacityBytes != nil {
		o.Set(space, Observation{sizeOf(fs.CapacityBytes), sizeOf(fs.AvailableBytes), fs.Time})
	}
	if fs.InodesFree != nil && fs.Inodes != nil {
		o.Set(inodesFree, Observation{countOf(fs.Inodes), countOf(fs.InodesFree), fs.Time})
	}
}

// countOf returns the number, 0 if it was not measured.
//
// Differs: beyond 2^63-1 it is that, where upstream's becomes negative.
func countOf(n *uint64) resource.Quantity {
	if n == nil {
		return resource.Quantity{}
	}
	return resource.NewInt(int64(min(*n, math.MaxInt64)))
}

// sizeOf is countOf for bytes.
func sizeOf(n *uint64) resource.Quantity { return countOf(n).WithFormat(resource.BinarySI) }
