package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/scheduler"
	"github.com/orchcore/orchcore/selector"
)

// podsMax bounds how many pods the workloads may stand for.
const podsMax = 50_000

// hashLabel tells the ReplicaSets of a Deployment apart; hashNew stands for the
// hash of a template that has no pods yet.
const (
	hashLabel = "pod-template-hash"
	hashNew   = "new"
)

// workload is what all controllers of pods have in common.
type workload struct {
	Kind     string               `json:"kind"`
	Metadata scheduler.ObjectMeta `json:"metadata"`
	Spec     struct {
		Replicas    *int32          `json:"replicas"`
		Parallelism *int32          `json:"parallelism"`
		Completions *int32          `json:"completions"`
		Suspend     bool            `json:"suspend"`
		Selector    json.RawMessage `json:"selector"`
		Template    scheduler.Pod   `json:"template"`
	} `json:"spec"`

	id string
	at place
}

func (in *input) addWorkload(data []byte, id string) error {
	w, err := decode[workload](data)
	if err != nil {
		return err
	}
	w.id, w.at = id, in.seen[id]
	for field, n := range map[string]*int32{
		"spec.replicas": w.Spec.Replicas, "spec.parallelism": w.Spec.Parallelism, "spec.completions": w.Spec.Completions,
	} {
		if n != nil && (*n < 0 || *n > podsMax) {
			return &fault{field, fmt.Sprint(*n), fmt.Sprintf("want 0 to %d", podsMax)}
		}
	}
	if len(w.Spec.Template.Spec.Containers) == 0 {
		return &fault{"spec.template.spec.containers", "[]", "want at least one container"}
	}
	in.works = append(in.works, w)
	if owner := controller(&w.Metadata); owner != "" {
		in.owners[id] = owner
	}
	return nil
}

// want is how many pods there should be.
func (w *workload) want() int {
	n := int32(1)
	set := func(value *int32) {
		if value != nil {
			n = *value
		}
	}
	if w.Kind != "Job" {
		set(w.Spec.Replicas)
		return int(n)
	}
	set(w.Spec.Parallelism)
	if c := w.Spec.Completions; c != nil {
		n = min(n, *c)
	}
	if w.Spec.Suspend {
		return 0
	}
	return int(n)
}

// controller is the id of the object's controller, "" if it has none.
func controller(m *scheduler.ObjectMeta) string {
	for _, r := range m.OwnerReferences {
		if r.Controller != nil && *r.Controller {
			return r.Kind + " " + cmp.Or(m.Namespace, "default") + "/" + r.Name
		}
	}
	return ""
}

// root is the id of the workload that a pod belongs to in the end. Without the
// ReplicaSets in the input the Deployment's name follows from theirs.
func (in *input) root(p *scheduler.Pod) string {
	owner := controller(&p.ObjectMeta)
	if up, ok := in.owners[owner]; ok {
		return up
	}
	if name, ok := strings.CutPrefix(owner, "ReplicaSet "); ok && in.seen[owner] == (place{}) {
		if name, ok := strings.CutSuffix(name, "-"+p.Labels[hashLabel]); ok {
			return "Deployment " + name
		}
	}
	return owner
}

// expand makes the pods that workloads lack: those that the input shows already
// are not made again.
func (in *input) expand() error {
	have := make(map[string][]*scheduler.Pod)
	names := make(map[string]bool)
	for _, p := range in.pods {
		names[fullName(&p.ObjectMeta)] = true
		if p.Status.Phase != "Succeeded" && p.Status.Phase != "Failed" {
			root := in.root(p)
			have[root] = append(have[root], p)
		}
	}
	for _, w := range in.works {
		if owner := in.owners[w.id]; owner != "" && in.seen[owner] != (place{}) {
			continue // its owner stands for it
		}
		made, err := in.podsOf(w, have[w.id], names)
		if err == nil {
			err = check(made)
		}
		if err == nil && len(in.pods)+len(made) > podsMax {
			err = fmt.Errorf("more than %d pods in all", podsMax)
		}
		if err != nil {
			return &inputError{w.at, w.id, err}
		}
		in.pods = append(in.pods, made...)
	}
	return nil
}

// check reports a fault of a template under the name of its first pod.
func check(made []*scheduler.Pod) error {
	if len(made) == 0 {
		return nil
	}
	return scheduler.ValidatePod(made[0])
}

