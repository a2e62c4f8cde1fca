package selector

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/core"
	corev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/selector"
)

// validateCase holds an object of each kind that the API server validates.
type validateCase struct {
	LabelSelector string `json:"labelSelector"`
	NodeSelector  string `json:"nodeSelector"`
	Preferred     string `json:"preferred"`
	Tolerant      bool   `json:"tolerant"`
}

// validateSuite compares the API server's validation, text by text; of map
// entries upstream reports faults in random order, so all are sorted.
func validateSuite() compare.Suite {
	return &compare.Cases[validateCase]{
		Parts: []string{"validate/labelselector", "validate/nodeselector", "validate/preferred"},
		Generate: func(r *rand.Rand) validateCase {
			return validateCase{labelSelectorText(r), nodeSelectorText(r), preferredText(r), r.IntN(4) == 0}
		},
		Compare: func(c validateCase, rec *compare.Record) {
			validateLabelSelector(c, rec)
			validateNodeSelector(c, rec)
			validatePreferred(c, rec)
		},
	}
}

func validateLabelSelector(c validateCase, rec *compare.Record) {
	var theirs *metav1.LabelSelector
	var ours *selector.LabelSelector
	if json.Unmarshal([]byte(c.LabelSelector), &theirs) != nil || json.Unmarshal([]byte(c.LabelSelector), &ours) != nil {
		return
	}
	opts := metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: c.Tolerant, AllowUnknownOperatorInRequirement: c.Tolerant}
	upstream := metavalidation.ValidateLabelSelector(theirs, opts, field.NewPath("spec", "selector"))
	err := ours.Validate("spec.selector", selector.Tolerance{InvalidValues: c.Tolerant, UnknownOperators: c.Tolerant})
	rec.Text("validate/labelselector", theirTexts(upstream), ourTexts(err))
}

func validateNodeSelector(c validateCase, rec *compare.Record) {
	var theirs v1.NodeSelector
	var ours selector.NodeSelector
	mustUnmarshal(c.NodeSelector, &theirs, &ours)
	var internal core.NodeSelector
	if err := corev1.Convert_v1_NodeSelector_To_core_NodeSelector(&theirs, &internal, nil); err != nil {
		panic(err)
	}
	upstream := corevalidation.ValidateNodeSelector(&internal, c.Tolerant, field.NewPath("required"))
	rec.Text("validate/nodeselector", theirTexts(upstream), ourTexts(ours.Validate("required", selector.Tolerance{InvalidValues: c.Tolerant})))
}

func validatePreferred(c validateCase, rec *compare.Record) {
	var theirs struct{ List []v1.PreferredSchedulingTerm }
	var ours struct {
		List []selector.PreferredSchedulingTerm
	}
	mustUnmarshal(c.Preferred, &theirs, &ours)
	var internal []core.PreferredSchedulingTerm
	for i := range theirs.List {
		var term core.PreferredSchedulingTerm
		if err := corev1.Convert_v1_PreferredSchedulingTerm_To_core_PreferredSchedulingTerm(&theirs.List[i], &term, nil); err != nil {
			panic(err)
		}
		internal = append(internal, term)
	}
	upstream := corevalidation.ValidatePreferredSchedulingTerms(internal, field.NewPath("preferred"))
	rec.Text("validate/preferred", theirTexts(upstream), ourTexts(selector.ValidatePreferred(ours.List, "preferred")))
}

func mustUnmarshal(text string, into ...any) {
	for _, v := range into {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			panic(err)
		}
	}
}

func theirTexts(list field.ErrorList) string {
	var texts []string
	for _, err := range list {
		texts = append(texts, err.Error())
	}
	slices.Sort(texts)
	return strings.Join(texts, "\n")
}

func ourTexts(err error) string {
	var faults selector.Errors
	if err != nil && !errors.As(err, &faults) {
		return "not a list of faults: " + err.Error()
	}
	var texts []string
	for _, fault := range faults {
		texts = append(texts, fault.Error())
	}
	slices.Sort(texts)
	return strings.Join(texts, "\n")
}
