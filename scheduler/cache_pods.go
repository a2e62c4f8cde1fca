package scheduler

import "errors"

// AddPod adds a pod that is bound to spec.nodeName. If the pod is assumed this
// confirms it, on the node that the object names. A pod whose phase is
// Succeeded or Failed uses nothing, and is dropped.
func (c *Cache) AddPod(pod *Pod) error {
	p, err := c.compileBound(pod)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addPod(p)
}

func (c *Cache) addPod(p *PodInfo) error {
	state := c.pod(p.key)
	if state != nil && !state.assumed {
		return inputError(p, "metadata.name", p.Pod.Name, ErrExists)
	}
	return c.place(p, state)
}

// UpdatePod replaces a bound pod. When it has ended (phase Succeeded or
// Failed) the pod is dropped.
func (c *Cache) UpdatePod(pod *Pod) error {
	p, err := c.compileBound(pod)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.updatePod(p)
}

func (c *Cache) updatePod(p *PodInfo) error {
	state := c.pod(p.key)
	if state == nil {
		if p.ended() {
			return nil
		}
		return inputError(p, "metadata.name", p.Pod.Name, ErrUnknownPod)
	}
	if have := state.info.Pod.UID; have != p.Pod.UID {
		return &InputError{Object: p.object(), Field: "metadata.uid", Value: p.Pod.UID, Want: have, Err: ErrExists}
	}
	return c.place(p, state)
}

// place books a bound pod, in place of the state it had, if any.
func (c *Cache) place(p *PodInfo, had *podState) error {
	if p.ended() {
		if had != nil {
			c.drop(p.key, had)
		}
		return nil
	}
	n, err := c.nodeFor(p, p.Pod.Spec.NodeName)
	if err != nil {
		return err
	}
	var from *NodeInfo
	if had != nil {
		from = c.own(c.node(had.node))
		from.removePod(had.info)
		c.touched(from)
	}
	n = c.own(c.node(n.Name))
	n.addPod(p)
	c.touched(n)
	c.setPod(p.key, c.newState(podState{info: p, node: n.Name}))
	if from != nil && from != n {
		c.dropIfEmpty(from)
	}
	c.unnominate(p.key)
	return nil
}

// pod returns a pod on a node, nil if there is none of that name.
func (c *Cache) pod(key podKey) *podState {
	state, ok := c.pods[key]
	if !ok && c.fork != nil {
		return c.fork.base.pods.get(key)
	}
	return state
}

// newState allocates states some at a time. More at a time would keep more
// memory for the pods that stay when others have gone.
func (c *Cache) newState(s podState) *podState {
	if len(c.states) == 0 {
		c.states = make([]podState, 16)
	}
	state := &c.states[0]
	*state, c.states = s, c.states[1:]
	return state
}

func (c *Cache) setPod(key podKey, state *podState) {
	if c.fork != nil {
		c.fork.notePod(c, key, state)
	}
	c.pods[key] = state
}

// nodeFor finds the node that a pod names.
func (c *Cache) nodeFor(p *PodInfo, name string) (*NodeInfo, error) {
	n := c.node(name)
	if n == nil {
		if !c.config.HoldUnknownNodes {
			return nil, inputError(p, "spec.nodeName", name, ErrUnknownNode)
		}
		n = c.newNode(name)
	}
	return n, nil
}

// RemovePod removes a bound pod.
func (c *Cache) RemovePod(namespace, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.removePod(podKey{orDefault(namespace), name})
}

func (c *Cache) removePod(key podKey) error {
	state := c.pod(key)
	switch {
	case state == nil:
		return stateError(key, ErrUnknownPod)
	case state.assumed:
		return stateError(key, ErrAssumed)
	}
	c.drop(key, state)
	return nil
}

func (c *Cache) drop(key podKey, state *podState) {
	n := c.own(c.node(state.node))
	n.removePod(state.info)
	c.touched(n)
	if c.fork != nil {
		c.setPod(key, nil)
	} else {
		delete(c.pods, key)
	}
	c.dropIfEmpty(n)
}

