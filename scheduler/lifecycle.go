package scheduler

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/selector"
)

// Cordon returns the node as it is once it is cordoned: unschedulable, with the
// taint that stands for that. The node passed in is not changed.
func Cordon(n *Node) *Node {
	out := Uncordon(n)
	out.Spec.Unschedulable = true
	out.Spec.Taints = append(out.Spec.Taints, Taint{Key: TaintUnschedulable, Effect: NoSchedule})
	return out
}

// Uncordon undoes Cordon.
func Uncordon(n *Node) *Node {
	out := *n
	out.Spec.Unschedulable = false
	out.Spec.Taints = slices.DeleteFunc(slices.Clone(n.Spec.Taints), func(t Taint) bool {
		return t.Key == TaintUnschedulable && t.Effect == NoSchedule
	})
	return &out
}

// StayOn returns how long a pod may stay on a node with its taints: forever,
// for some seconds, or not at all. Who keeps the times for many pods is
// qos.TaintEvictor.
func StayOn(p *Pod, n *Node) qos.Stay {
	return qos.StayOn(taintsOf(n), tolerationsOf(p.Spec.Tolerations))
}

func taintsOf(n *Node) []qos.Taint {
	var list []qos.Taint
	for _, t := range n.Spec.Taints {
		list = append(list, qos.Taint(t))
	}
	return list
}

func tolerationsOf(tolerations []Toleration) []qos.Toleration {
	var list []qos.Toleration
	for _, t := range tolerations {
		list = append(list, qos.Toleration(t))
	}
	return list
}

// withDefaultTolerations adds what the pod eviction timeout has become: 300
// seconds on nodes that are not ready or unreachable.
func withDefaultTolerations(tolerations []Toleration) []Toleration {
	var list []Toleration
	for _, t := range qos.DefaultTolerations(tolerationsOf(tolerations)) {
		list = append(list, Toleration(t))
	}
	return list
}

// DrainPlan says what becomes of each pod on a node that is drained: who is
// evicted in which order, who waits for a disruption budget, who stays, and
// what the drain needs a consent for. It is qos.Drain over what the Cache
// holds; it changes nothing. An error is a *InputError or names the budget.
func (c *Cache) DrainPlan(node string, options qos.DrainOptions, budgets []*qos.Budget, now time.Time) ([]qos.DrainStep, error) {
	covers, err := compileBudgets(budgets)
	if err != nil {
		return nil, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := c.node(node)
	if n == nil || n.Node == nil {
		return nil, unknownNode(node)
	}
	var pods []*qos.Pod
	for _, p := range n.Pods {
		q, err := qosPod(p.Pod)
		if err != nil {
			return nil, fmt.Errorf("pod %s: %w", p.Name(), err)
		}
		pods = append(pods, q)
	}
	return qos.Drain(pods, options, covers, now), nil
}

// qosPod is the pod as package qos reads it; the two share the JSON form.
func qosPod(p *Pod) (*qos.Pod, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return qos.DecodePod(data)
}

// compileBudgets returns which budgets cover a pod.
func compileBudgets(budgets []*qos.Budget) (covers func(*qos.Pod) []*qos.Budget, err error) {
	selectors := make([]selector.Selector, len(budgets))
	for i, b := range budgets {
		if b == nil {
			return nil, fmt.Errorf("budgets[%d]: nil", i)
		}
		var wire *selector.LabelSelector
		if len(b.Spec.Selector) > 0 {
			err = json.Unmarshal(b.Spec.Selector, &wire)
		}
		if err == nil {
			selectors[i], err = selector.Compile(wire)
		}
		if err != nil {
			return nil, fmt.Errorf("poddisruptionbudget %s/%s: spec.selector: %w", orDefault(b.Metadata.Namespace), b.Metadata.Name, err)
		}
	}
	return func(p *qos.Pod) []*qos.Budget {
		labels := selector.NewLabels(p.Metadata.Labels)
		var out []*qos.Budget
		for i, b := range budgets {
			if orDefault(b.Metadata.Namespace) == orDefault(p.Metadata.Namespace) && selectors[i].Matches(labels) {
				out = append(out, b)
			}
		}
		return out
	}, nil
}

// kubeletChecks are the rules that a kubelet applies to a pod whose
// spec.nodeName was set by hand: no scheduler has looked at it.
var kubeletChecks = [...]string{"NodeResourcesFit", "NodeAffinity", "NodeName", "NodePorts"}

// AdmitOn says whether the kubelet of a node would run a pod that is bound to
// it by hand (spec.nodeName), past the scheduler: resources, node affinity,
// name, ports and, except for static pods, taints NoExecute count; taints NoSchedule, spreading, pod
// affinity and cordons do not. The verdict has all reasons.
func (s *Scheduler) AdmitOn(pod *Pod, node string) (Status, error) {
	p, err := s.config.Cache.compile(pod)
	if err != nil {
		return Status{}, err
	}
	profile, err := compileProfile(&Profile{})
	if err != nil {
		return Status{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cache := s.config.Cache
	cache.mu.Lock()
	defer cache.mu.Unlock()
	n := cache.node(node)
	switch {
	case n == nil || n.Node == nil:
		return Status{}, inputError(p, "spec.nodeName", node, ErrUnknownNode)
	case cache.pod(p.key) != nil:
		return Status{}, inputError(p, "metadata.name", pod.Name, ErrExists)
	}
	s.cycle.begin(s, profile, p, cache.refresh())
	return s.cycle.admit(n)
}

func (c *Cycle) admit(n *NodeInfo) (Status, error) {
	var out Status
	for _, name := range kubeletChecks {
		i := slices.IndexFunc(c.profile.plugins, func(pl Plugin) bool { return pl.Name() == name })
		pl := c.profile.plugins[i]
		if pre, ok := pl.(PreFilter); ok {
			if _, v := pre.PreFilter(c); v.Code == Skip {
				continue
			}
		}
		v := pl.(Filter).Filter(c, n)
		if v.Code == Failed {
			return out, fmt.Errorf("running %q filter plugin: %w", name, v.Err)
		}
		out.Reasons |= v.Reasons
		out.Details = append(out.Details, v.Details...)
		out.Code = max(out.Code, v.Code)
	}
	if qos.IsStatic(&qos.Pod{Metadata: qos.Metadata{Annotations: c.Pod.Pod.Annotations}}) {
		return out, nil
	}
	for i := range n.Node.Spec.Taints {
		if t := &n.Node.Spec.Taints[i]; t.Effect == NoExecute && !tolerated(c.Pod.Pod.Spec.Tolerations, t) {
			out.Reasons |= ReasonTaint
			out.Code = UnschedulableAndUnresolvable
		}
	}
	return out, nil
}
