// Package apply turns an input into writes, as kubectl apply and the API server
// behind it would: new objects are admitted and created, objects whose manifest
// has changed are replaced but keep what the cluster has set in them, and objects
// whose manifest is the same stay untouched. Objects that left the input stay, too:
// nothing is pruned.
//
// Reading order: plan.go (which writes), complete.go (what each kind gets).
package apply

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/admit"
	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/load"
)

// AnnotationApplied is the digest of the manifest that an object was last applied from.
const AnnotationApplied = "minicluster.orchcore/applied"

// Config is what a plan depends on beside the input and the store.
type Config struct {
	Seed uint64
	Now  time.Time
}

// Plan is what has to be written, and what to tell people.
type Plan struct {
	// Stages are to be written one after the other, each when all of the one
	// before is in the store; see api.Kinds.
	Stages    [][]control.Action
	Created   map[string]int // objects by kind
	Changed   map[string]int
	Unchanged map[string]int
	Notes     []string // what the example cannot honour, sorted
}

// planner holds what making a plan needs.
type planner struct {
	config  Config
	view    *control.View
	alloc   *admit.Allocator
	classes admit.Priorities
	plan    *Plan
	notes   map[string]bool
	stage   api.Kind // of the last stage
}

// New makes the plan that brings an input into the store that view shows. It
// checks everything that involves several objects; on an error nothing is to be
// written.
func New(view *control.View, objects []load.Object, config Config) (*Plan, error) {
	p := &planner{
		config: config, view: view, alloc: admit.NewAllocator(), classes: admit.Priorities{},
		plan:  &Plan{Created: map[string]int{}, Changed: map[string]int{}, Unchanged: map[string]int{}},
		notes: map[string]bool{},
	}
	sorted := slices.Clone(objects)
	rank := map[api.Kind]int{}
	for i, k := range api.Kinds() {
		rank[k] = i
	}
	slices.SortStableFunc(sorted, func(a, b load.Object) int {
		return cmp.Or(cmp.Compare(rank[a.Kind], rank[b.Kind]), cmp.Compare(a.Key(), b.Key()))
	})
	sorted = append(impliedNamespaces(view, sorted), sorted...)
	if err := p.claim(sorted); err != nil {
		return nil, err
	}
	if err := p.count(sorted); err != nil {
		return nil, err
	}
	for i := range sorted {
		if err := p.apply(&sorted[i]); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", sorted[i].Origin, sorted[i].Title(), err)
		}
	}
	for n := range p.notes {
		p.plan.Notes = append(p.plan.Notes, n)
	}
	slices.Sort(p.plan.Notes)
	return p.plan, nil
}

// podsMax bounds the pods that an input asks for in all.
const podsMax = 20_000

func (p *planner) count(objects []load.Object) error {
	total := 0
	for i := range objects {
		o := &objects[i]
		switch o.Kind {
		case api.Pods:
			total++
		case api.Deployments, api.StatefulSets:
			spec, _ := o.Tree["spec"].(api.Fields)
			n := 1
			if replicas, ok := spec["replicas"].(json.Number); ok {
				count, _ := replicas.Int64()
				n = int(count)
			}
			total += n
		}
		if total > podsMax {
			return &load.Error{Origin: o.Origin, Object: o.Title(), Field: "spec.replicas",
				Want: fmt.Sprintf("want at most %d pods in the whole input", podsMax)}
		}
	}
	return nil
}

// impliedNamespaces are the namespaces that objects live in but nobody declared.
func impliedNamespaces(view *control.View, objects []load.Object) []load.Object {
	have := map[string]bool{}
	for i := range objects {
		if objects[i].Kind == api.Namespaces {
			have[objects[i].Meta.Name] = true
		}
	}
	var out []load.Object
	for i := range objects {
		name := objects[i].Meta.Namespace
		if name == "" || have[name] || view.Namespaces[api.Namespaces.Key("", name)] != nil {
			continue
		}
		have[name] = true
		out = append(out, load.Object{
			Kind: api.Namespaces, Meta: api.ObjectMeta{Name: name}, Origin: objects[i].Origin,
			Tree: api.Fields{"apiVersion": "v1", "kind": "Namespace", "metadata": api.Fields{"name": name}},
		})
	}
	slices.SortFunc(out, func(a, b load.Object) int { return cmp.Compare(a.Meta.Name, b.Meta.Name) })
	return out
}

