package admit

import (
	"encoding/json"
	"fmt"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// Priorities are the priority classes by name.
type Priorities map[string]*api.PriorityClass

// Add notes a class.
func (p Priorities) Add(c *api.PriorityClass) { p[c.Metadata.Name] = c }

// The two classes that every cluster has.
const (
	systemClusterCritical = 2_000_000_000
	systemNodeCritical    = 2_000_001_000
)

// Resolve returns the priority that a class name stands for; "" is the global
// default, 0 if there is none.
func (p Priorities) Resolve(name string) (value int32, preemption string, ok bool) {
	switch name {
	case "system-cluster-critical":
		return systemClusterCritical, "PreemptLowerPriority", true
	case "system-node-critical":
		return systemNodeCritical, "PreemptLowerPriority", true
	case "":
		value, preemption := p.global()
		return value, preemption, true
	}
	c, ok := p[name]
	if !ok {
		return 0, "PreemptLowerPriority", false
	}
	return c.Value, policyOf(c), true
}

// global is the class for pods that name none: of several global defaults the
// smallest, as in Kubernetes.
func (p Priorities) global() (value int32, preemption string) {
	preemption = "PreemptLowerPriority"
	found := false
	for _, name := range sortedKeys(p) {
		if c := p[name]; c.GlobalDefault && (!found || c.Value < value) {
			value, preemption, found = c.Value, policyOf(c), true
		}
	}
	return value, preemption
}

func policyOf(c *api.PriorityClass) string {
	if c.PreemptionPolicy == "" {
		return "PreemptLowerPriority"
	}
	return c.PreemptionPolicy
}

// Pod fills in what the API server and its admission plugins would: requests from
// limits, the priority of the class, and the two tolerations that give a pod five
// minutes on a lost node. Fields that are set stay as they are.
func Pod(pod api.Fields, classes Priorities) error {
	spec, ok := pod["spec"].(api.Fields)
	if !ok {
		return fmt.Errorf("spec: want an object")
	}
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := spec[list].([]any)
		for i, c := range containers {
			if container, ok := c.(api.Fields); ok {
				requestsFromLimits(container)
			} else {
				return fmt.Errorf("spec.%s[%d]: want an object", list, i)
			}
		}
	}
	setDefault(spec, "restartPolicy", "Always")
	setDefault(spec, "schedulerName", "default-scheduler")
	setDefault(spec, "terminationGracePeriodSeconds", 30)
	if _, set := spec["priority"]; !set {
		class, _ := spec["priorityClassName"].(string)
		// A class that is not in the input counts as 0; the loader says so.
		value, policy, _ := classes.Resolve(class)
		spec["priority"] = value
		setDefault(spec, "preemptionPolicy", policy)
	}
	return addTolerations(spec)
}

func setDefault(object api.Fields, field string, value any) {
	if object[field] == nil {
		object[field] = value
	}
}

func requestsFromLimits(container api.Fields) {
	resources, _ := container["resources"].(api.Fields)
	limits, _ := resources["limits"].(api.Fields)
	if len(limits) == 0 {
		return
	}
	requests, _ := resources["requests"].(api.Fields)
	if requests == nil {
		requests = api.Fields{}
		resources["requests"] = requests
	}
	for name, limit := range limits {
		setDefault(requests, name, limit)
	}
}

// lostNodeSeconds is how long a pod stays on a node that is not ready or unreachable.
const lostNodeSeconds = 300

func addTolerations(spec api.Fields) error {
	text, err := json.Marshal(spec["tolerations"])
	if err != nil {
		return fmt.Errorf("spec.tolerations: %w", err)
	}
	var have []api.Toleration
	if err := json.Unmarshal(text, &have); err != nil {
		return fmt.Errorf("spec.tolerations: %w", err)
	}
	list, _ := spec["tolerations"].([]any)
	for _, key := range []string{api.TaintNotReady, api.TaintUnreachable} {
		taint := api.Taint{Key: key, Effect: api.NoExecute}
		found := false
		for i := range have {
			found = found || have[i].Tolerates(&taint)
		}
		if !found {
			list = append(list, api.Fields{
				"key": key, "operator": "Exists", "effect": api.NoExecute, "tolerationSeconds": lostNodeSeconds,
			})
		}
	}
	spec["tolerations"] = list
	return nil
}
