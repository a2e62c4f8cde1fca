package scheduler

import (
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strings"
)

// Reason is a set of causes for which a node was rejected, one bit each. The
// causes of several nodes are counted bit by bit; text is made only when
// somebody asks for it.
type Reason uint64

// The causes that the built-in plugins know, in the order in which one plugin
// reports them.
const (
	ReasonNodeUnschedulable Reason = 1 << iota
	ReasonNodeName
	ReasonTaint
	ReasonNodeAffinity
	ReasonEnforcedAffinity
	ReasonPorts
	ReasonTooManyPods
	ReasonCPU
	ReasonMemory
	ReasonEphemeralStorage
	ReasonDiskConflict
	ReasonReadWriteOncePod
	ReasonVolumeCount
	ReasonVolumeNodeAffinity
	ReasonVolumeBinding
	ReasonVolumeSpace
	ReasonVolumeMissing
	ReasonVolumeZone
	ReasonSpreadLabel
	ReasonSpread
	ReasonPodAffinity
	ReasonPodAntiAffinity
	ReasonExistingAntiAffinity
	ReasonDeclaredFeatures
	ReasonPreemptionUnhelpful
	ReasonNoVictims

	reasonEnd
)

// reasonTexts are upstream's texts, in the order of the bits.
var reasonTexts = [...]string{
	"node(s) were unschedulable",
	"node(s) didn't match the requested node name",
	"node(s) had untolerated taint(s)",
	"node(s) didn't match Pod's node affinity/selector",
	"node(s) didn't match scheduler-enforced node affinity",
	"node(s) didn't have free ports for the requested pod ports",
	"Too many pods",
	"Insufficient cpu",
	"Insufficient memory",
	"Insufficient ephemeral-storage",
	"node(s) had no available disk",
	"node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
	"node(s) exceed max volume count",
	"node(s) didn't match PersistentVolume's node affinity",
	"node(s) didn't find available persistent volumes to bind",
	"node(s) did not have enough free storage",
	"node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
	"node(s) had no available volume zone",
	"node(s) didn't match pod topology spread constraints (missing required label)",
	"node(s) didn't match pod topology spread constraints",
	"node(s) didn't match pod affinity rules",
	"node(s) didn't match pod anti-affinity rules",
	"node(s) didn't satisfy existing pods anti-affinity rules",
	"node(s) didn't match Pod's required features",
	"Preemption is not helpful for scheduling",
	"No preemption victims found for incoming pod",
}

// All yields the single causes in r, lowest bit first.
func (r Reason) All() iter.Seq[Reason] {
	return func(yield func(Reason) bool) {
		for r != 0 {
			low := r & -r
			if !yield(low) {
				return
			}
			r &^= low
		}
	}
}

// String joins the texts of the causes with ", ".
func (r Reason) String() string {
	var b strings.Builder
	for one := range r.All() {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(one.text())
	}
	return b.String()
}

// text is the text of a single cause.
func (r Reason) text() string {
	i := bits.TrailingZeros64(uint64(r))
	if i >= len(reasonTexts) {
		return fmt.Sprintf("reason %#x", uint64(r))
	}
	return reasonTexts[i]
}

// Code is the kind of a verdict.
type Code uint8

const (
	// Success lets the pod pass. It is the zero value.
	Success Code = iota
	// Unschedulable rejects, but removing other pods may help.
	Unschedulable
	// UnschedulableAndUnresolvable rejects, and preemption cannot help.
	UnschedulableAndUnresolvable
	// Skip says that the plugin has nothing to do with this pod: its other
	// methods are not called in this cycle.
	Skip
	// Failed says that the plugin could not decide. The cycle ends with
	// Status.Err.
	Failed
	// Wait is a Permitter's: the pod is not bound before somebody allows it.
	Wait
)

// String returns upstream's name of the code.
func (c Code) String() string {
	switch c {
	case Success:
		return "Success"
	case Unschedulable:
		return "Unschedulable"
	case UnschedulableAndUnresolvable:
		return "UnschedulableAndUnresolvable"
	case Skip:
		return "Skip"
	case Failed:
		return "Error"
	case Wait:
		return "Wait"
	}
	return fmt.Sprintf("Code(%d)", uint8(c))
}

// Status is the verdict of one plugin. The zero value is success.
type Status struct {
	Code    Code
	Reasons Reason
	// Details are causes that have no bit: extended resources that do not
	// suffice, messages of PreFilter, reasons of plugins of the user's own.
	Details []string
	// Err is set when Code is Failed.
	Err error
}

// Reject returns a verdict with the given cause that preemption may cure.
func Reject(r Reason) Status { return Status{Code: Unschedulable, Reasons: r} }

// RejectFinally returns a verdict with the given cause that preemption cannot
// cure.
func RejectFinally(r Reason) Status {
	return Status{Code: UnschedulableAndUnresolvable, Reasons: r}
}

// Rejected says that the pod does not fit.
func (s *Status) Rejected() bool {
	return s.Code == Unschedulable || s.Code == UnschedulableAndUnresolvable
}

// Texts yields the text of every cause.
func (s *Status) Texts() iter.Seq[string] {
	return func(yield func(string) bool) {
		for one := range s.Reasons.All() {
			if !yield(one.text()) {
				return
			}
		}
		for _, d := range s.Details {
			if !yield(d) {
				return
			}
		}
	}
}

// Message joins the texts with ", ".
func (s *Status) Message() string {
	if s.Code == Failed && s.Err != nil {
		return s.Err.Error()
	}
	return strings.Join(slices.Collect(s.Texts()), ", ")
}
