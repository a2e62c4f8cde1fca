package scheduler

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// NodeTemplate is a kind of node that can be had.
type NodeTemplate struct {
	// Node is what one looks like; its name is the prefix of their names.
	Node *Node
	// Price is what one costs, in any unit, 0 or more.
	Price int64
	// Most is how many there are; 0 is no limit.
	Most int
}

// Packing is a set of new nodes for pods.
type Packing struct {
	// Nodes are the new nodes, in the order in which they were added.
	Nodes []PackedNode
	// Price is what they cost together.
	Price int64
	// Outcomes say where each pod went, in the order in which they were placed:
	// pods that fitted on nodes that were there already, too, and those that
	// not even a new node takes, with the error.
	Outcomes []Outcome
	// NodesAtLeast and PriceAtLeast are lower bounds: what any packing of the
	// pods that were placed needs, by sums of resources alone. Equal to
	// len(Nodes) or Price they prove that the packing is the best there is.
	NodesAtLeast int
	PriceAtLeast int64
}

// PackedNode is a new node.
type PackedNode struct {
	Name     string
	Template int // its index
	// Pods is how many of the pods it has got.
	Pods int
}

// packAhead is how many of the pods that are still to be placed are tried on a
// new node to find the template that serves them best.
const packAhead = 64

// Pack finds new nodes for pods: first-fit decreasing over decisions of the
// scheduler. Pods are taken the largest first, by the largest share of a
// resource of the largest node there can be. One that fits on no node gets a new
// one, of the template for which the price per share of what it takes of the
// next 64 pods is lowest, the first of several. What is found is a packing in which every placement is exact, constraints between pods
// included. It is not in general the cheapest: that problem is NP-hard. How far
// off it can be at most, the bounds in the result say.
//
// The fork is left with the nodes added and the pods placed, assumed; Revert
// takes it back. On an error nothing has changed.
//
// Cost: a decision per pod, and 64 per new node and template.
func (f *Fork) Pack(pods []*Pod, templates []NodeTemplate) (*Packing, error) {
	w := packing{fork: f, templates: templates, used: make([]int, len(templates))}
	if err := w.prepare(pods); err != nil {
		return nil, err
	}
	before := f.Mark()
	sum, most := w.free()
	for i := range w.pods {
		if err := w.place(i); err != nil {
			return nil, errors.Join(err, f.undo(before))
		}
	}
	w.count()
	w.bound(sum, most)
	f.unmark(before)
	return &w.out, nil
}

// packing is a Packing that is being made.
type packing struct {
	fork      *Fork
	templates []NodeTemplate
	offers    []Resources // of the templates
	used      []int       // of each template
	pods      []*PodInfo
	size      []float64 // of the pods
	out       Packing
}

// prepare checks and sorts the input.
func (w *packing) prepare(pods []*Pod) error {
	var largest Resources
	for i, t := range w.templates {
		if err := w.fork.cache.checkNode(t.Node); err != nil {
			return fmt.Errorf("templates[%d]: %w", i, err)
		}
		if t.Price < 0 || t.Most < 0 {
			return &InputError{Object: fmt.Sprintf("templates[%d]", i), Field: "Price, Most", Value: fmt.Sprint(t.Price, ", ", t.Most), Want: "0 or more"}
		}
		r := resourcesOf(t.Node.Status.Allocatable)
		w.offers = append(w.offers, r)
		largest.raise(&r)
	}
	for name := range w.fork.cache.order.all() {
		largest.raise(&w.fork.cache.node(name).Allocatable)
	}
	for i, pod := range pods {
		p, err := w.fork.cache.compile(pod)
		if err != nil {
			return fmt.Errorf("pods[%d]: %w", i, err)
		}
		w.pods = append(w.pods, p)
	}
	slices.SortStableFunc(w.pods, func(a, b *PodInfo) int {
		return cmp.Compare(b.Request.shareOf(&largest), a.Request.shareOf(&largest))
	})
	for _, p := range w.pods {
		w.size = append(w.size, max(p.Request.shareOf(&largest), 1e-9))
	}
	return nil
}

// raise makes every amount at least that of s.
func (r *Resources) raise(s *Resources) {
	r.CPUMilli, r.MemoryBytes = max(r.CPUMilli, s.CPUMilli), max(r.MemoryBytes, s.MemoryBytes)
	r.EphemeralBytes, r.Pods = max(r.EphemeralBytes, s.EphemeralBytes), max(r.Pods, s.Pods)
	for _, sc := range s.Scalars {
		i, ok := r.find(sc.Name)
		if !ok {
			r.Scalars = slices.Insert(r.Scalars, i, Scalar{Name: sc.Name})
		}
		r.Scalars[i].Value = max(r.Scalars[i].Value, sc.Value)
	}
}

// place finds a node for pod number i, a new one if need be.
func (w *packing) place(i int) error {
	p := w.pods[i]
	placement, err := w.fork.fit(p)
	if noRoom(err) {
		t, failed := w.choose(i)
		if failed != nil {
			return failed
		}
		if t >= 0 {
			if failed := w.open(t); failed != nil {
				return failed
			}
			placement, err = w.fork.fit(p)
		}
	}
	w.out.Outcomes = append(w.out.Outcomes, Outcome{Pod: p.Pod, Placement: placement, Err: err})
	return nil
}

