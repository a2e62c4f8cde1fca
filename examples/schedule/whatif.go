package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"

	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/scheduler"
)

// priceAnnotation of a node in -pack says what one costs.
const priceAnnotation = "price"

// questions are what is asked about the cluster once all pods are placed.
type questions struct {
	capacity string // namespace/name of a pod
	shrink   bool
	pack     string // a file with kinds of nodes
}

// whatIf has the answers.
type whatIf struct {
	Capacity *scheduler.Capacity  `json:"capacity,omitempty"`
	Shrink   *scheduler.Shrinkage `json:"shrink,omitempty"`
	Pack     *scheduler.Packing   `json:"pack,omitempty"`
}

// whatIf answers each question on a fork of its own.
func (in *input) whatIf(q questions, stdin io.Reader) (*whatIf, error) {
	if q == (questions{}) {
		return nil, nil
	}
	out := new(whatIf)
	now := in.cache.Snapshot()
	if q.capacity != "" {
		pod, err := in.podNamed(q.capacity)
		if err != nil {
			return nil, err
		}
		if out.Capacity, err = now.Fork(nil).Capacity(pod, 0); err != nil {
			return nil, fmt.Errorf("-capacity: %w", err)
		}
	}
	if q.shrink {
		var err error
		rules := scheduler.ShrinkOptions{
			Drain:   qos.DrainOptions{IgnoreDaemonSets: true, DeleteEmptyDirData: true},
			Budgets: in.budgets,
		}
		if out.Shrink, err = now.Fork(nil).Shrink(rules); err != nil {
			return nil, fmt.Errorf("-shrink: %w", err)
		}
	}
	if q.pack != "" {
		kinds, err := templates(q.pack, stdin)
		if err != nil {
			return nil, fmt.Errorf("-pack: %w", err)
		}
		if out.Pack, err = now.Fork(nil).Pack(in.unplaced, kinds); err != nil {
			return nil, fmt.Errorf("-pack: %w", err)
		}
	}
	return out, nil
}

// podNamed finds a pod and returns it as it would be made anew.
func (in *input) podNamed(name string) (*scheduler.Pod, error) {
	for _, list := range [][]*scheduler.Pod{in.pending, in.pods} {
		for _, p := range list {
			if fullName(&p.ObjectMeta) == name {
				pod := *p
				pod.Spec.NodeName, pod.Status = "", scheduler.PodStatus{}
				return &pod, nil
			}
		}
	}
	return nil, fmt.Errorf("-capacity: %q: want namespace/name of a pod in the input", name)
}

// templates reads the kinds of nodes that can be had.
func templates(file string, stdin io.Reader) ([]scheduler.NodeTemplate, error) {
	in := newInput()
	if err := in.readFile(file, stdin); err != nil {
		return nil, err
	}
	var kinds []scheduler.NodeTemplate
	for _, n := range in.nodes {
		price, err := strconv.ParseInt(cmp.Or(n.Annotations[priceAnnotation], "1"), 10, 64)
		if err != nil || price < 0 {
			return nil, fmt.Errorf("node %s: metadata.annotations[%s]: %q: want a number, 0 or more", n.Name, priceAnnotation, n.Annotations[priceAnnotation])
		}
		kinds = append(kinds, scheduler.NodeTemplate{Node: n, Price: price})
	}
	if len(kinds) == 0 {
		return nil, fmt.Errorf("%s: no Node: want at least one", file)
	}
	return kinds, nil
}

// writeText prints the answers for people.
func (a *whatIf) writeText(w io.Writer) {
	if c := a.Capacity; c != nil {
		fmt.Fprintf(w, "\nroom for %d more of that pod\n", c.Pods)
		for _, n := range c.Nodes {
			fmt.Fprintf(w, "  %d on %s\n", n.Pods, clean(n.Node))
		}
		if c.Stopped != nil {
			fmt.Fprintln(w, " ", clean(c.Stopped.Error()))
		}
	}
	if s := a.Shrink; s != nil {
		fmt.Fprintf(w, "\n%d nodes can be emptied\n", len(s.Emptied))
		for _, n := range s.Emptied {
			fmt.Fprintf(w, "  %s:", clean(n.Node))
			for _, m := range n.Moves {
				fmt.Fprintf(w, " %s → %s", clean(m.Pod), clean(m.To))
			}
			fmt.Fprintln(w)
		}
		for _, n := range s.Kept {
			fmt.Fprintf(w, "  %s stays because of %s: %s\n", clean(n.Node), clean(n.Pod), clean(n.Why))
		}
	}
	if p := a.Pack; p != nil {
		fmt.Fprintf(w, "\n%d new nodes for the pods that are not placed, for %d; at least %d, for %d\n",
			len(p.Nodes), p.Price, p.NodesAtLeast, p.PriceAtLeast)
		for _, n := range p.Nodes {
			fmt.Fprintf(w, "  %s takes %d\n", clean(n.Name), n.Pods)
		}
		for _, o := range p.Outcomes {
			if o.Err != nil {
				fmt.Fprintf(w, "  %s: %s\n", clean(fullName(&o.Pod.ObjectMeta)), clean(o.Err.Error()))
			}
		}
	}
}
