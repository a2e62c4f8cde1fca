package control

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/selector"
)

// Deployments keeps, for every deployment, a replica set of the present template,
// and shifts pods to it from those of older templates.
type Deployments struct {
	Seed uint64
}

// Name implements Controller.
func (c *Deployments) Name() string { return "deployment" }

// Kinds implements Controller.
func (c *Deployments) Kinds() []api.Kind {
	return []api.Kind{api.Deployments, api.ReplicaSets, api.Pods}
}

// rollout is what one deployment looks like: its present replica set (nil when it
// is still to be made) and the older ones.
type rollout struct {
	deployment *Stored[api.Deployment]
	hash       string
	present    *Stored[api.ReplicaSet]
	older      []*Stored[api.ReplicaSet]
	olderPods  int // pods of older templates that still exist, ending ones included
}

// Reconcile implements Controller.
func (c *Deployments) Reconcile(view *View, now time.Time) ([]Action, time.Duration, error) {
	sets := map[ownerKey][]*Stored[api.ReplicaSet]{}
	for rs := range view.ReplicaSets.All() {
		if ref := rs.Object.Metadata.Controller(); ref != nil {
			k := ownerKey{ref.Kind, rs.Object.Metadata.Namespace, ref.Name}
			sets[k] = append(sets[k], rs)
		}
	}
	groups := podsByOwner(view)
	var actions []Action
	for d := range view.Deployments.All() {
		meta := &d.Object.Metadata
		if meta.Deleting() || d.Object.Spec.Paused {
			continue
		}
		r, err := inspect(d, sets[ownerKey{api.Deployments.Name, meta.Namespace, meta.Name}], groups)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", d.Key, err)
		}
		more, err := c.sync(view, r, now)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", d.Key, err)
		}
		actions = append(actions, more...)
	}
	return actions, 0, nil
}

func inspect(d *Stored[api.Deployment], sets []*Stored[api.ReplicaSet], groups map[ownerKey][]*Stored[api.Pod]) (*rollout, error) {
	hash, err := templateHash(&d.Object.Spec.Template)
	if err != nil {
		return nil, err
	}
	r := &rollout{deployment: d, hash: hash}
	for _, rs := range sets {
		if !rs.Object.Metadata.ControlledBy(api.Deployments, &d.Object.Metadata) {
			continue
		}
		h, err := templateHash(&rs.Object.Spec.Template)
		if err != nil {
			return nil, err
		}
		if h == hash && r.present == nil {
			r.present = rs
			continue
		}
		r.older = append(r.older, rs)
		for _, p := range owned(groups, api.ReplicaSets, &rs.Object.Metadata) {
			if !p.Object.Finished() {
				r.olderPods++
			}
		}
	}
	return r, nil
}

func (c *Deployments) sync(view *View, r *rollout, now time.Time) ([]Action, error) {
	present, older, err := r.targets()
	if err != nil {
		return nil, err
	}
	if r.present == nil {
		a, err := c.newReplicaSet(view, r, present, now)
		return []Action{a}, err
	}
	var actions []Action
	scale := func(rs *Stored[api.ReplicaSet], replicas int) error {
		if api.Count(rs.Object.Spec.Replicas) == replicas {
			return nil
		}
		m := &rs.Object.Metadata
		title := fmt.Sprintf("%s to %d", api.Title("ReplicaSet", m.Namespace, m.Name), replicas)
		a, err := Patched("scale", title, rs, api.Fields{
			"metadata": api.Fields{"generation": m.Generation + 1},
			"spec":     api.Fields{"replicas": replicas},
		})
		actions = append(actions, a)
		return err
	}
	if err := scale(r.present, present); err != nil {
		return nil, err
	}
	for i, rs := range r.older {
		if err := scale(rs, older[i]); err != nil {
			return nil, err
		}
	}
	d := &r.deployment.Object
	want := api.DeploymentStatus{ObservedGeneration: d.Metadata.Generation}
	for _, rs := range append(r.older[:len(r.older):len(r.older)], r.present) {
		want.Replicas += rs.Object.Status.Replicas
		want.ReadyReplicas += rs.Object.Status.ReadyReplicas
	}
	want.UpdatedReplicas = r.present.Object.Status.Replicas
	report, err := statusPatch(api.Deployments, r.deployment, &d.Metadata, d.Status, want)
	return append(actions, report...), err
}

