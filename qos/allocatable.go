package qos

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/qos/resource"
)

// A Reservation is what a node keeps back from pods.
type Reservation struct {
	System resource.List // system daemons
	Kube   resource.List // kubelet, container runtime
	// Thresholds are those that parsing the hard eviction settings gave. The
	// memory.available and nodefs.available ones reserve memory and
	// ephemeral-storage.
	Thresholds []Threshold
}

// total returns the reservation of every resource in capacity.
func (r Reservation) total(capacity resource.List) resource.List {
	evict := resource.List{}
	for _, t := range r.Thresholds {
		switch t.Signal {
		case MemoryAvailable:
			evict[Memory] = t.Value.Of(capacity[Memory])
		case NodeFSAvailable:
			evict[EphemeralStorage] = t.Value.Of(capacity[EphemeralStorage])
		}
	}
	total := make(resource.List, len(capacity))
	for name := range capacity {
		total[name] = r.System[name].Add(r.Kube[name]).Add(evict[name])
	}
	return total
}

// Validate reports every resource of which more is reserved than there is.
func (r Reservation) Validate(capacity resource.List) error {
	total := r.total(capacity)
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(total)) {
		if reserved := total[name]; !reserved.IsZero() && reserved.Cmp(capacity[name]) > 0 {
			texts = append(texts, fmt.Sprintf("Resource %q has a reservation of %v but capacity of %v. Expected capacity >= reservation.",
				name, reserved, capacity[name]))
		}
	}
	if len(texts) > 0 {
		return fmt.Errorf("invalid Node Allocatable configuration. %s", strings.Join(texts, " "))
	}
	return nil
}

// Allocatable returns what a node of that capacity offers to pods: capacity
// less the reservations, never below 0, and memory without what huge pages
// occupy. What device plugins report replaces their resources afterwards; that
// is the caller's.
func Allocatable(capacity resource.List, r Reservation) resource.List {
	left := remaining(capacity, r.total(capacity))
	for name, q := range capacity {
		if strings.HasPrefix(name, hugePagesPrefix) {
			left[Memory] = notNegative(left[Memory].Sub(q))
		}
	}
	return left
}

// EnforcedAllocatable returns the limits of the cgroup that holds all pods:
// capacity less System and Kube. Eviction thresholds are left in, so that
// eviction acts before the kernel does.
func EnforcedAllocatable(capacity resource.List, r Reservation) resource.List {
	r.Thresholds = nil
	return remaining(capacity, r.total(capacity))
}

func remaining(capacity, reserved resource.List) resource.List {
	left := make(resource.List, len(capacity))
	for name, q := range capacity {
		left[name] = notNegative(q.Sub(reserved[name]))
	}
	return left
}

// notNegative returns q, or 0 in q's notation.
func notNegative(q resource.Quantity) resource.Quantity {
	if q.Sign() < 0 {
		return resource.Quantity{}.WithFormat(q.Format())
	}
	return q
}
