package scheduler

// parts are the built-in plugins of a profile, by what the engine does about
// them; nil or false where the profile does without one.
type parts struct {
	// known: no plugin of the user's own has a say before a node is found.
	known bool

	unschedulable, taints, ports, image, features bool

	affinity *nodeAffinity
	fit      *nodeResourcesFit
	balanced *balancedAllocation
	spread   *topologySpread
	interPod *interPodAffinity

	// The weights of the scores that are normalised over the feasible nodes.
	taintWeight, affinityWeight, spreadWeight, interPodWeight int64
}

// partsOf sorts the plugins of a profile.
func partsOf(p *profile) *parts {
	out := &parts{known: true}
	for _, pl := range p.plugins {
		switch pl := pl.(type) {
		case nodeUnschedulable:
			out.unschedulable = true
		case taintToleration:
			out.taints = true
		case *nodeAffinity:
			out.affinity = pl
		case nodePorts:
			out.ports = true
		case *nodeResourcesFit:
			out.fit = pl
		case *topologySpread:
			out.spread = pl
		case *interPodAffinity:
			out.interPod = pl
		case *balancedAllocation:
			out.balanced = pl
		case imageLocality:
			out.image = true
		case declaredFeatures:
			out.features = true
		case nodeName, volumeRestrictions, nodeVolumeLimits, volumeBinding, volumeZone,
			dynamicResources, *defaultPreemption:
			// Nothing to do for the pods that have a class.
		default:
			out.known = out.known && !decides(pl)
		}
	}
	for _, s := range p.scores {
		switch s.plugin.(type) {
		case taintToleration:
			out.taintWeight = s.weight
		case *nodeAffinity:
			out.affinityWeight = s.weight
		case *topologySpread:
			out.spreadWeight = s.weight
		case *interPodAffinity:
			out.interPodWeight = s.weight
		}
	}
	return out
}

// decides says that a plugin takes part before a node is found.
func decides(pl Plugin) bool {
	switch pl.(type) {
	case PreFilter, Filter, PodTracker, PostFilter, PreScore, Score:
		return true
	}
	return false
}
