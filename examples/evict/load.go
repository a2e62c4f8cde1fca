package main

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
)

// node is a node with its pods, ready to be ranked.
type node struct {
	name, about string
	memoryBytes int64
	candidates  []qos.Candidate
	summary     qos.Summary
}

//go:embed sample.json
var sample []byte

// object is what tells the kinds of a dump apart.
type object struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Containers json.RawMessage `json:"containers"`
	} `json:"spec"`
	Status struct {
		Capacity resource.List `json:"capacity"`
	} `json:"status"`
	Items []json.RawMessage `json:"items"`
}

// dump is the nodes and pods of an input.
type dump struct {
	capacity map[string]resource.List
	pods     []*qos.Pod
}

// load reads the node that the options name.
func (o options) load() (*node, error) {
	if o.file == "" {
		return thisMachine()
	}
	data, err := os.ReadFile(o.file)
	if err != nil {
		return nil, err
	}
	var d dump
	for i, text := range strings.Split("\n"+string(data), "\n---") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		document, err := yaml.YAMLToJSON([]byte(text))
		if err == nil {
			err = d.add(document, fmt.Sprintf("document %d", i+1))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.file, err)
		}
	}
	n, err := d.node(o.node)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.file, err)
	}
	if o.stats != "" {
		if err := n.addStats(o.stats); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// add takes in an object, or the items of a list. In the items of some lists
// the kind is missing: then what it has decides.
func (d *dump) add(data []byte, where string) error {
	var x object
	if err := json.Unmarshal(data, &x); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	switch {
	case x.Items != nil:
		for i, item := range x.Items {
			if err := d.add(item, fmt.Sprintf("%s, items[%d]", where, i)); err != nil {
				return err
			}
		}
	case x.Kind == "Pod" || x.Kind == "" && x.Spec.Containers != nil:
		p, err := qos.DecodePod(data)
		if err != nil {
			return fmt.Errorf("%s, pod %q: %w", where, x.Metadata.Name, err)
		}
		if p.Status.Phase != "Succeeded" && p.Status.Phase != "Failed" {
			d.pods = append(d.pods, p)
		}
	case x.Kind == "Node" || x.Kind == "" && x.Status.Capacity != nil:
		if d.capacity == nil {
			d.capacity = map[string]resource.List{}
		}
		d.capacity[x.Metadata.Name] = x.Status.Capacity
	}
	return nil
}

// node picks a node of the dump with its pods.
func (d *dump) node(name string) (*node, error) {
	if len(d.pods) == 0 {
		return nil, fmt.Errorf("no pods: want those of a node")
	}
	if name == "" {
		name = d.busiest()
	}
	memory := d.capacity[name][qos.Memory]
	n := &node{name: cmp.Or(name, "without a name"), about: "as described; no statistics, so use is unknown", memoryBytes: memory.Value()}
	if memory.Sign() <= 0 {
		n.memoryBytes = 16 << 30
		n.about += "; its capacity is not known: 16Gi of memory assumed"
	}
	for _, p := range d.pods {
		if p.Spec.NodeName == name {
			n.candidates = append(n.candidates, qos.Compile(qos.Defaulted(p)))
		}
	}
	if len(n.candidates) == 0 {
		return nil, fmt.Errorf("no pods on node %q", name)
	}
	n.sort()
	return n, nil
}

// busiest returns the node with the most pods.
func (d *dump) busiest() string {
	count := map[string]int{}
	best := d.pods[0].Spec.NodeName
	for _, p := range d.pods {
		name := p.Spec.NodeName
		if count[name]++; count[name] > count[best] {
			best = name
		}
	}
	return best
}

func (n *node) sort() {
	slices.SortFunc(n.candidates, func(a, b qos.Candidate) int {
		return cmp.Or(strings.Compare(a.Pod.Metadata.Namespace, b.Pod.Metadata.Namespace), strings.Compare(a.Pod.Metadata.Name, b.Pod.Metadata.Name))
	})
}

// addStats gives the pods their statistics from a file.
func (n *node) addStats(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &n.summary); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	n.observe()
	n.about = "as described, with statistics"
	return nil
}

func (n *node) observe() {
	byUID := map[string]*qos.PodStats{}
	for i := range n.summary.Pods {
		byUID[n.summary.Pods[i].PodRef.UID] = &n.summary.Pods[i]
	}
	for i := range n.candidates {
		n.candidates[i].Observe(byUID[n.candidates[i].Pod.Metadata.UID])
	}
}

// thisMachine measures the machine, and puts the sample pods on it.
func thisMachine() (*node, error) {
	measured, err := observeMachine(time.Now())
	if err != nil {
		return nil, err
	}
	var d dump
	if err := d.add(sample, "sample"); err != nil {
		return nil, err
	}
	n, err := d.node("")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(sample, &n.summary); err != nil {
		return nil, err
	}
	n.summary.Node = measured.Node
	n.observe()
	capacity, _ := memoryCapacity(&n.summary)
	n.name, n.memoryBytes = "this machine", capacity
	n.about = "measured just now; the pods and their use are a sample"
	return n, nil
}

// memoryCapacity returns the memory of an observed node.
func memoryCapacity(s *qos.Summary) (int64, bool) {
	observed := qos.Observe(s)
	o, ok := observed.Of(qos.MemoryAvailable)
	return o.Capacity.Value(), ok
}
