package qos

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// An IntOrPercent is a number, or a text such as "50%".
type IntOrPercent struct {
	Int  int32
	Text string // when it is not empty it decides
}

// UnmarshalJSON reads a JSON number or string.
func (v *IntOrPercent) UnmarshalJSON(data []byte) error {
	var parsed IntOrPercent
	var err error
	if len(data) > 0 && data[0] == '"' {
		if err = json.Unmarshal(data, &parsed.Text); err == nil && parsed.Text == "" {
			err = fmt.Errorf(`value "": want a number or a percentage`)
		}
	} else {
		err = json.Unmarshal(data, &parsed.Int)
	}
	if err == nil {
		*v = parsed
	}
	return err
}

// MarshalJSON writes a JSON number or string.
func (v IntOrPercent) MarshalJSON() ([]byte, error) {
	if v.Text != "" {
		return json.Marshal(v.Text)
	}
	return json.Marshal(v.Int)
}

// scaled returns the number, or the percentage of total rounded up.
func (v IntOrPercent) scaled(total int64) (int64, error) {
	if v.Text == "" {
		return int64(v.Int), nil
	}
	digits, ok := strings.CutSuffix(v.Text, "%")
	if !ok {
		return 0, fmt.Errorf("invalid value for IntOrString: invalid type: string is not a percentage")
	}
	percent, err := strconv.Atoi(digits)
	if err != nil {
		return 0, fmt.Errorf("invalid value for IntOrString: invalid value %q: %v", v.Text, err)
	}
	share := math.Ceil(float64(percent) * float64(total) / 100)
	return int64(min(max(share, math.MinInt32), math.MaxInt32)), nil
}

// A Budget is a Kubernetes policy/v1 PodDisruptionBudget as far as its
// arithmetic goes. Which pods it covers is the caller's to say: the selector
// stays as JSON.
type Budget struct {
	Metadata BudgetMetadata `json:"metadata"`
	Spec     BudgetSpec     `json:"spec"`
	Status   BudgetStatus   `json:"status,omitzero"`
}

