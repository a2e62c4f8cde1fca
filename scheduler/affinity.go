package scheduler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/selector"
)

// affinityTerm is a compiled pod affinity or anti-affinity term.
type affinityTerm struct {
	pods selector.Selector
	// names are the namespaces listed; the owner's own when the term says
	// nothing about namespaces.
	names      []string
	namespaces selector.Selector
	key        string // topology key
	weight     int64  // preferred terms
}

// matches says that the term selects a pod, given the labels of that pod's
// namespace.
func (t *affinityTerm) matches(p *PodInfo, namespace selector.Labels) bool {
	return (slices.Contains(t.names, p.Namespace) || t.namespaces.Matches(namespace)) &&
		t.pods.Matches(p.Labels)
}

// matchesAll says that the pod is selected by every one of the terms, and that
// there are some.
func matchesAll(terms []affinityTerm, p *PodInfo) bool {
	for i := range terms {
		if !terms[i].matches(p, selector.Labels{}) {
			return false
		}
	}
	return len(terms) > 0
}

// compileAffinity compiles the pod's affinity terms. A selector that cannot be
// compiled makes all terms of its list vanish for the pods that exist, and the
// pod unschedulable when it is pending, as upstream.
func (p *PodInfo) compileAffinity() {
	a := p.Pod.Spec.Affinity
	if a == nil {
		return
	}
	p.hasAffinity = a.PodAffinity != nil || a.PodAntiAffinity != nil
	var near, far PodAffinity
	if a.PodAffinity != nil {
		near = *a.PodAffinity
	}
	if a.PodAntiAffinity != nil {
		far = *a.PodAntiAffinity
	}
	p.required = p.compileTerms("requiredAffinityTerms", near.Required)
	p.requiredAnti = p.compileTerms("requiredAntiAffinityTerms", far.Required)
	p.preferred = p.compileWeighted("preferredAffinityTerms", near.Preferred)
	p.preferredAnti = p.compileWeighted("preferredAntiAffinityTerms", far.Preferred)
}

func (p *PodInfo) compileTerms(list string, wire []PodAffinityTerm) []affinityTerm {
	var terms []affinityTerm
	for i := range wire {
		t, err := compileTerm(p, &wire[i])
		if err != nil {
			p.affinityFailed(list, err)
			return nil
		}
		terms = append(terms, t)
	}
	return terms
}

func (p *PodInfo) compileWeighted(list string, wire []WeightedPodAffinityTerm) []affinityTerm {
	var terms []affinityTerm
	for i := range wire {
		t, err := compileTerm(p, &wire[i].PodAffinityTerm)
		if err != nil {
			p.affinityFailed(list, err)
			return nil
		}
		t.weight = int64(wire[i].Weight)
		terms = append(terms, t)
	}
	return terms
}

func (p *PodInfo) affinityFailed(list string, err error) {
	p.affinityErr = append(p.affinityErr, fmt.Errorf("%s: %w", list, err))
}

// errorList is several errors as one, printed as upstream prints them.
type errorList []error

func (e errorList) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	var b strings.Builder
	for i, err := range e {
		b.WriteString([...]string{"[", ", "}[min(i, 1)])
		b.WriteString(err.Error())
	}
	return b.String() + "]"
}

func (e errorList) Unwrap() []error { return e }

func compileTerm(owner *PodInfo, wire *PodAffinityTerm) (affinityTerm, error) {
	t := affinityTerm{key: wire.TopologyKey, names: wire.Namespaces}
	if len(t.names) == 0 && wire.NamespaceSelector == nil {
		t.names = []string{owner.Namespace}
	}
	var err error
	if t.pods, err = selector.Compile(wire.LabelSelector); err != nil {
		return t, err
	}
	t.namespaces, err = selector.Compile(wire.NamespaceSelector)
	return t, err
}

// unroll returns the terms with the namespaces that their selectors select
// written out, for a pending pod. Upstream forgets to clear the selectors
// after that and later holds them against no labels at all, so that NotIn and
// DoesNotExist select every namespace (kubernetes #141526); so does this
// unless fixed is set.
func (c *Cycle) unroll(terms []affinityTerm, fixed bool) []affinityTerm {
	var out []affinityTerm
	for i := range terms {
		t := &terms[i]
		if t.namespaces.IsEverything() || t.namespaces.IsNothing() {
			continue
		}
		if out == nil {
			out = slices.Clone(terms)
		}
		names := slices.Clone(t.names)
		for name, labels := range c.cache.namespaces.m {
			if t.namespaces.Matches(labels) {
				names = append(names, name)
			}
		}
		out[i].names = names
		if fixed {
			out[i].namespaces = selector.Nothing()
		}
	}
	if out == nil {
		return terms
	}
	return out
}