// Assume books a pending pod on a node until Confirm, AddPod or Forget.
func (c *Cache) Assume(pod *Pod, node string) error {
	p, err := c.compile(pod)
	if err != nil {
		return err
	}
	return c.AssumePod(p, node)
}

// AssumePod is Assume for a pod that is compiled already.
func (c *Cache) AssumePod(p *PodInfo, node string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.assume(p, node)
}

func (c *Cache) assume(p *PodInfo, node string) error {
	if want := p.Pod.Spec.NodeName; want != "" && want != node {
		return &InputError{Object: p.object(), Field: "spec.nodeName", Value: want, Want: node}
	}
	if c.pod(p.key) != nil {
		return inputError(p, "metadata.name", p.Pod.Name, ErrExists)
	}
	n := c.node(node)
	if n == nil || n.Node == nil {
		return inputError(p, "spec.nodeName", node, ErrUnknownNode)
	}
	reserved := c.reserveVolumes(p, n)
	n = c.own(n)
	n.addPod(p)
	c.touched(n)
	c.setPod(p.key, c.newState(podState{info: p, node: n.Name, assumed: true, reserved: reserved}))
	c.unnominate(p.key)
	return nil
}

// Confirm turns an assumed pod into a bound one.
func (c *Cache) Confirm(namespace, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.confirm(podKey{orDefault(namespace), name})
}

func (c *Cache) confirm(key podKey) error {
	state, err := c.assumed(key)
	if err != nil {
		return err
	}
	// Booked anew, as AddPod does with the object that is observed: the two
	// must leave the same pod order and image counts behind.
	n := c.own(c.node(state.node))
	n.removePod(state.info)
	n.addPod(state.info)
	c.touched(n)
	c.setPod(key, c.newState(podState{info: state.info, node: state.node, reserved: state.reserved}))
	return nil
}

// Forget undoes Assume.
func (c *Cache) Forget(namespace, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := podKey{orDefault(namespace), name}
	state, err := c.assumed(key)
	if err != nil {
		return err
	}
	c.forget(key, state)
	return nil
}

func (c *Cache) forget(key podKey, state *podState) {
	c.releaseVolumes(state.reserved)
	c.drop(key, state)
}

func (c *Cache) assumed(key podKey) (*podState, error) {
	state := c.pod(key)
	switch {
	case state == nil:
		return nil, stateError(key, ErrUnknownPod)
	case !state.assumed:
		return nil, stateError(key, ErrNotAssumed)
	}
	return state, nil
}

// PodNode returns the node the pod is bound to or assumed on.
func (c *Cache) PodNode(namespace, name string) (node string, assumed, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	state := c.pod(podKey{orDefault(namespace), name})
	if state == nil {
		return "", false, false
	}
	return state.node, state.assumed, true
}

// compile validates and compiles a pod.
func (c *Cache) compile(pod *Pod) (*PodInfo, error) {
	if pod == nil {
		return nil, errors.New("pod is nil")
	}
	if !c.config.Unvalidated {
		if err := ValidatePod(pod); err != nil {
			return nil, err
		}
	}
	p, err := compilePod(pod)
	if err == nil {
		c.shapes.share(p)
	}
	return p, err
}

func (c *Cache) compileBound(pod *Pod) (*PodInfo, error) {
	p, err := c.compile(pod)
	if err == nil && pod.Spec.NodeName == "" {
		err = &InputError{Object: p.object(), Field: "spec.nodeName", Want: "a node: the pod is not bound"}
	}
	return p, err
}

func inputError(p *PodInfo, field, value string, err error) error {
	return &InputError{Object: p.object(), Field: field, Value: value, Err: err}
}

func stateError(key podKey, err error) error {
	return &InputError{Object: "pod " + key.String(), Field: "metadata.name", Value: key.name, Err: err}
}

func orDefault(namespace string) string {
	if namespace == "" {
		return defaultNamespace
	}
	return namespace
}
