package control

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/admit"
	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// ownerKey identifies a controller across kinds.
type ownerKey struct{ kind, namespace, name string }

// podsByOwner groups pods by the controller that their references name, each
// group in the order of the pods' keys.
func podsByOwner(view *View) map[ownerKey][]*Stored[api.Pod] {
	groups := map[ownerKey][]*Stored[api.Pod]{}
	for p := range view.Pods.All() {
		if ref := p.Object.Metadata.Controller(); ref != nil {
			k := ownerKey{ref.Kind, p.Object.Metadata.Namespace, ref.Name}
			groups[k] = append(groups[k], p)
		}
	}
	return groups
}

// owned returns the pods that the owner controls.
func owned(groups map[ownerKey][]*Stored[api.Pod], kind api.Kind, owner *api.ObjectMeta) []*Stored[api.Pod] {
	var mine []*Stored[api.Pod]
	for _, p := range groups[ownerKey{kind.Name, owner.Namespace, owner.Name}] {
		if p.Object.Metadata.ControlledBy(kind, owner) {
			mine = append(mine, p)
		}
	}
	return mine
}

// podRecipe is what makes one pod.
type podRecipe struct {
	kind     api.Kind
	owner    *api.ObjectMeta
	template *api.PodTemplate
	name     string
	labels   map[string]string // beside those of the template
	adjust   func(spec api.Fields)
}

// newPod makes the write that creates a pod from a workload's template. The pod
// passes admission here, as it would on its way through an API server.
func newPod(view *View, r podRecipe, seed uint64, now time.Time) (Write, error) {
	hash, err := templateHash(r.template)
	if err != nil {
		return Write{}, err
	}
	spec, err := api.Tree(r.template.Spec.Raw)
	if err != nil {
		return Write{}, err
	}
	if r.adjust != nil {
		r.adjust(spec)
	}
	labels := maps.Clone(r.template.Metadata.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, r.labels)
	annotations := maps.Clone(r.template.Metadata.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AnnotationTemplate] = hash
	pod := api.Fields{
		"apiVersion": api.Pods.APIVersion,
		"kind":       api.Pods.Name,
		"metadata": api.ObjectMeta{
			Name:              r.name,
			Namespace:         r.owner.Namespace,
			UID:               UID(seed, r.owner.UID, r.name, strconv.FormatInt(view.Revision, 10)),
			CreationTimestamp: now.UTC().Truncate(time.Second),
			Labels:            labels,
			Annotations:       annotations,
			OwnerReferences:   api.OwnedBy(r.kind, r.owner),
		},
		"spec":   spec,
		"status": api.Fields{"phase": api.PodPending},
	}
	if err := admit.Pod(pod, priorities(view)); err != nil {
		return Write{}, err
	}
	text, err := json.Marshal(pod)
	if err != nil {
		return Write{}, err
	}
	return Write{Key: api.Pods.Key(r.owner.Namespace, r.name), Value: text}, nil
}

func priorities(view *View) admit.Priorities {
	classes := admit.Priorities{}
	for c := range view.PriorityClasses.All() {
		classes.Add(&c.Object)
	}
	return classes
}

const defaultGraceSeconds = 30

// DeletePod asks for a pod's end. A pod that no kubelet has to stop goes at once;
// otherwise it is marked, and its kubelet removes it when it has stopped.
func DeletePod(verb string, p *Stored[api.Pod], now time.Time) (Action, error) {
	title := api.Title("Pod", p.Object.Metadata.Namespace, p.Object.Metadata.Name)
	if p.Object.Spec.NodeName == "" || p.Object.Finished() {
		return Put(verb, title, p.Key, p.Revision, nil), nil
	}
	grace := int64(defaultGraceSeconds)
	if g := p.Object.Spec.TerminationGracePeriodSeconds; g != nil {
		grace = *g
	}
	return Patched(verb, title, p, api.Fields{"metadata": api.Fields{
		"deletionTimestamp":          now.UTC().Truncate(time.Second).Add(time.Duration(grace) * time.Second),
		"deletionGracePeriodSeconds": grace,
	}})
}

// readyCount counts the pods that are ready.
func readyCount(pods []*Stored[api.Pod]) (n int) {
	for _, p := range pods {
		if p.Object.Ready() {
			n++
		}
	}
	return n
}

// active keeps the pods that count as replicas.
func active(pods []*Stored[api.Pod]) (out []*Stored[api.Pod]) {
	for _, p := range pods {
		if p.Object.Active() {
			out = append(out, p)
		}
	}
	return out
}

// statusPatch is the action that reports a workload's status, nil when the status
// is already what it should be.
func statusPatch[T, S any](kind api.Kind, s *Stored[T], meta *api.ObjectMeta, have, want S) ([]Action, error) {
	before, err := json.Marshal(have)
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(want)
	if err != nil || string(before) == string(after) {
		return nil, err
	}
	a, err := Patched("report", api.Title(kind.Name, meta.Namespace, meta.Name), s, api.Fields{"status": want})
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return []Action{a}, nil
}