// open adds a node.
func (w *packing) open(t int) error {
	names, err := w.fork.AddNodes(w.templates[t].Node, 1)
	if err != nil {
		return err
	}
	w.used[t]++
	w.out.Price += w.templates[t].Price
	w.out.Nodes = append(w.out.Nodes, PackedNode{Name: names[0], Template: t})
	return nil
}

// noRoom says that a new node may help.
func noRoom(err error) bool {
	var unfit *FitError
	return errors.As(err, &unfit) || errors.Is(err, ErrNoNodes)
}

// choose returns the template that serves pod number i and those after it best,
// -1 if none takes it.
func (w *packing) choose(i int) (int, error) {
	best, lowest := -1, math.Inf(1)
	for t := range w.templates {
		if w.templates[t].Most > 0 && w.used[t] >= w.templates[t].Most {
			continue
		}
		served, err := w.serves(t, i)
		if err != nil {
			return -1, err
		}
		if served == 0 {
			continue
		}
		// Without prices the most that is served wins.
		if rate := (float64(w.templates[t].Price) + 1e-9) / served; rate < lowest {
			best, lowest = t, rate
		}
	}
	return best, nil
}

// serves is the size of the pods that a node of the template would take, of
// pod number i and the next ones that have no room yet; 0 if it does not take
// number i.
func (w *packing) serves(t, i int) (float64, error) {
	before := w.fork.Mark()
	names, err := w.fork.AddNodes(w.templates[t].Node, 1)
	if err != nil {
		return 0, errors.Join(err, w.fork.undo(before))
	}
	served := 0.0
	for k := i; k < min(i+packAhead, len(w.pods)); k++ {
		placement, failed := w.fork.fit(w.pods[k])
		if failed == nil && placement.Node == names[0] {
			served += w.size[k]
		}
		if k == i && served == 0 {
			break
		}
	}
	return served, w.fork.undo(before)
}

// count says how many pods each new node has got.
func (w *packing) count() {
	at := make(map[string]int, len(w.out.Nodes))
	for i := range w.out.Nodes {
		at[w.out.Nodes[i].Name] = i
	}
	for i := range w.out.Outcomes {
		if k, ok := at[w.out.Outcomes[i].Placement.Node]; ok {
			w.out.Nodes[k].Pods++
		}
	}
}

// free is what the nodes that are there already have left: together, and the
// most of each resource that any of them has.
func (w *packing) free() (sum, most Resources) {
	for name := range w.fork.cache.order.all() {
		n := w.fork.cache.node(name)
		left := n.Allocatable.clone()
		left.add(&n.Requested, -1)
		left = left.positive()
		left.Pods = max(0, n.Allocatable.Pods-int64(len(n.Pods)))
		sum.add(&left, 1)
		sum.Pods += left.Pods
		most.raise(&left)
	}
	return sum, most
}

// bound computes the lower bounds, twice: for all pods that were placed, less
// what was free, and for those that fitted on no node that was there, since one
// of their resources is more than any of these had left.
func (w *packing) bound(sum, most Resources) {
	var all, outside Resources
	for i, p := range w.pods {
		if w.out.Outcomes[i].Err != nil {
			continue
		}
		want := p.Request.clone()
		want.Pods = 1
		all.add(&want, 1)
		all.Pods++
		if want.exceeds(&most) {
			outside.add(&want, 1)
			outside.Pods++
		}
	}
	all.add(&sum, -1)
	all.Pods -= sum.Pods
	w.atLeast(&all)
	w.atLeast(&outside)
	if len(w.templates) > 0 {
		cheapest := slices.MinFunc(w.templates, func(a, b NodeTemplate) int { return cmp.Compare(a.Price, b.Price) })
		w.out.PriceAtLeast = max(w.out.PriceAtLeast, int64(w.out.NodesAtLeast)*cheapest.Price)
	}
}

// exceeds says that some amount of r is more than that of s.
func (r *Resources) exceeds(s *Resources) bool {
	return r.CPUMilli > s.CPUMilli || r.MemoryBytes > s.MemoryBytes || r.EphemeralBytes > s.EphemeralBytes || r.Pods > s.Pods ||
		slices.ContainsFunc(r.Scalars, func(sc Scalar) bool { return sc.Value > s.Scalar(sc.Name) })
}

// atLeast raises the bounds to what these resources take, each by itself: in
// nodes of the template that has the most of it, or at the lowest price.
func (w *packing) atLeast(want *Resources) {
	names := []string{"cpu", "memory", "ephemeral-storage", "pods"}
	for _, s := range want.Scalars {
		names = append(names, s.Name)
	}
	for _, name := range names {
		rest := want.Amount(name)
		most, cheapest := int64(0), math.Inf(1)
		for t := range w.templates {
			if has := w.offers[t].Amount(name); has > 0 {
				most = max(most, has)
				cheapest = min(cheapest, float64(w.templates[t].Price)/float64(has))
			}
		}
		if rest <= 0 || most == 0 {
			continue
		}
		w.out.NodesAtLeast = max(w.out.NodesAtLeast, int((rest+most-1)/most))
		// Prices are whole; the factor is for the rounding of the product.
		w.out.PriceAtLeast = max(w.out.PriceAtLeast, int64(math.Ceil(cheapest*float64(rest)*(1-1e-12))))
	}
}
