package control

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// StatefulSets keeps pods name-0 … name-(n-1): each is made when all before it
// are ready, unless the set asks for all at once. The name is the identity, so a
// pod is never replaced before it is gone.
type StatefulSets struct {
	Seed uint64
}

// Name implements Controller.
func (c *StatefulSets) Name() string { return "statefulset" }

// Kinds implements Controller.
func (c *StatefulSets) Kinds() []api.Kind {
	return []api.Kind{api.StatefulSets, api.Pods, api.PriorityClasses}
}

// Reconcile implements Controller.
func (c *StatefulSets) Reconcile(view *View, now time.Time) ([]Action, time.Duration, error) {
	groups := podsByOwner(view)
	var actions []Action
	for s := range view.StatefulSets.All() {
		if s.Object.Metadata.Deleting() {
			continue
		}
		more, err := c.sync(view, s, owned(groups, api.StatefulSets, &s.Object.Metadata), now)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", s.Key, err)
		}
		actions = append(actions, more...)
	}
	return actions, 0, nil
}

func (c *StatefulSets) sync(view *View, s *Stored[api.StatefulSet], pods []*Stored[api.Pod], now time.Time) ([]Action, error) {
	want := api.Count(s.Object.Spec.Replicas)
	existing := map[int]*Stored[api.Pod]{}
	for _, p := range pods {
		if i, ok := Ordinal(s.Object.Metadata.Name, p.Object.Metadata.Name); ok {
			existing[i] = p
		}
	}
	var actions []Action
	act := func(a Action, err error) error {
		actions = append(actions, a)
		return err
	}
	parallel := s.Object.Spec.PodManagementPolicy == "Parallel"
	settled := true // no ordinal below the present one is in motion
	for i := range want {
		p := existing[i]
		switch {
		case p == nil && (settled || parallel):
			if err := act(c.create(view, s, i, now)); err != nil {
				return nil, err
			}
			settled = false
		case p == nil:
		case p.Object.Finished() && !p.Object.Metadata.Deleting():
			if err := act(DeletePod("delete", p, now)); err != nil {
				return nil, err
			}
			settled = false
		case !p.Object.Active() || !p.Object.Ready():
			settled = false
		}
	}
	surplus, err := c.surplus(s, existing, want, settled || parallel, now)
	if err != nil {
		return nil, err
	}
	status := api.StatefulSetStatus{
		ObservedGeneration: s.Object.Metadata.Generation,
		Replicas:           int32(len(active(pods))),
		ReadyReplicas:      int32(readyCount(active(pods))),
	}
	report, err := statusPatch(api.StatefulSets, s, &s.Object.Metadata, s.Object.Status, status)
	return append(append(actions, surplus...), report...), err
}

// surplus removes, from the highest ordinal down and one at a time, pods beyond
// the wanted number and then pods of an older template.
func (c *StatefulSets) surplus(s *Stored[api.StatefulSet], existing map[int]*Stored[api.Pod], want int, settled bool, now time.Time) ([]Action, error) {
	hash, err := templateHash(&s.Object.Spec.Template)
	if err != nil || !settled {
		return nil, err
	}
	highest := -1
	for i, p := range existing {
		made := p.Object.Metadata.Annotations[AnnotationTemplate]
		if i >= want || made != "" && made != hash {
			highest = max(highest, i)
		}
	}
	if highest < 0 || existing[highest].Object.Metadata.Deleting() {
		return nil, nil
	}
	a, err := DeletePod("delete", existing[highest], now)
	return []Action{a}, err
}

func (c *StatefulSets) create(view *View, s *Stored[api.StatefulSet], ordinal int, now time.Time) (Action, error) {
	meta := &s.Object.Metadata
	name := childName(meta.Name, strconv.Itoa(ordinal))
	w, err := newPod(view, podRecipe{
		kind: api.StatefulSets, owner: meta, template: &s.Object.Spec.Template, name: name,
		labels: map[string]string{
			"statefulset.kubernetes.io/pod-name": name,
			"apps.kubernetes.io/pod-index":       strconv.Itoa(ordinal),
		},
		adjust: func(spec api.Fields) { spec["hostname"], spec["subdomain"] = name, s.Object.Spec.ServiceName },
	}, c.Seed, now)
	if err != nil {
		return Action{}, err
	}
	return Action{Verb: "create", Object: api.Title("Pod", meta.Namespace, name), Writes: []Write{w}}, nil
}

// Ordinal reads the number at the end of a stateful pod's name.
func Ordinal(set, pod string) (int, bool) {
	digits, ok := strings.CutPrefix(pod, set+"-")
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(digits)
	return i, err == nil && i >= 0 && strconv.Itoa(i) == digits
}
