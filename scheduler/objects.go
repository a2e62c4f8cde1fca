package scheduler

import (
	"cmp"
	"maps"

	"github.com/orchcore/orchcore/selector"
)

// ownerIndex holds the objects whose selectors group pods for the default
// topology spread.
type ownerIndex struct {
	services     table[podKey, *Service]
	controllers  table[podKey, *ReplicationController]
	replicaSets  table[podKey, selector.Selector]
	statefulSets table[podKey, selector.Selector]
}

// SetNamespace adds or replaces a namespace.
func (c *Cache) SetNamespace(ns *Namespace) error {
	if ns == nil || ns.Name == "" {
		return nameMissing("namespace")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.namespaces.put(ns.Name, selector.NewLabels(ns.Labels))
	c.changes.mark(&c.changes.namespaces)
	return nil
}

// RemoveNamespace removes a namespace, if it is there.
func (c *Cache) RemoveNamespace(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.namespaces.drop(name)
	c.changes.mark(&c.changes.namespaces)
}

// SetService adds or replaces a service.
func (c *Cache) SetService(s *Service) error {
	if s == nil || s.Name == "" {
		return nameMissing("service")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owners.services.put(keyOf(&s.ObjectMeta), s)
	c.changes.mark(&c.changes.owners)
	return nil
}

// RemoveService removes a service, if it is there.
func (c *Cache) RemoveService(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owners.services.drop(podKey{orDefault(namespace), name})
	c.changes.mark(&c.changes.owners)
}

// SetReplicationController adds or replaces a replication controller.
func (c *Cache) SetReplicationController(rc *ReplicationController) error {
	if rc == nil || rc.Name == "" {
		return nameMissing("replicationcontroller")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owners.controllers.put(keyOf(&rc.ObjectMeta), rc)
	c.changes.mark(&c.changes.owners)
	return nil
}

// RemoveReplicationController removes a replication controller, if it is
// there.
func (c *Cache) RemoveReplicationController(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owners.controllers.drop(podKey{orDefault(namespace), name})
	c.changes.mark(&c.changes.owners)
}

// SetReplicaSet adds or replaces a replica set.
func (c *Cache) SetReplicaSet(rs *ReplicaSet) error {
	if rs == nil {
		return nameMissing("replicaset")
	}
	return c.setWorkload(&c.owners.replicaSets, "replicaset", &rs.ObjectMeta, rs.Spec.Selector)
}

// RemoveReplicaSet removes a replica set, if it is there.
func (c *Cache) RemoveReplicaSet(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owners.replicaSets.drop(podKey{orDefault(namespace), name})
	c.changes.mark(&c.changes.owners)
}

// SetStatefulSet adds or replaces a stateful set.
func (c *Cache) SetStatefulSet(ss *StatefulSet) error {
	if ss == nil {
		return nameMissing("statefulset")
	}
	return c.setWorkload(&c.owners.statefulSets, "statefulset", &ss.ObjectMeta, ss.Spec.Selector)
}

// RemoveStatefulSet removes a stateful set, if it is there.
func (c *Cache) RemoveStatefulSet(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owners.statefulSets.drop(podKey{orDefault(namespace), name})
	c.changes.mark(&c.changes.owners)
}

func (c *Cache) setWorkload(t *table[podKey, selector.Selector], kind string, meta *ObjectMeta, ls *selector.LabelSelector) error {
	if meta.Name == "" {
		return nameMissing(kind)
	}
	sel, err := selector.Compile(ls)
	if err != nil && !c.config.Unvalidated {
		return &InputError{Object: kind + " " + keyOf(meta).String(), Field: "spec.selector", Err: err}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.put(keyOf(meta), sel)
	c.changes.mark(&c.changes.owners)
	return nil
}

// defaultSelector is what groups a pod with its like when it has no spread
// constraints of its own: the selectors of the services that select it and of
// the controller that owns it. It is everything when there are none. Services
// that select the pod cannot contradict each other.
func (o *ownerIndex) defaultSelector(p *PodInfo) selector.Selector {
	merged := make(map[string]string)
	for key, s := range o.services.m {
		// A service without selector selects nothing.
		if key.namespace != p.Namespace || s.Spec.Selector == nil {
			continue
		}
		if selector.FromMap(s.Spec.Selector).Matches(p.Labels) {
			maps.Copy(merged, s.Spec.Selector)
		}
	}
	sel := selector.FromMap(merged)
	owner := p.Pod.controller()
	if owner == nil {
		return sel
	}
	key := podKey{p.Namespace, owner.Name}
	switch (OwnerReference{APIVersion: owner.APIVersion, Kind: owner.Kind}) {
	case OwnerReference{APIVersion: "v1", Kind: "ReplicationController"}:
		if rc := o.controllers.get(key); rc != nil {
			// Its selector overrides the services' key by key.
			maps.Copy(merged, rc.Spec.Selector)
			return selector.FromMap(merged)
		}
	case OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet"}:
		return withRequirements(sel, &o.replicaSets, key)
	case OwnerReference{APIVersion: "apps/v1", Kind: "StatefulSet"}:
		return withRequirements(sel, &o.statefulSets, key)
	}
	return sel
}

func withRequirements(sel selector.Selector, t *table[podKey, selector.Selector], key podKey) selector.Selector {
	own, ok := t.m[key]
	if !ok {
		return sel
	}
	if requirements, ok := own.Requirements(); ok {
		return sel.Add(requirements...)
	}
	return sel
}

func keyOf(meta *ObjectMeta) podKey { return podKey{orDefault(meta.Namespace), meta.Name} }

func nameMissing(kind string) error {
	return &InputError{Object: kind, Field: "metadata.name", Want: "a name"}
}

func cmpKey(a, b podKey) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
}

// disruptionBudget is a compiled PodDisruptionBudget.
type disruptionBudget struct {
	key       podKey
	pods      selector.Selector
	allowed   int32
	disrupted map[string]bool
}

// SetPodDisruptionBudget adds or replaces a budget.
func (c *Cache) SetPodDisruptionBudget(b *PodDisruptionBudget) error {
	if b == nil || b.Name == "" {
		return nameMissing("poddisruptionbudget")
	}
	sel, err := selector.Compile(b.Spec.Selector)
	if err != nil && !c.config.Unvalidated {
		return &InputError{Object: "poddisruptionbudget " + keyOf(&b.ObjectMeta).String(), Field: "spec.selector", Err: err}
	}
	out := &disruptionBudget{key: keyOf(&b.ObjectMeta), pods: sel, allowed: b.Status.DisruptionsAllowed}
	out.disrupted = make(map[string]bool, len(b.Status.DisruptedPods))
	for name := range b.Status.DisruptedPods {
		out.disrupted[name] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budgets.put(out.key, out)
	c.changes.mark(&c.changes.budgets)
	return nil
}

// RemovePodDisruptionBudget removes a budget, if it is there.
func (c *Cache) RemovePodDisruptionBudget(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budgets.drop(podKey{orDefault(namespace), name})
	c.changes.mark(&c.changes.budgets)
}
