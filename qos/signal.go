package qos

import "fmt"

// A Signal is a resource of the node that can run out. The order of the
// constants is the order in which shortages are dealt with.
//
// Differs: after the memory signals upstream takes any, as its map iteration
// has it.
type Signal uint8

// The signals. Available counts bytes, InodesFree inodes, PIDAvailable
// processes.
const (
	MemoryAvailable            Signal = iota // memory.available
	AllocatableMemoryAvailable               // allocatableMemory.available
	NodeFSAvailable                          // nodefs.available
	NodeFSInodesFree                         // nodefs.inodesFree
	ImageFSAvailable                         // imagefs.available
	ImageFSInodesFree                        // imagefs.inodesFree
	ContainerFSAvailable                     // containerfs.available
	ContainerFSInodesFree                    // containerfs.inodesFree
	PIDAvailable                             // pid.available

	signalCount
)

// signals has the facts about each signal.
var signals = [signalCount]struct {
	name      string
	resource  string
	condition Condition
}{
	{"memory.available", Memory, MemoryPressure},
	{"allocatableMemory.available", Memory, MemoryPressure},
	{"nodefs.available", EphemeralStorage, DiskPressure},
	{"nodefs.inodesFree", inodes, DiskPressure},
	{"imagefs.available", EphemeralStorage, DiskPressure},
	{"imagefs.inodesFree", inodes, DiskPressure},
	{"containerfs.available", EphemeralStorage, DiskPressure},
	{"containerfs.inodesFree", inodes, DiskPressure},
	{"pid.available", pids, PIDPressure},
}

// What runs out, where it is not a resource that pods request.
const (
	inodes = "inodes"
	pids   = "pids"
)

// Signals returns all signals in order.
func Signals() []Signal {
	all := make([]Signal, signalCount)
	for i := range all {
		all[i] = Signal(i)
	}
	return all
}

// ParseSignal returns the signal of that name.
func ParseSignal(name string) (Signal, error) {
	for i := range signals {
		if signals[i].name == name {
			return Signal(i), nil
		}
	}
	return 0, fmt.Errorf("unsupported eviction signal %v", name)
}

// String returns the signal's name, such as memory.available.
func (s Signal) String() string {
	if s < signalCount {
		return signals[s].name
	}
	return fmt.Sprintf("Signal(%d)", uint8(s))
}

// MarshalText returns the signal's name.
func (s Signal) MarshalText() ([]byte, error) {
	if s >= signalCount {
		return nil, fmt.Errorf("unsupported eviction signal %d", uint8(s))
	}
	return []byte(signals[s].name), nil
}

// UnmarshalText reads a signal's name.
func (s *Signal) UnmarshalText(text []byte) error {
	parsed, err := ParseSignal(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}

// Resource returns what runs out: memory, ephemeral-storage, inodes or pids.
// It is empty for a value that is none of the constants.
func (s Signal) Resource() string {
	if s >= signalCount {
		return ""
	}
	return signals[s].resource
}

// Condition returns the node condition that reports the shortage.
// It is none of the constants for a signal that is none.
func (s Signal) Condition() Condition {
	if s >= signalCount {
		return conditionCount
	}
	return signals[s].condition
}

// countsInodes reports whether the signal is about inodes rather than bytes.
func (s Signal) countsInodes() bool { return s.Resource() == inodes }

// A Condition is a node condition that reports a shortage.
type Condition uint8

// The conditions, in the order in which they are reported.
const (
	MemoryPressure Condition = iota
	DiskPressure
	PIDPressure

	conditionCount
)

var conditions = [conditionCount]struct{ name, taint string }{
	{"MemoryPressure", "node.kubernetes.io/memory-pressure"},
	{"DiskPressure", "node.kubernetes.io/disk-pressure"},
	{"PIDPressure", "node.kubernetes.io/pid-pressure"},
}

// String returns Kubernetes' name of the condition.
func (c Condition) String() string {
	if c < conditionCount {
		return conditions[c].name
	}
	return fmt.Sprintf("Condition(%d)", uint8(c))
}

// MarshalText returns Kubernetes' name of the condition.
func (c Condition) MarshalText() ([]byte, error) {
	if c >= conditionCount {
		return nil, fmt.Errorf("node condition %d: want MemoryPressure, DiskPressure or PIDPressure", uint8(c))
	}
	return []byte(conditions[c].name), nil
}

// UnmarshalText reads Kubernetes' name of a condition.
func (c *Condition) UnmarshalText(text []byte) error {
	for i := range conditions {
		if conditions[i].name == string(text) {
			*c = Condition(i)
			return nil
		}
	}
	return fmt.Errorf("node condition %q: want MemoryPressure, DiskPressure or PIDPressure", text)
}

// Taint returns the taint that keeps new pods away meanwhile.
func (c Condition) Taint() Taint {
	if c >= conditionCount {
		return Taint{}
	}
	return Taint{Key: conditions[c].taint, Effect: effectNoSchedule}
}

// The effects of taints that this package deals with.
const (
	effectNoSchedule = "NoSchedule"
	effectNoExecute  = "NoExecute"
)

// A Layout says which file systems the node has besides its root. The zero
// value is a single one.
type Layout struct {
	// ImageFS: the container runtime keeps images on a file system of its own.
	ImageFS bool
	// SplitImageFS: there are only images on it; the containers' writable
	// layers stay on the node's file system.
	SplitImageFS bool
}
