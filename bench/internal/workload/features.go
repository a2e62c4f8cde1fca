package workload

import (
	"fmt"
	"strings"
)

// Features is the set of things that the pods and nodes of a mixed cluster use.
// Requests for cpu, memory and ephemeral storage are always drawn.
type Features uint32

// The features of a mixed cluster.
const (
	Taints            Features = 1 << iota // taints, tolerations, spec.unschedulable
	NodeAffinity                           // nodeSelector, required and preferred node affinity
	Scalars                                // extended resources and huge pages
	InitContainers                         // init containers and sidecars
	Overhead                               // spec.overhead
	PodLevelResources                      // spec.resources
	HostPorts                              // host ports
	Images                                 // images on nodes and in containers
	Gates                                  // scheduling gates
	Spread                                 // topology spread constraints
	Owners                                 // services and controllers, for the default spread
	PodAffinity                            // affinity and anti-affinity between pods
	Priorities                             // priorities, preemption policies, disruption budgets
	Nominated                              // pending pods nominated to a node
	Terminating                            // placed pods that are being deleted
	Resize                                 // placed pods in the middle of an in-place resize
	Volumes                                // claims, volumes, storage classes, CSI limits

	featuresEnd
)

// AllFeatures is every feature.
const AllFeatures = featuresEnd - 1

var featureNames = []string{
	"taints", "nodeaffinity", "scalars", "initcontainers", "overhead", "podlevel", "hostports", "images",
	"gates", "spread", "owners", "podaffinity", "priorities", "nominated", "terminating", "resize", "volumes",
}

// Has says that all of want are in f.
func (f Features) Has(want Features) bool { return f&want == want }

// String lists the features as ParseFeatures reads them.
func (f Features) String() string {
	var names []string
	for i, name := range featureNames {
		if f.Has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// ParseFeatures reads a comma-separated list of names; "all" is AllFeatures and
// the empty string is none.
func ParseFeatures(s string) (Features, error) {
	switch s {
	case "":
		return 0, nil
	case "all":
		return AllFeatures, nil
	}
	var f Features
next:
	for word := range strings.SplitSeq(s, ",") {
		for i, name := range featureNames {
			if name == word {
				f |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("unknown feature %q: want all, or some of %s", word, AllFeatures)
	}
	return f, nil
}
