package control

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// ReplicaSets keeps the number of pods that each replica set asks for.
type ReplicaSets struct {
	// Seed goes into the names of pods: the same seed and input give the same names.
	Seed uint64
}

// Name implements Controller.
func (c *ReplicaSets) Name() string { return "replicaset" }

// Kinds implements Controller.
func (c *ReplicaSets) Kinds() []api.Kind {
	return []api.Kind{api.ReplicaSets, api.Pods, api.PriorityClasses}
}

// Reconcile implements Controller.
func (c *ReplicaSets) Reconcile(view *View, now time.Time) ([]Action, time.Duration, error) {
	groups := podsByOwner(view)
	var actions []Action
	for rs := range view.ReplicaSets.All() {
		if rs.Object.Metadata.Deleting() {
			continue
		}
		pods := active(owned(groups, api.ReplicaSets, &rs.Object.Metadata))
		more, err := c.sync(view, rs, pods, now)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", rs.Key, err)
		}
		actions = append(actions, more...)
	}
	return actions, 0, nil
}

func (c *ReplicaSets) sync(view *View, rs *Stored[api.ReplicaSet], pods []*Stored[api.Pod], now time.Time) ([]Action, error) {
	missing := api.Count(rs.Object.Spec.Replicas) - len(pods)
	switch {
	case missing > 0:
		// The status follows when the pods are there: both live in one object.
		a, err := c.create(view, rs, missing, now)
		return []Action{a}, err
	case missing < 0:
		return c.remove(pods, -missing, now)
	}
	have := rs.Object.Status
	want := api.ReplicaSetStatus{
		ObservedGeneration: rs.Object.Metadata.Generation,
		Replicas:           int32(len(pods)),
		ReadyReplicas:      int32(readyCount(pods)),
	}
	return statusPatch(api.ReplicaSets, rs, &rs.Object.Metadata, have, want)
}

// A batch of new pods is bounded so that its transaction stays far below the
// store's limits; the rest follows in the next round.
const (
	podBatchMax     = 32
	podBatchSizeMax = 256 << 10
)

// create makes missing pods and counts them, in one transaction: after a crash, a
// retry or a write whose outcome was never seen, the count decides.
func (c *ReplicaSets) create(view *View, rs *Stored[api.ReplicaSet], missing int, now time.Time) (Action, error) {
	meta := &rs.Object.Metadata
	count, err := podsCreated(meta)
	if err != nil {
		return Action{}, err
	}
	var writes []Write
	for size := 0; len(writes) < min(missing, podBatchMax) && size < podBatchSizeMax; {
		name := childName(meta.Name, Suffix(5, c.Seed, meta.Namespace, meta.Name, strconv.Itoa(count)))
		count++
		if _, taken := view.Pods[api.Pods.Key(meta.Namespace, name)]; taken {
			continue
		}
		w, err := newPod(view, podRecipe{
			kind: api.ReplicaSets, owner: meta, template: &rs.Object.Spec.Template, name: name,
		}, c.Seed, now)
		if err != nil {
			return Action{}, err
		}
		writes = append(writes, w)
		size += len(w.Value)
	}
	title := fmt.Sprintf("%d pods of %s", len(writes), api.Title("ReplicaSet", meta.Namespace, meta.Name))
	counted, err := Patched("create", title, rs, api.Fields{"metadata": api.Fields{
		"annotations": api.Fields{AnnotationPodsCreated: strconv.Itoa(count)},
	}})
	if err != nil {
		return Action{}, err
	}
	counted.Writes = append(counted.Writes, writes...)
	return counted, nil
}

func podsCreated(meta *api.ObjectMeta) (int, error) {
	text, ok := meta.Annotations[AnnotationPodsCreated]
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("annotation %s is %q, want a count", AnnotationPodsCreated, text)
	}
	return n, nil
}

// remove picks the pods whose end costs least: those without a node, then those
// that are not ready, then the youngest. kube-controller-manager ranks likewise.
func (c *ReplicaSets) remove(pods []*Stored[api.Pod], surplus int, now time.Time) ([]Action, error) {
	ranked := slices.Clone(pods)
	slices.SortStableFunc(ranked, func(a, b *Stored[api.Pod]) int {
		return cmp.Or(
			first(a.Object.Spec.NodeName == "", b.Object.Spec.NodeName == ""),
			first(!a.Object.Ready(), !b.Object.Ready()),
			b.Object.Metadata.CreationTimestamp.Compare(a.Object.Metadata.CreationTimestamp),
		)
	})
	var actions []Action
	for _, p := range ranked[:surplus] {
		a, err := DeletePod("delete", p, now)
		if err != nil {
			return nil, err
		}
		actions = append(actions, a)
	}
	return actions, nil
}

// first orders true before false.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