// BudgetMetadata is a budget's identity.
type BudgetMetadata struct {
	Name       string `json:"name,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Generation int64  `json:"generation,omitempty"`
}

// BudgetSpec is what the budget demands: at most one of the two numbers.
type BudgetSpec struct {
	MinAvailable               *IntOrPercent   `json:"minAvailable,omitempty"`
	MaxUnavailable             *IntOrPercent   `json:"maxUnavailable,omitempty"`
	Selector                   json.RawMessage `json:"selector,omitempty"`
	UnhealthyPodEvictionPolicy string          `json:"unhealthyPodEvictionPolicy,omitempty"`
}

// BudgetStatus is what the disruption controller has computed.
type BudgetStatus struct {
	ObservedGeneration int64                `json:"observedGeneration,omitempty"`
	DisruptedPods      map[string]time.Time `json:"disruptedPods,omitempty"`
	DisruptionsAllowed int32                `json:"disruptionsAllowed"`
	CurrentHealthy     int32                `json:"currentHealthy"`
	DesiredHealthy     int32                `json:"desiredHealthy"`
	ExpectedPods       int32                `json:"expectedPods"`
	Conditions         []BudgetCondition    `json:"conditions,omitempty"`
}

// BudgetCondition is a condition of a budget's status.
type BudgetCondition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

const (
	// DeletionTimeout is how long a pod whose eviction was granted counts as
	// gone; if it is still there then, it counts again.
	DeletionTimeout = 2 * time.Minute

	// maxDisruptedPods bounds the evictions granted and not yet seen.
	maxDisruptedPods = 2000

	unhealthyAlwaysAllow   = "AlwaysAllow"
	conditionDisruption    = "DisruptionAllowed"
	reasonSyncFailed       = "SyncFailed"
	phasePending           = "Pending"
	phaseSucceeded         = "Succeeded"
	phaseFailed            = "Failed"
	conditionReady         = "Ready"
	statusTrue             = "True"
	statusFalse            = "False"
	budgetViolationMessage = "Cannot evict pod as it would violate the pod's disruption budget."
)

// Sync computes a budget's status for the pods that it covers. scale returns
// how many pods a pod's controller wants, and whether that is known; it is
// asked only where the budget speaks in shares. The error says why nothing can
// be allowed; the status is then what it was, with DisruptionsAllowed 0.
func (b *Budget) Sync(pods []*Pod, scale func(OwnerReference) (int32, bool), now time.Time) (BudgetStatus, error) {
	expected, desired, err := b.expectation(pods, scale)
	if err != nil {
		failed := b.Status
		failed.DisruptionsAllowed = 0
		return failed, err
	}
	status := BudgetStatus{
		ObservedGeneration: b.Metadata.Generation,
		DisruptedPods:      b.stillDisrupted(pods, now),
		DesiredHealthy:     desired,
		ExpectedPods:       expected,
		Conditions:         b.Status.Conditions,
	}
	for _, p := range pods {
		granted, disrupted := status.DisruptedPods[p.Metadata.Name]
		if p.Metadata.DeletionTimestamp == nil && !(disrupted && granted.Add(DeletionTimeout).After(now)) && isReady(p) {
			status.CurrentHealthy++
		}
	}
	if allowed := status.CurrentHealthy - desired; expected > 0 && allowed > 0 {
		status.DisruptionsAllowed = allowed
	}
	return status, nil
}

// expectation returns how many pods there should be and how many of them must
// stay healthy.
func (b *Budget) expectation(pods []*Pod, scale func(OwnerReference) (int32, bool)) (expected, desired int32, err error) {
	switch least, most := b.Spec.MinAvailable, b.Spec.MaxUnavailable; {
	case most != nil:
		if expected, err = expectedScale(pods, scale); err != nil {
			return 0, 0, err
		}
		n, err := most.scaled(int64(expected))
		if err != nil {
			return 0, 0, err
		}
		return expected, clampInt32(max(int64(expected)-n, 0)), nil
	case least == nil:
		return 0, 0, nil
	case least.Text == "":
		return clampInt32(int64(len(pods))), least.Int, nil
	default:
		if expected, err = expectedScale(pods, scale); err != nil {
			return 0, 0, err
		}
		n, err := least.scaled(int64(expected))
		return expected, clampInt32(n), err
	}
}

func clampInt32(n int64) int32 { return int32(min(max(n, math.MinInt32), math.MaxInt32)) }

// expectedScale adds up what the controllers of the pods want. Pods without a
// controller do not count.
func expectedScale(pods []*Pod, scale func(OwnerReference) (int32, bool)) (int32, error) {
	seen := map[string]bool{}
	var total int64
	for _, p := range pods {
		owner, ok := controllerOf(p)
		if !ok || seen[owner.UID] {
			continue
		}
		n, ok := scale(owner)
		if !ok {
			return 0, fmt.Errorf("found no controllers for pod %q", p.Metadata.Name)
		}
		seen[owner.UID] = true
		total += int64(n)
	}
	return clampInt32(total), nil
}

func controllerOf(p *Pod) (OwnerReference, bool) {
	for _, o := range p.Metadata.OwnerReferences {
		if o.Controller != nil && *o.Controller {
			return o, true
		}
	}
	return OwnerReference{}, false
}

// stillDisrupted returns the granted evictions whose pods are there and may
// still go.
func (b *Budget) stillDisrupted(pods []*Pod, now time.Time) map[string]time.Time {
	out := map[string]time.Time{}
	for _, p := range pods {
		granted, ok := b.Status.DisruptedPods[p.Metadata.Name]
		if ok && p.Metadata.DeletionTimestamp == nil && !granted.Add(DeletionTimeout).Before(now) {
			out[p.Metadata.Name] = granted
		}
	}
	return out
}

func isReady(p *Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == conditionReady {
			return c.Status == statusTrue
		}
	}
	return false
}

// A BudgetError is the answer to an eviction that budgets do not allow now.
type BudgetError struct {
	Code   int    // the API's HTTP status: 429 try again, 403, 500
	Budget string // the budget's name; empty when there are too many
	Text   string
	Cause  string // details, as the API gives them
}

// Error returns the API's message and the cause.
func (e *BudgetError) Error() string {
	if e.Cause == "" {
		return e.Text
	}
	return e.Text + " " + e.Cause
}

// Evict asks whether a pod may be evicted under the budgets that cover it. If
// the eviction is charged to a budget, charged is that budget with its new
// status; otherwise it is nil. The error is a *BudgetError.
func Evict(p *Pod, covering []*Budget, now time.Time) (charged *Budget, err error) {
	switch {
	case p.Status.Phase == phasePending, p.Status.Phase == phaseSucceeded, p.Status.Phase == phaseFailed,
		p.Metadata.DeletionTimestamp != nil, len(covering) == 0:
		return nil, nil
	case len(covering) > 1:
		return nil, &BudgetError{Code: 500,
			Text: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."}
	}
	b := covering[0]
	if !isReady(p) {
		enough := b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
		if b.Spec.UnhealthyPodEvictionPolicy == unhealthyAlwaysAllow || enough {
			return nil, nil
		}
	}
	return b.charge(p.Metadata.Name, now)
}

// charge counts an eviction against the budget.
func (b *Budget) charge(pod string, now time.Time) (*Budget, error) {
	switch s := &b.Status; {
	case s.ObservedGeneration < b.Metadata.Generation:
		return nil, &BudgetError{Code: 429, Budget: b.Metadata.Name, Text: budgetViolationMessage,
			Cause: fmt.Sprintf("The disruption budget %s is still being processed by the server.", b.Metadata.Name)}
	case s.DisruptionsAllowed < 0:
		return nil, &BudgetError{Code: 403, Budget: b.Metadata.Name, Text: "pdb disruptions allowed is negative"}
	case len(s.DisruptedPods) > maxDisruptedPods:
		return nil, &BudgetError{Code: 403, Budget: b.Metadata.Name,
			Text: "DisruptedPods map too big - too many evictions not confirmed by PDB controller"}
	case s.DisruptionsAllowed == 0:
		return nil, &BudgetError{Code: 429, Budget: b.Metadata.Name, Text: budgetViolationMessage, Cause: b.whyNone()}
	}
	charged := *b
	charged.Status.DisruptionsAllowed--
	charged.Status.DisruptedPods = map[string]time.Time{pod: now}
	for name, at := range b.Status.DisruptedPods {
		if name != pod {
			charged.Status.DisruptedPods[name] = at
		}
	}
	return &charged, nil
}

// whyNone says why no disruption is allowed.
func (b *Budget) whyNone() string {
	s := &b.Status
	var failed *BudgetCondition
	for i := range s.Conditions {
		if c := &s.Conditions[i]; c.Type == conditionDisruption {
			if c.Status == statusFalse && c.Message != "" {
				failed = c
			}
			break
		}
	}
	switch name := b.Metadata.Name; {
	case failed != nil && failed.Reason == reasonSyncFailed:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently because it failed sync: %s", name, failed.Message)
	case s.CurrentHealthy <= s.DesiredHealthy:
		return fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", name, s.DesiredHealthy, s.CurrentHealthy)
	case failed != nil:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently (%s): %s", name, failed.Reason, failed.Message)
	}
	return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently", b.Metadata.Name)
}
