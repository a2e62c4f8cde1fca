package qos

import (
	"fmt"

	"github.com/orchcore/orchcore/qos/resource"
)

// A Class is a pod's quality of service. A higher class outlives a lower one
// when the kernel runs out of memory. The zero value means "not decided".
type Class uint8

const (
	_ Class = iota
	// BestEffort pods ask for nothing and are promised nothing.
	BestEffort
	// Burstable pods are promised what they request and may use more.
	Burstable
	// Guaranteed pods have cpu and memory limits on all containers and request
	// just as much.
	Guaranteed
)

var classNames = [...]string{"", "BestEffort", "Burstable", "Guaranteed"}

// String returns Kubernetes' name of the class, "" for the zero value.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("Class(%d)", uint8(c))
}

// MarshalText returns Kubernetes' name of the class.
func (c Class) MarshalText() ([]byte, error) {
	if int(c) >= len(classNames) {
		return nil, fmt.Errorf("qos class %d: want BestEffort, Burstable or Guaranteed", uint8(c))
	}
	return []byte(classNames[c]), nil
}

// UnmarshalText reads Kubernetes' name of a class; "" is the zero value.
func (c *Class) UnmarshalText(text []byte) error {
	for i, name := range classNames {
		if string(text) == name {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("qos class %q: want BestEffort, Burstable or Guaranteed", text)
}

// ClassOf returns the class in the pod's status, which is fixed when the pod
// is created, or else ComputeClass.
func ClassOf(p *Pod) Class {
	if p.Status.QOSClass != 0 {
		return p.Status.QOSClass
	}
	return ComputeClass(p)
}

// ComputeClass derives the class from the pod's spec: pod-level resources if
// there are any (KEP-2837), else all regular and init containers. It defaults
// nothing: limits without requests make a pod Burstable here; see Defaulted.
func ComputeClass(p *Pod) Class {
	var s comparison
	if p.Spec.Resources != nil {
		s.add(p.Spec.Resources)
	} else {
		for i := range p.Spec.Containers {
			s.add(&p.Spec.Containers[i].Resources)
		}
		for i := range p.Spec.InitContainers {
			s.add(&p.Spec.InitContainers[i].Resources)
		}
	}
	switch {
	case !s.some:
		return BestEffort
	case s.unlimited, s.cpu == below, s.cpu == above, s.memory == below, s.memory == above:
		return Burstable
	case s.cpu|s.memory == 0:
		return Guaranteed
	}
	return classBySums(p)
}

// classBySums is the definition that comparison is a short cut for.
func classBySums(p *Pod) Class {
	var c Classifier
	if p.Spec.Resources != nil {
		c.add(p.Spec.Resources)
		return c.Class()
	}
	for i := range p.Spec.Containers {
		c.add(&p.Spec.Containers[i].Resources)
	}
	for i := range p.Spec.InitContainers {
		c.add(&p.Spec.InitContainers[i].Resources)
	}
	return c.Class()
}

// A comparison tells most classes without adding anything up: when the
// requests of all containers are on one side of their limits, so are the sums.
type comparison struct {
	some, unlimited bool // as in Classifier
	cpu, memory     side
}

// A side is a set: where requests were found in relation to their limits.
type side uint8

const (
	below side = 1 << iota
	above
)

func (s *comparison) add(r *Requirements) {
	cpuRequest, memoryRequest := positive(r.Requests)
	cpuLimit, memoryLimit := positive(r.Limits)
	if cpuRequest != nil || memoryRequest != nil {
		s.some = true
	}
	if cpuLimit == nil || memoryLimit == nil {
		s.some = s.some || cpuLimit != nil || memoryLimit != nil
		s.unlimited = true
		return
	}
	s.some = true
	s.cpu |= sideOf(cpuRequest, cpuLimit)
	s.memory |= sideOf(memoryRequest, memoryLimit)
}

func sideOf(request, limit *resource.Quantity) side {
	if request == nil {
		return below
	}
	switch request.Cmp(*limit) {
	case -1:
		return below
	case 1:
		return above
	}
	return 0
}

// positive returns the amounts that decide a class, nil where not positive.
func positive(amounts resource.Amounts) (cpu, memory *resource.Quantity) {
	for i := range amounts {
		a := &amounts[i]
		switch a.Name {
		case CPU:
			if a.Quantity.Sign() > 0 {
				cpu = &a.Quantity
			}
		case Memory:
			if a.Quantity.Sign() > 0 {
				memory = &a.Quantity
			}
		}
	}
	return cpu, memory
}

// Compute is an amount of the two resources that decide a class.
type Compute struct {
	CPU, Memory resource.Quantity
}

// A Classifier derives a class from amounts, for callers with a pod type of
// their own: Add each regular and init container, then ask for the Class. The
// zero value is a pod without containers.
type Classifier struct {
	requests, limits Compute // sums of the positive amounts
	some             bool    // any amount was positive
	unlimited        bool    // some container lacks a limit
}

// Add counts one container. Amounts that are zero or negative are not set.
func (c *Classifier) Add(requests, limits Compute) {
	c.count(&c.requests.CPU, requests.CPU)
	c.count(&c.requests.Memory, requests.Memory)
	cpu := c.count(&c.limits.CPU, limits.CPU)
	memory := c.count(&c.limits.Memory, limits.Memory)
	c.unlimited = c.unlimited || !cpu || !memory
}

// add is Add for a container's lists.
func (c *Classifier) add(r *Requirements) {
	c.Add(Compute{r.Requests.Of(CPU), r.Requests.Of(Memory)}, Compute{r.Limits.Of(CPU), r.Limits.Of(Memory)})
}

// count adds a positive amount to sum and reports whether it was one.
func (c *Classifier) count(sum *resource.Quantity, amount resource.Quantity) bool {
	if amount.Sign() <= 0 {
		return false
	}
	*sum = sum.Add(amount)
	c.some = true
	return true
}

// Class returns the class of the containers added so far.
func (c *Classifier) Class() Class {
	switch {
	case !c.some:
		return BestEffort
	case c.unlimited, c.requests.CPU.Cmp(c.limits.CPU) != 0, c.requests.Memory.Cmp(c.limits.Memory) != 0:
		return Burstable
	}
	// Upstream compares the sums, so that containers whose differences cancel
	// out are Guaranteed too; API validation (request ≤ limit) rules them out.
	return Guaranteed
}
