package scheduler

// declaredFeatures keeps pods that need a feature of the kubelet on nodes that
// declare it (KEP-5328).
type declaredFeatures struct{}

func (declaredFeatures) Name() string { return "NodeDeclaredFeatures" }

func (declaredFeatures) PreFilter(c *Cycle) (map[string]bool, Status) {
	if len(c.Pod.features) == 0 {
		return nil, Status{Code: Skip}
	}
	return nil, Status{}
}

func (declaredFeatures) Filter(c *Cycle, n *NodeInfo) Status {
	for _, f := range c.Pod.features {
		if !n.declared[f] {
			return RejectFinally(ReasonDeclaredFeatures)
		}
	}
	return Status{}
}

// featuresOf infers from the pod which features it needs. Of the features that
// nodes declare in 1.36 these two matter when a pod is placed.
func featuresOf(p *Pod) []string {
	var need []string
	if restartsAllContainers(p) {
		need = append(need, "RestartAllContainersOnContainerExits")
	}
	if p.Spec.HostNetwork && p.Spec.HostUsers != nil && !*p.Spec.HostUsers {
		need = append(need, "UserNamespacesHostNetworkSupport")
	}
	return need
}

func restartsAllContainers(p *Pod) bool {
	for _, list := range [...][]Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			for _, rule := range list[i].RestartPolicyRules {
				if rule.Action == "RestartAllContainers" {
					return true
				}
			}
		}
	}
	return false
}
