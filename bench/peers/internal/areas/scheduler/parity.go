package scheduler

import (
	"encoding/json"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/orchcore/orchcore/bench/internal/workload"
	"github.com/orchcore/orchcore/bench/peers/internal/compare"
)

// The parts of a decision.
const (
	partFilter   = "filter"
	partScore    = "score"
	partChoose   = "choose"
	partFitError = "fiterror"
	partPreempt  = "preempt"
	partTruncate = "truncated"
	partHistory  = "history"
	partOdd      = "odd"
	partVolumes  = "volumes"
)

// compared is what generated clusters use: the features whose plugins our
// package has.
const compared = workload.AllFeatures

// Parity compares decisions on small mixed clusters, all nodes looked at; the
// choice on bigger ones, of which upstream by default looks at a part; decisions
// about claims and disks, on clusters that change, and with values that no API
// server admits.
func Parity() compare.Area {
	all := func() *bench { return &bench{percent: 100} }
	return compare.Area{
		Name: "scheduler",
		Doc:  "scheduler/doc.go",
		Suites: []compare.Suite{
			decisions(all()), truncated(&bench{}), volumes(all()), histories(all()), queues(all()),
			odd(&bench{percent: 100, unvalidated: true}),
		},
	}
}

// clusterCase is a cluster as JSON: both sides decode the same bytes.
type clusterCase struct{ json.RawMessage }

func decisions(b *bench) compare.Suite {
	return &compare.Cases[clusterCase]{
		Parts:    []string{partFilter, partScore, partChoose, partFitError, partPreempt},
		Corners:  corners(),
		Generate: func(r *rand.Rand) clusterCase { return generate(r, 1+r.IntN(14), 1+r.IntN(40), 5+r.IntN(20)) },
		Compare: func(c clusterCase, rec *compare.Record) {
			b.eachPending(c, rec, partFilter, b.compare)
		},
		Shrink: shrink,
	}
}

func truncated(b *bench) compare.Suite {
	return &compare.Cases[clusterCase]{
		Parts:    []string{partTruncate},
		Generate: func(r *rand.Rand) clusterCase { return generate(r, 101+r.IntN(200), 100, 100) },
		Compare: func(c clusterCase, rec *compare.Record) {
			b.eachPending(c, rec, partTruncate, b.compareChoice)
		},
		Shrink: shrink,
	}
}

func generate(r *rand.Rand, nodes, placed, pending int) clusterCase {
	config := workload.ClusterConfig{Nodes: nodes, Placed: placed, Pending: pending, Features: features(r)}
	return clusterCase{workload.NewCluster(r, config).JSON()}
}

func odd(b *bench) compare.Suite {
	return &compare.Cases[clusterCase]{
		Parts: []string{partOdd},
		Generate: func(r *rand.Rand) clusterCase {
			config := workload.ClusterConfig{Nodes: 1 + r.IntN(8), Placed: 1 + r.IntN(10), Pending: 5, Features: features(r)}
			c := workload.NewCluster(r, config)
			workload.Spoil(r, c)
			return clusterCase{c.JSON()}
		},
		Compare: func(c clusterCase, rec *compare.Record) {
			b.eachPending(c, rec, partOdd, b.compareAll(partOdd))
		},
		Shrink: shrink,
	}
}

func volumes(b *bench) compare.Suite {
	return &compare.Cases[clusterCase]{
		Parts: []string{partVolumes},
		Generate: func(r *rand.Rand) clusterCase {
			config := workload.ClusterConfig{Nodes: 1 + r.IntN(8), Placed: r.IntN(10), Pending: 10, Features: workload.Volumes}
			if r.IntN(3) == 0 {
				config.Features |= features(r)
			}
			return clusterCase{workload.NewCluster(r, config).JSON()}
		},
		Compare: func(c clusterCase, rec *compare.Record) {
			b.eachPending(c, rec, partVolumes, b.compareAll(partVolumes))
		},
		Shrink: shrink,
	}
}

// features draws some of the compared features: few at a time, so that one
// rejecting plugin does not hide what the others think.
func features(r *rand.Rand) workload.Features {
	var some workload.Features
	for i := range 32 {
		if one := workload.Features(1) << i; compared.Has(one) && r.IntN(3) == 0 {
			some |= one
		}
	}
	return some
}

// optional are the members that an object of a case can do without.
var optional = []string{
	"affinity", "nodeAffinity", "podAffinity", "podAntiAffinity",
	"requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution",
	"matchExpressions", "matchFields", "nodeSelector", "labelSelector", "namespaceSelector", "namespaces",
	"tolerations", "taints", "unschedulable", "value",
	"topologySpreadConstraints", "minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy", "matchLabelKeys",
	"initContainers", "restartPolicy", "resources", "requests", "limits", "overhead", "ports", "hostIP", "protocol",
	"images", "image", "priority", "preemptionPolicy", "schedulingGates", "nominatedNodeName",
	"ownerReferences", "deletionTimestamp", "creationTimestamp", "conditions", "containerStatuses", "allocatedResources",
	"startTime", "phase", "capacity", "labels", "services", "replicationControllers", "replicaSets", "statefulSets", "pdbs",
	"volumes", "pvcs", "pvs", "storageClasses", "csiNodes", "annotations", "allowedTopologies", "claimRef", "selector", "allocatable",
}

// free are the objects whose members are all optional.
var free = []string{"labels", "requests", "limits", "overhead", "allocatable", "matchLabels", "nodeSelector"}

// needed are the arrays that must keep an element.
var needed = []string{"containers", "values", "nodes", "nodeSelectorTerms"}

func shrink(c clusterCase) iter.Seq[clusterCase] {
	removable := func(path []string, siblings int) bool {
		last := path[len(path)-1]
		parent := ""
		if len(path) > 1 {
			parent = path[len(path)-2]
		}
		if _, err := strconv.Atoi(last); err == nil {
			return siblings > 1 || !slices.Contains(needed, parent)
		}
		if last == "effect" {
			return slices.Contains(path, "tolerations")
		}
		return slices.Contains(optional, last) || slices.Contains(free, parent)
	}
	return func(yield func(clusterCase) bool) {
		for data := range compare.ShrinkJSON(c.RawMessage, removable) {
			if !yield(clusterCase{data}) {
				return
			}
		}
	}
}
