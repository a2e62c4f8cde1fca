package scheduler

import "errors"

// dynamicResources stands where upstream allocates claimed devices. Pods with
// claims are refused before a cycle begins (UnsupportedError); on all others
// the plugin scores 0 and has nothing to offer when no node fits.
type dynamicResources struct{}

func (dynamicResources) Name() string { return "DynamicResources" }

func (dynamicResources) PreFilter(c *Cycle) (map[string]bool, Status) {
	c.reachedClaims = true
	return nil, Status{}
}

func (dynamicResources) Score(*Cycle, *NodeInfo) int64 { return 0 }

// PostFilter fails when PreFilter was never reached because a plugin before it
// rejected the pod for good. Preemption, which comes next, is not tried then
// (kube-scheduler 1.36).
func (dynamicResources) PostFilter(c *Cycle, _ *FitError) (*Nomination, Status) {
	if !c.reachedClaims {
		return nil, Status{Code: Failed, Err: errNoClaimState}
	}
	return nil, Status{Code: Unschedulable, Details: noClaims}
}

var (
	errNoClaimState = errors.New("not found")
	noClaims        = []string{"no new claims to deallocate"}
)