// stored returns the JSON and revision of the object that is there already.
func (p *planner) stored(kind api.Kind, key string) (raw []byte, meta *api.ObjectMeta, revision int64) {
	switch kind {
	case api.Namespaces:
		return lookup(p.view.Namespaces, key, func(o *api.Namespace) *api.ObjectMeta { return &o.Metadata })
	case api.PriorityClasses:
		return lookup(p.view.PriorityClasses, key, func(o *api.PriorityClass) *api.ObjectMeta { return &o.Metadata })
	case api.Nodes:
		return lookup(p.view.Nodes, key, func(o *api.Node) *api.ObjectMeta { return &o.Metadata })
	case api.Services:
		return lookup(p.view.Services, key, func(o *api.Service) *api.ObjectMeta { return &o.Metadata })
	case api.EndpointSlices:
		return lookup(p.view.Slices, key, func(o *api.EndpointSlice) *api.ObjectMeta { return &o.Metadata })
	case api.Budgets:
		return lookup(p.view.Budgets, key, func(o *api.PodDisruptionBudget) *api.ObjectMeta { return &o.Metadata })
	case api.Deployments:
		return lookup(p.view.Deployments, key, func(o *api.Deployment) *api.ObjectMeta { return &o.Metadata })
	case api.ReplicaSets:
		return lookup(p.view.ReplicaSets, key, func(o *api.ReplicaSet) *api.ObjectMeta { return &o.Metadata })
	case api.DaemonSets:
		return lookup(p.view.DaemonSets, key, func(o *api.DaemonSet) *api.ObjectMeta { return &o.Metadata })
	case api.StatefulSets:
		return lookup(p.view.StatefulSets, key, func(o *api.StatefulSet) *api.ObjectMeta { return &o.Metadata })
	case api.Pods:
		return lookup(p.view.Pods, key, func(o *api.Pod) *api.ObjectMeta { return &o.Metadata })
	}
	return nil, nil, 0
}

func lookup[T any](t control.Table[T], key string, meta func(*T) *api.ObjectMeta) ([]byte, *api.ObjectMeta, int64) {
	s := t[key]
	if s == nil {
		return nil, nil, 0
	}
	return s.Raw, meta(&s.Object), s.Revision
}

// apply decides about one object.
func (p *planner) apply(o *load.Object) error {
	text, err := json.Marshal(o.Tree)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	applied := hex.EncodeToString(sum[:16])
	raw, meta, revision := p.stored(o.Kind, o.Key())
	if raw != nil && meta.Annotations[AnnotationApplied] == applied {
		p.plan.Unchanged[o.Kind.Name]++
		return nil
	}
	if raw == nil && o.Kind == api.Pods && p.ownerStored(&o.Meta) {
		// The pod was applied before its owner was; since then the owner decides.
		p.plan.Unchanged[o.Kind.Name]++
		return nil
	}
	wanted, err := api.Tree(text)
	if err != nil {
		return err
	}
	verb := "create"
	if raw != nil {
		verb = "configure"
		if err := keep(o.Kind, wanted, raw); err != nil {
			return err
		}
		p.plan.Changed[o.Kind.Name]++
	} else {
		p.plan.Created[o.Kind.Name]++
	}
	if err := p.complete(o, wanted, applied); err != nil {
		return err
	}
	value, err := json.Marshal(wanted)
	if err != nil {
		return err
	}
	last := len(p.plan.Stages) - 1
	if last < 0 || p.stage != o.Kind {
		p.plan.Stages = append(p.plan.Stages, nil)
		p.stage, last = o.Kind, last+1
	}
	p.plan.Stages[last] = append(p.plan.Stages[last], control.Put(verb, o.Title(), o.Key(), revision, value))
	return nil
}

// ownerStored reports whether the controller that an object names is in the store.
func (p *planner) ownerStored(meta *api.ObjectMeta) bool {
	ref := meta.Controller()
	if ref == nil {
		return false
	}
	kind, ok := api.KindOf(ref.APIVersion, ref.Kind)
	if !ok {
		return false
	}
	raw, owner, _ := p.stored(kind, kind.Key(meta.Namespace, ref.Name))
	return raw != nil && meta.ControlledBy(kind, owner)
}

func (p *planner) note(format string, args ...any) { p.notes[fmt.Sprintf(format, args...)] = true }