// podsOf returns the pods that the workload lacks.
func (in *input) podsOf(w *workload, have []*scheduler.Pod, names map[string]bool) ([]*scheduler.Pod, error) {
	if w.Kind == "DaemonSet" {
		return in.daemons(w, have)
	}
	owner, base, labels := w.Kind, w.Metadata.Name, maps.Clone(w.Spec.Template.Labels)
	if w.Kind == "Deployment" {
		hash := hashNew
		if len(have) > 0 {
			hash = cmp.Or(have[0].Labels[hashLabel], hashNew)
		}
		owner, base = "ReplicaSet", base+"-"+hash
		if labels == nil {
			labels = make(map[string]string)
		}
		labels[hashLabel] = hash
		if err := in.replicaSet(w, base, hash); err != nil {
			return nil, err
		}
	}
	var made []*scheduler.Pod
	for i, missing := 0, w.want()-len(have); missing > 0; i++ {
		p := w.pod(owner, base, fmt.Sprintf("%s-%d", base, i), labels)
		if names[fullName(&p.ObjectMeta)] {
			continue
		}
		names[fullName(&p.ObjectMeta)] = true
		made = append(made, p)
		missing--
	}
	return made, nil
}

// replicaSet stands in for the one that the Deployment's controller would make:
// default spreading goes by its selector.
func (in *input) replicaSet(w *workload, name, hash string) error {
	if in.seen["ReplicaSet "+cmp.Or(w.Metadata.Namespace, "default")+"/"+name] != (place{}) || len(w.Spec.Selector) == 0 {
		return nil
	}
	s, err := decode[selector.LabelSelector](w.Spec.Selector)
	if err != nil {
		return fmt.Errorf("spec.selector: %w", err)
	}
	s.MatchLabels = maps.Clone(s.MatchLabels)
	if s.MatchLabels == nil {
		s.MatchLabels = make(map[string]string)
	}
	s.MatchLabels[hashLabel] = hash
	rs := &scheduler.ReplicaSet{ObjectMeta: scheduler.ObjectMeta{Name: name, Namespace: w.Metadata.Namespace}}
	rs.Spec.Selector = s
	return in.cache.SetReplicaSet(rs)
}

// pod makes one pod of the template.
func (w *workload) pod(ownerKind, owner, name string, labels map[string]string) *scheduler.Pod {
	p := w.Spec.Template
	yes := true
	p.ObjectMeta = scheduler.ObjectMeta{
		Name: name, Namespace: cmp.Or(w.Metadata.Namespace, "default"), UID: name,
		Labels: labels, Annotations: w.Spec.Template.Annotations,
		OwnerReferences: []scheduler.OwnerReference{{Kind: ownerKind, Name: owner, Controller: &yes, APIVersion: apiVersions(ownerKind)}},
	}
	return &p
}

func apiVersions(kind string) string {
	switch kind {
	case "Job":
		return "batch/v1"
	case "ReplicationController":
		return "v1"
	}
	return "apps/v1"
}

// daemons returns a pod for every node that the DaemonSet wants one on and that
// has none.
func (in *input) daemons(w *workload, have []*scheduler.Pod) ([]*scheduler.Pod, error) {
	var made []*scheduler.Pod
	template := w.pod(w.Kind, w.Metadata.Name, w.Metadata.Name, w.Spec.Template.Labels)
	if err := scheduler.ValidatePod(template); err != nil {
		return nil, err
	}
	for _, n := range in.nodes {
		run, _ := scheduler.DaemonWanted(template, n)
		if !run || slices.ContainsFunc(have, func(p *scheduler.Pod) bool { return daemonNode(p) == n.Name }) {
			continue
		}
		p := scheduler.DaemonPod(template, n.Name)
		p.Name += "-" + n.Name
		p.UID = p.Name
		made = append(made, p)
	}
	return made, nil
}

// daemonNode is the node that the pod of a DaemonSet is on or is meant for.
func daemonNode(p *scheduler.Pod) string {
	if a := p.Spec.Affinity; p.Spec.NodeName == "" && a != nil && a.NodeAffinity != nil && a.NodeAffinity.Required != nil {
		for _, term := range a.NodeAffinity.Required.NodeSelectorTerms {
			for _, f := range term.MatchFields {
				if f.Key == "metadata.name" && f.Operator == "In" && len(f.Values) == 1 {
					return f.Values[0]
				}
			}
		}
	}
	return p.Spec.NodeName
}
