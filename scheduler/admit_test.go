package scheduler

import (
	"encoding/json"
	"testing"

	"github.com/orchcore/orchcore/selector"
	"github.com/stretchr/testify/require"
)

func TestAdmittedPriority(t *testing.T) {
	never, own := "Never", int32(7)
	classes := []*PriorityClass{
		{ObjectMeta: ObjectMeta{Name: "batch"}, Value: -5, PreemptionPolicy: &never},
		{ObjectMeta: ObjectMeta{Name: "usual"}, Value: 20, GlobalDefault: true},
		{ObjectMeta: ObjectMeta{Name: "lower"}, Value: 10, GlobalDefault: true},
	}
	tests := []struct {
		class    string
		priority *int32
		classes  []*PriorityClass
		want     int32
		policy   *string
	}{
		{"", nil, nil, 0, nil},
		{"", nil, classes, 10, nil},
		{"batch", nil, classes, -5, &never},
		{"batch", &own, classes, 7, nil},
		{"system-cluster-critical", nil, nil, 2000000000, nil},
		{"system-node-critical", nil, nil, 2000001000, nil},
	}
	for _, test := range tests {
		p := &Pod{ObjectMeta: ObjectMeta{Name: "p"}, Spec: PodSpec{PriorityClassName: test.class, Priority: test.priority}}
		got, err := Admitted(p, test.classes)
		require.NoError(t, err)
		require.Equal(t, test.want, *got.Spec.Priority)
		require.Equal(t, test.policy, got.Spec.PreemptionPolicy)
		require.Equal(t, test.priority, p.Spec.Priority, "the pod passed in is as it was")
	}
	_, err := Admitted(&Pod{ObjectMeta: ObjectMeta{Name: "p"}, Spec: PodSpec{PriorityClassName: "gold"}}, classes)
	require.EqualError(t, err, `pod default/p: spec.priorityClassName: "gold": want the name of a PriorityClass`)
}

func TestAdmittedDefaults(t *testing.T) {
	p := decodeAs[Pod](t, `{"metadata":{"name":"p","labels":{"app":"web","tenant":"a"}},"spec":{"hostNetwork":true,
		"containers":[{"name":"c","ports":[{"containerPort":80}],
			"resources":{"requests":{"cpu":"1"},"limits":{"cpu":"2","memory":"1Gi"}}}],
		"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"zone",
			"labelSelector":{"matchLabels":{"app":"web"}},"matchLabelKeys":["app","absent"],"mismatchLabelKeys":["tenant"]}]}}}}`)
	before, err := json.Marshal(p)
	require.NoError(t, err)
	got, err := Admitted(p, nil)
	require.NoError(t, err)
	c := got.Spec.Containers[0]
	require.Equal(t, "1", c.Resources.Requests["cpu"].String())
	require.Equal(t, "1Gi", c.Resources.Requests["memory"].String())
	require.EqualValues(t, 80, c.Ports[0].HostPort)
	term := got.Spec.Affinity.PodAntiAffinity.Required[0]
	require.Equal(t, []selector.LabelSelectorRequirement{
		{Key: "app", Operator: "In", Values: []string{"web"}},
		{Key: "tenant", Operator: "NotIn", Values: []string{"a"}},
	}, term.LabelSelector.MatchExpressions)

	after, err := json.Marshal(p)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after), "the pod passed in is as it was")
	again, err := Admitted(got, nil)
	require.NoError(t, err)
	require.Equal(t, got, again, "admitting twice changes nothing")
}