// targets computes how many replicas each replica set should have now.
func (r *rollout) targets() (present int, older []int, err error) {
	desired := api.Count(r.deployment.Object.Spec.Replicas)
	older = make([]int, len(r.older))
	total, ready := 0, 0
	for i, rs := range r.older {
		older[i] = api.Count(rs.Object.Spec.Replicas)
		total += older[i]
		ready += int(rs.Object.Status.ReadyReplicas)
	}
	if total == 0 && r.olderPods == 0 {
		return desired, older, nil
	}
	if r.deployment.Object.Spec.Strategy.Type == "Recreate" {
		if r.olderPods == 0 {
			present = desired
		}
		return present, make([]int, len(r.older)), nil
	}
	surge, unavailable, err := bounds(&r.deployment.Object.Spec.Strategy, desired)
	if err != nil {
		return 0, nil, err
	}
	presentReady := 0
	if r.present != nil {
		present = api.Count(r.present.Object.Spec.Replicas)
		presentReady = int(r.present.Object.Status.ReadyReplicas)
	}
	grown := min(desired, present+max(0, desired+surge-total-present))
	if present > desired {
		grown = desired
	}
	// Pods of older templates may go as long as enough ready ones remain; those
	// that are not ready go first, since nobody misses them.
	spare := total + present - (desired - unavailable) - max(0, present-presentReady)
	for i, rs := range r.older {
		broken := max(0, min(spare, older[i]-int(rs.Object.Status.ReadyReplicas)))
		older[i] -= broken
		spare -= broken
	}
	spare = min(spare, ready+presentReady-(desired-unavailable))
	for i := range older {
		gone := max(0, min(spare, older[i]))
		older[i] -= gone
		spare -= gone
	}
	return grown, older, nil
}

// newReplicaSet is the action that creates the replica set of the present template.
func (c *Deployments) newReplicaSet(view *View, r *rollout, replicas int, now time.Time) (Action, error) {
	d := &r.deployment.Object
	name := childName(d.Metadata.Name, r.hash)
	for salt := 0; view.ReplicaSets[api.ReplicaSets.Key(d.Metadata.Namespace, name)] != nil; salt++ {
		name = childName(d.Metadata.Name, Suffix(10, 0, r.hash, strconv.Itoa(salt)))
	}
	with := func(labels map[string]string) map[string]string {
		out := maps.Clone(labels)
		if out == nil {
			out = map[string]string{}
		}
		out[labelHash] = r.hash
		return out
	}
	var choose selector.LabelSelector
	if d.Spec.Selector != nil {
		choose = *d.Spec.Selector
	}
	choose.MatchLabels = with(choose.MatchLabels)
	template := d.Spec.Template
	template.Metadata.Labels = with(template.Metadata.Labels)
	count := int32(replicas)
	rs := api.ReplicaSet{
		TypeMeta: api.TypeMeta{APIVersion: api.ReplicaSets.APIVersion, Kind: api.ReplicaSets.Name},
		Metadata: api.ObjectMeta{
			Name: name, Namespace: d.Metadata.Namespace, Generation: 1,
			UID:               UID(c.Seed, d.Metadata.UID, name),
			CreationTimestamp: now.UTC().Truncate(time.Second),
			Labels:            with(d.Spec.Template.Metadata.Labels),
			OwnerReferences:   api.OwnedBy(api.Deployments, &d.Metadata),
		},
		Spec: api.ReplicaSetSpec{Replicas: &count, Selector: &choose, Template: template},
	}
	text, err := json.Marshal(rs)
	if err != nil {
		return Action{}, err
	}
	return Put("create", api.Title("ReplicaSet", rs.Metadata.Namespace, name),
		api.ReplicaSets.Key(rs.Metadata.Namespace, name), 0, text), nil
}

// bounds resolves maxSurge (rounded up) and maxUnavailable (rounded down), 25 %
// each by default. Both 0 would never get anywhere; then one pod may be missing.
func bounds(s *api.Strategy, desired int) (surge, unavailable int, err error) {
	var u api.RollingUpdate
	if s.RollingUpdate != nil {
		u = *s.RollingUpdate
	}
	quarter := &api.IntOrString{Text: "25%"}
	u.MaxSurge, u.MaxUnavailable = cmp.Or(u.MaxSurge, quarter), cmp.Or(u.MaxUnavailable, quarter)
	if surge, err = u.MaxSurge.Share(desired, math.Ceil); err != nil {
		return 0, 0, fmt.Errorf("spec.strategy.rollingUpdate.maxSurge: %w", err)
	}
	if unavailable, err = u.MaxUnavailable.Share(desired, math.Floor); err != nil {
		return 0, 0, fmt.Errorf("spec.strategy.rollingUpdate.maxUnavailable: %w", err)
	}
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, min(unavailable, desired), nil
}
