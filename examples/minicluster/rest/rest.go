// Package rest tells whether a cluster is at rest: whether anybody who works on it has
// something left to do. It is what a run of the control plane waits for, on whatever
// store.
package rest

import (
	"fmt"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/node"
)

// Controllers returns one of each controller that decides from the view alone.
func Controllers(seed uint64) []control.Controller {
	return []control.Controller{
		&control.Deployments{Seed: seed}, &control.ReplicaSets{Seed: seed}, &control.DaemonSets{Seed: seed},
		&control.StatefulSets{Seed: seed}, &control.EndpointSlices{}, &control.NodeLifecycle{},
		&control.TaintEviction{}, &control.Disruption{},
	}
}

// Unfinished returns something that is still to be done, "" when there is nothing:
// since controllers are pure, it is enough to ask new ones what they would do now.
// What a kubelet does is a matter of time, so its pods are looked at.
func Unfinished(view *control.View, seed uint64, now time.Time) (string, error) {
	for n := range view.Nodes.All() {
		if api.ConditionOf(n.Object.Status.Conditions, api.Ready) == nil {
			return "kubelet registers Node " + n.Object.Metadata.Name, nil
		}
	}
	for p := range view.Pods.All() {
		n := view.Nodes[api.Nodes.Key("", p.Object.Spec.NodeName)]
		if n != nil && n.Object.Ready() && node.Busy(&p.Object) {
			return "kubelet of " + n.Object.Metadata.Name + " with " + p.Key, nil
		}
	}
	scheduler, err := control.NewScheduler(0, nil)
	if err != nil {
		return "", err
	}
	for _, c := range append(Controllers(seed), scheduler) {
		actions, _, err := c.Reconcile(view, now)
		if err != nil {
			return "", err
		}
		if len(actions) > 0 {
			return fmt.Sprintf("%s wants to %s %s", c.Name(), actions[0].Verb, actions[0].Object), nil
		}
	}
	return "", nil
}
