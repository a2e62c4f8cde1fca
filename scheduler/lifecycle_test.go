package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/qos"
)

func TestCordon(t *testing.T) {
	n := decodeAs[Node](t, `{"metadata":{"name":"a"},"spec":{"taints":[{"key":"gpu","effect":"NoSchedule"}]}}`)
	cordoned := Cordon(Cordon(n))
	require.True(t, cordoned.Spec.Unschedulable)
	require.Equal(t, []Taint{{Key: "gpu", Effect: NoSchedule}, {Key: TaintUnschedulable, Effect: NoSchedule}}, cordoned.Spec.Taints)
	require.Equal(t, n, Uncordon(cordoned))
	require.False(t, n.Spec.Unschedulable)
	require.Len(t, n.Spec.Taints, 1)
}

// How long pods stay on a node that is not ready: the pod eviction timeout is
// what admission gives them.
func TestStayOn(t *testing.T) {
	n := decodeAs[Node](t, `{"metadata":{"name":"a"},"spec":{"taints":[{"key":"node.kubernetes.io/not-ready","effect":"NoExecute"},
		{"key":"other","effect":"NoSchedule"}]}}`)
	plain := decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{}}`)
	require.Equal(t, qos.Stay{}, StayOn(plain, n))
	admitted, err := Admitted(plain, nil)
	require.NoError(t, err)
	require.Equal(t, qos.Stay{For: 300 * time.Second}, StayOn(admitted, n))
	require.Equal(t, qos.Stay{Forever: true}, StayOn(DaemonPod(plain, "a"), n))
	require.Equal(t, qos.Stay{Forever: true}, StayOn(plain, Uncordon(decodeAs[Node](t, `{"metadata":{"name":"b"}}`))))
}

func TestDrainPlan(t *testing.T) {
	c := NewCache(CacheConfig{})
	require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"a"},"status":{"allocatable":{"pods":"9"}}}`)))
	pod := func(name, owner, annotations string) {
		require.NoError(t, c.AddPod(decodeAs[Pod](t, fmt.Sprintf(`{"metadata":{"name":%q,"labels":{"app":%q},
			"annotations":{%s},"ownerReferences":[{"kind":%q,"name":"o","controller":true}]},
			"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]},
			"spec":{"nodeName":"a","containers":[{"name":"c"}]}}`, name, name[:3], annotations, owner))))
	}
	pod("web-1", "ReplicaSet", "")
	pod("web-2", "ReplicaSet", "")
	pod("log-1", "DaemonSet", "")
	pod("api-1", "Node", `"kubernetes.io/config.mirror":"x"`)
	require.NoError(t, c.AddPod(decodeAs[Pod](t, `{"metadata":{"name":"tmp-1","ownerReferences":[{"kind":"Job","name":"o","controller":true}]},
		"spec":{"nodeName":"a","containers":[{"name":"c"}],"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Gi"}}]}}`)))
	budget := &qos.Budget{Metadata: qos.BudgetMetadata{Name: "web", Namespace: "default"}}
	budget.Spec.Selector = []byte(`{"matchLabels":{"app":"web"}}`)
	budget.Status = qos.BudgetStatus{DisruptionsAllowed: 1, CurrentHealthy: 2, DesiredHealthy: 1}

	before := stateOf(c)
	plan := func(options qos.DrainOptions) (out []string) {
		steps, err := c.DrainPlan("a", options, []*qos.Budget{budget}, noon)
		require.NoError(t, err)
		for _, s := range steps {
			out = append(out, s.Pod.Metadata.Name+" "+s.Action.String())
		}
		return out
	}
	require.ElementsMatch(t, []string{"web-1 evict", "web-2 wait", "log-1 skip", "api-1 skip", "tmp-1 evict"},
		plan(qos.DrainOptions{IgnoreDaemonSets: true, DeleteEmptyDirData: true}))
	require.ElementsMatch(t, []string{"web-1 evict", "web-2 wait", "log-1 refuse", "api-1 skip", "tmp-1 refuse"},
		plan(qos.DrainOptions{}))
	require.Equal(t, before, stateOf(c))

	_, err := c.DrainPlan("b", qos.DrainOptions{}, nil, noon)
	require.ErrorIs(t, err, ErrUnknownNode)
	budget.Spec.Selector = []byte(`{"matchExpressions":[{"key":"a","operator":"Near"}]}`)
	_, err = c.DrainPlan("a", qos.DrainOptions{}, []*qos.Budget{budget}, noon)
	require.ErrorContains(t, err, "poddisruptionbudget default/web: spec.selector")
}

// A pod that is bound by hand meets the kubelet's rules only.
func TestAdmitOn(t *testing.T) {
	c := NewCache(CacheConfig{})
	require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"a"},"spec":{"unschedulable":true,
		"taints":[{"key":"dedicated","effect":"NoSchedule"}]},"status":{"allocatable":{"cpu":"1","pods":"9"}}}`)))
	require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"b"},"spec":{"taints":[{"key":"broken","effect":"NoExecute"}]},
		"status":{"allocatable":{"cpu":"1","pods":"9"}}}`)))
	require.NoError(t, c.AddPod(decodeAs[Pod](t, `{"metadata":{"name":"old"},"spec":{"nodeName":"a","containers":[{"name":"c",
		"ports":[{"containerPort":80,"hostPort":80}]}]}}`)))
	s := newScheduler(t, c)
	for _, test := range []struct{ node, annotations, spec, want string }{
		{"a", ``, `"containers":[{"name":"c"}]`, ""},
		{"a", ``, `"nodeName":"a","schedulerName":"none","containers":[{"name":"c"}]`, ""},
		{"a", ``, `"nodeName":"z","nodeSelector":{"disk":"ssd"},"containers":[{"name":"c","ports":[{"containerPort":80,"hostPort":80}],
			"resources":{"requests":{"cpu":"2"}}}]`,
			"node(s) didn't match the requested node name, node(s) didn't match Pod's node affinity/selector, " +
				"node(s) didn't have free ports for the requested pod ports, Insufficient cpu"},
		{"b", ``, `"containers":[{"name":"c"}]`, "node(s) had untolerated taint(s)"},
		{"b", ``, `"tolerations":[{"operator":"Exists","effect":"NoExecute","tolerationSeconds":0}],"containers":[{"name":"c"}]`, ""},
		{"b", `"kubernetes.io/config.source":"file"`, `"containers":[{"name":"c"}]`, ""},
	} {
		v, err := s.AdmitOn(decodeAs[Pod](t, `{"metadata":{"name":"p","annotations":{`+test.annotations+`}},"spec":{`+test.spec+`}}`), test.node)
		require.NoError(t, err)
		require.Equal(t, test.want, v.Message(), test.spec)
		require.Equal(t, test.want != "", v.Rejected())
	}
	_, err := s.AdmitOn(podWith(t, "p", "", ""), "nowhere")
	require.ErrorIs(t, err, ErrUnknownNode)
	_, err = s.AdmitOn(podWith(t, "old", "", ""), "a")
	require.ErrorIs(t, err, ErrExists)
}
