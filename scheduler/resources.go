package scheduler

import (
	"slices"
	"strings"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/selector"
)

// Resources is an amount of every resource the scheduler tracks. CPU is in
// thousandths, everything else in whole units; quantities are rounded up when
// they are converted.
type Resources struct {
	CPUMilli       int64
	MemoryBytes    int64
	EphemeralBytes int64
	Pods           int64
	Scalars        []Scalar // sorted by Name, each name once
}

// Scalar is an amount of an extended resource, of huge pages or of attachable
// volumes.
type Scalar struct {
	Name  string
	Value int64
}

// Scalar returns the amount of the named scalar resource.
func (r *Resources) Scalar(name string) int64 {
	if i, ok := r.find(name); ok {
		return r.Scalars[i].Value
	}
	return 0
}

// Amount returns the amount of any resource by its Kubernetes name; 0 for
// names that are not tracked.
func (r *Resources) Amount(name string) int64 {
	switch name {
	case "cpu":
		return r.CPUMilli
	case "memory":
		return r.MemoryBytes
	case "ephemeral-storage":
		return r.EphemeralBytes
	case "pods":
		return r.Pods
	}
	return r.Scalar(name)
}

func (r *Resources) find(name string) (int, bool) {
	return slices.BinarySearchFunc(r.Scalars, name, func(s Scalar, name string) int {
		return strings.Compare(s.Name, name)
	})
}

// add adds sign times s to r. Scalars that reach zero stay, as upstream's do:
// a name with amount 0 and an absent name decide the same.
func (r *Resources) add(s *Resources, sign int64) {
	r.CPUMilli += sign * s.CPUMilli
	r.MemoryBytes += sign * s.MemoryBytes
	r.EphemeralBytes += sign * s.EphemeralBytes
	for _, sc := range s.Scalars {
		i, ok := r.find(sc.Name)
		if !ok {
			r.Scalars = slices.Insert(r.Scalars, i, Scalar{Name: sc.Name})
		}
		r.Scalars[i].Value += sign * sc.Value
	}
}

// clone returns a copy that shares nothing with r.
func (r *Resources) clone() Resources {
	c := *r
	c.Scalars = slices.Clone(r.Scalars)
	return c
}

// resourcesOf converts a resource list, ignoring names that the scheduler does
// not track.
func resourcesOf(list resource.List) Resources {
	var r Resources
	for name, q := range list {
		switch name {
		case "cpu":
			r.CPUMilli = q.MilliValue()
		case "memory":
			r.MemoryBytes = q.Value()
		case "ephemeral-storage":
			r.EphemeralBytes = q.Value()
		case "pods":
			r.Pods = q.Value()
		default:
			if isScalarName(name) {
				r.Scalars = append(r.Scalars, Scalar{name, q.Value()})
			}
		}
	}
	slices.SortFunc(r.Scalars, func(a, b Scalar) int { return strings.Compare(a.Name, b.Name) })
	return r
}

// positive returns r with negative amounts raised to zero and without pods,
// the form in which NodeResourcesFit filters.
func (r *Resources) positive() Resources {
	p := Resources{
		CPUMilli:       max(0, r.CPUMilli),
		MemoryBytes:    max(0, r.MemoryBytes),
		EphemeralBytes: max(0, r.EphemeralBytes),
		Scalars:        slices.Clone(r.Scalars),
	}
	for i := range p.Scalars {
		p.Scalars[i].Value = max(0, p.Scalars[i].Value)
	}
	return p
}

// isScalarName says that the scheduler tracks the resource by its name.
func isScalarName(name string) bool {
	return strings.HasPrefix(name, "hugepages-") ||
		strings.HasPrefix(name, "attachable-volumes-") ||
		strings.Contains(name, "kubernetes.io/") ||
		isExtendedName(name)
}

// isExtendedName says that name is an extended resource: a qualified name
// outside kubernetes.io, such as example.com/gpu, which stays one with
// "requests." in front of it, the form that quotas use.
func isExtendedName(name string) bool {
	return strings.Contains(name, "/") &&
		!strings.Contains(name, "kubernetes.io/") &&
		!strings.HasPrefix(name, "requests.") &&
		selector.ValidKey("requests."+name)
}
