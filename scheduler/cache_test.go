package scheduler

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// state describes everything that decisions read, for comparing caches.
func (c *Cache) state() string {
	nodes := c.refresh()
	type node struct {
		Name                   string
		Pods                   []string
		Affinity, AntiAffinity int
		Requested, Allocatable Resources
		CPU, Memory            int64
		Ports                  []string
		Images                 map[string]string
	}
	var out []node
	for _, n := range nodes {
		v := node{
			Name: n.Name, Affinity: len(n.WithAffinity), AntiAffinity: len(n.WithAntiAffinity),
			Requested: n.Requested.clone(), Allocatable: n.Allocatable,
			CPU: n.NonZeroCPUMilli, Memory: n.NonZeroMemoryBytes, Images: map[string]string{},
		}
		// A scalar at 0 and an absent one are the same.
		v.Requested.Scalars = slices.DeleteFunc(v.Requested.Scalars, func(s Scalar) bool { return s.Value == 0 })
		if len(v.Requested.Scalars) == 0 {
			v.Requested.Scalars = nil
		}
		for _, p := range n.Pods {
			v.Pods = append(v.Pods, p.Name())
		}
		slices.Sort(v.Pods)
		for port := range n.ports {
			v.Ports = append(v.Ports, fmt.Sprint(port))
		}
		slices.Sort(v.Ports)
		for name, img := range n.images {
			v.Images[name] = fmt.Sprint(img)
		}
		out = append(out, v)
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestForgetRestores(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c := randomCluster(t, rng, 8, 20)
		before := c.state()
		pod := randomPod(rng, "new")
		node := c.Nodes()[rng.IntN(8)]
		ports := hostPortsOf(pod)
		require.NoError(t, c.Assume(pod, node))
		require.NotEqual(t, before, c.state())
		require.NoError(t, c.Forget(pod.Namespace, pod.Name))
		if len(ports) > 0 {
			continue // a port that was taken already is free now, as upstream
		}
		require.Equal(t, before, c.state())
	}
}

func TestErrorsChangeNothing(t *testing.T) {
	c := NewCache(CacheConfig{})
	node := func(s string) *Node { return decodeAs[Node](t, s) }
	pod := func(s string) *Pod { return decodeAs[Pod](t, s) }
	require.NoError(t, c.AddNode(node(`{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"1","pods":"5"}}}`)))
	require.NoError(t, c.AddPod(pod(`{"metadata":{"name":"p","uid":"1"},"spec":{"nodeName":"a","containers":[{"name":"m","resources":{"requests":{"cpu":"1"}}}]}}`)))
	before := c.state()

	tests := []struct {
		name string
		call func() error
		want string
		is   error
	}{
		{"node again", func() error { return c.AddNode(node(`{"metadata":{"name":"a"}}`)) },
			`node a: metadata.name: "a": exists already`, ErrExists},
		{"node without name", func() error { return c.AddNode(node(`{}`)) },
			`node: metadata.name: "": want a name`, nil},
		{"nil node", func() error { return c.AddNode(nil) }, "node is nil", nil},
		{"nil pod", func() error { return c.AddPod(nil) }, "pod is nil", nil},
		{"negative allocatable", func() error {
			return c.UpdateNode(node(`{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"-1"}}}`))
		}, `node a: status.allocatable[cpu]: "-1": want 0 or more`, nil},
		{"taint effect", func() error {
			return c.UpdateNode(node(`{"metadata":{"name":"a"},"spec":{"taints":[{"key":"k","effect":"Nope"}]}}`))
		}, `node a: spec.taints[0].effect: "Nope": want one of [NoSchedule PreferNoSchedule NoExecute]`, nil},
		{"update of an unknown node", func() error { return c.UpdateNode(node(`{"metadata":{"name":"x"}}`)) },
			`node x: metadata.name: "x": node is not known`, ErrUnknownNode},
		{"removal of an unknown node", func() error { return c.RemoveNode("x") },
			`node x: metadata.name: "x": node is not known`, ErrUnknownNode},
		{"pod again", func() error { return c.AddPod(pod(`{"metadata":{"name":"p"},"spec":{"nodeName":"a"}}`)) },
			`pod default/p: metadata.name: "p": exists already`, ErrExists},
		{"pod on an unknown node", func() error { return c.AddPod(pod(`{"metadata":{"name":"q"},"spec":{"nodeName":"x"}}`)) },
			`pod default/q: spec.nodeName: "x": node is not known`, ErrUnknownNode},
		{"move to an unknown node", func() error {
			return c.UpdatePod(pod(`{"metadata":{"name":"p","uid":"1"},"spec":{"nodeName":"x"}}`))
		}, `pod default/p: spec.nodeName: "x": node is not known`, ErrUnknownNode},
		{"pod that is not bound", func() error { return c.AddPod(pod(`{"metadata":{"name":"q"}}`)) },
			`pod default/q: spec.nodeName: "": want a node: the pod is not bound`, nil},
		{"another pod of that name", func() error {
			return c.UpdatePod(pod(`{"metadata":{"name":"p","uid":"2"},"spec":{"nodeName":"a"}}`))
		}, `pod default/p: metadata.uid: "2": exists already: want 1`, ErrExists},
		{"assume twice", func() error { return c.Assume(pod(`{"metadata":{"name":"p"}}`), "a") },
			`pod default/p: metadata.name: "p": exists already`, ErrExists},
		{"assume elsewhere", func() error {
			return c.Assume(pod(`{"metadata":{"name":"q"},"spec":{"nodeName":"b"}}`), "a")
		}, `pod default/q: spec.nodeName: "b": want a`, nil},
		{"forget a bound pod", func() error { return c.Forget("default", "p") },
			`pod default/p: metadata.name: "p": pod is not assumed`, ErrNotAssumed},
		{"confirm an unknown pod", func() error { return c.Confirm("default", "q") },
			`pod default/q: metadata.name: "q": pod is not known`, ErrUnknownPod},
		{"remove an unknown pod", func() error { return c.RemovePod("default", "q") },
			`pod default/q: metadata.name: "q": pod is not known`, ErrUnknownPod},
		{"negative request", func() error {
			return c.AddPod(pod(`{"metadata":{"name":"q"},"spec":{"nodeName":"a","containers":[{"name":"m","resources":{"requests":{"memory":"-5"}}}]}}`))
		}, `pod default/q: spec.containers[0].resources.requests[memory]: "-5": want 0 or more`, nil},
		{"overflow", func() error {
			return c.AddPod(pod(`{"metadata":{"name":"q"},"spec":{"nodeName":"a","containers":[{"name":"m","resources":{"requests":{"memory":"16Pi"}}}]}}`))
		}, `pod default/q: spec.containers[0].resources.requests[memory]: "16Pi": want at most 2^53, in thousandths for cpu`, nil},
		{"toleration operator", func() error {
			return c.AddPod(pod(`{"metadata":{"name":"q"},"spec":{"nodeName":"a","tolerations":[{"key":"k","operator":"Maybe"}]}}`))
		}, `pod default/q: spec.tolerations[0].operator: "Maybe": want one of [ Equal Exists Lt Gt]`, nil},
		{"node affinity operator", func() error {
			return c.AddPod(pod(`{"metadata":{"name":"q"},"spec":{"nodeName":"a","affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"k","operator":"Near"}]}]}}}}}`))
		}, `pod default/q: spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator: "Near": want one of [In NotIn Exists DoesNotExist Gt Lt]`, nil},
		{"max skew", func() error {
			return c.AddPod(pod(`{"metadata":{"name":"q"},"spec":{"nodeName":"a","topologySpreadConstraints":[{"maxSkew":0,"topologyKey":"z","whenUnsatisfiable":"DoNotSchedule"}]}}`))
		}, `pod default/q: spec.topologySpreadConstraints[0].maxSkew: "0": want 1 or more`, nil},
		{"namespace without a name", func() error { return c.SetNamespace(&Namespace{}) },
			`namespace: metadata.name: "": want a name`, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.call()
			require.EqualError(t, err, test.want)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			require.Equal(t, before, c.state())
		})
	}
}

func TestPodLife(t *testing.T) {
	c := NewCache(CacheConfig{})
	require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"4","pods":"5"}}}`)))
	require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"b"},"status":{"allocatable":{"cpu":"4","pods":"5"}}}`)))
	empty := c.state()
	pod := func(node, phase string) *Pod {
		return decodeAs[Pod](t, fmt.Sprintf(`{"metadata":{"name":"p","uid":"1"},"spec":{"nodeName":%q,"containers":[{"name":"m","resources":{"requests":{"cpu":"1"}}}]},"status":{"phase":%q}}`, node, phase))
	}
	pending := pod("", "Pending")
	require.NoError(t, c.Assume(pending, "a"))
	require.ErrorIs(t, c.RemovePod("default", "p"), ErrAssumed)

	// The binding that is observed wins over the one that was assumed.
	require.NoError(t, c.AddPod(pod("b", "Pending")))
	node, assumed, ok := c.PodNode("default", "p")
	require.True(t, ok)
	require.Equal(t, "b", node)
	require.False(t, assumed)

	require.NoError(t, c.UpdatePod(pod("b", "Running")))
	require.NoError(t, c.UpdatePod(pod("b", "Succeeded")))
	require.Equal(t, empty, c.state())
	require.NoError(t, c.AddPod(pod("b", "Failed")))
	require.Equal(t, empty, c.state())
}

func TestRemovedNodeKeepsItsPods(t *testing.T) {
	c := NewCache(CacheConfig{HoldUnknownNodes: true})
	a := decodeAs[Node](t, `{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"4","pods":"5"}}}`)
	pod := decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"nodeName":"a","containers":[{"name":"m","resources":{"requests":{"cpu":"1"}}}]}}`)
	require.NoError(t, c.AddPod(pod), "held until the node is known")
	require.Empty(t, c.Nodes())
	require.NoError(t, c.AddNode(a))
	with := c.state()
	require.Contains(t, with, "default/p")
	require.NoError(t, c.RemoveNode("a"))
	require.Empty(t, c.Nodes())
	require.NoError(t, c.AddNode(a))
	require.Equal(t, with, c.state())
	require.NoError(t, c.RemoveNode("a"))
	require.NoError(t, c.RemovePod("default", "p"))
	require.Empty(t, c.nodes)
}

func TestNodeOrder(t *testing.T) {
	c := NewCache(CacheConfig{})
	add := func(name, zone string) {
		require.NoError(t, c.AddNode(decodeAs[Node](t, fmt.Sprintf(`{"metadata":{"name":%q,"labels":{"topology.kubernetes.io/zone":%q}}}`, name, zone))))
	}
	add("a1", "a")
	add("a2", "a")
	add("x1", "")
	add("b1", "b")
	add("a3", "a")
	require.Equal(t, []string{"a1", "x1", "b1", "a2", "a3"}, c.Nodes())

	// Moved to another zone, a node goes to that zone's end.
	require.NoError(t, c.UpdateNode(decodeAs[Node](t, `{"metadata":{"name":"a1","labels":{"failure-domain.beta.kubernetes.io/zone":"b"}}}`)))
	require.Equal(t, []string{"a2", "x1", "b1", "a3", "a1"}, c.Nodes())

	// A zone that has become empty loses its turn.
	require.NoError(t, c.RemoveNode("x1"))
	add("x2", "")
	require.Equal(t, []string{"a2", "b1", "x2", "a3", "a1"}, c.Nodes())

	// Between two decisions that see the same nodes the order is kept.
	c.refresh()
	require.NoError(t, c.RemoveNode("b1"))
	add("b1", "a")
	require.Equal(t, []string{"a2", "b1", "x2", "a3", "a1"}, c.Nodes())
	c.refresh()
	require.NoError(t, c.RemoveNode("a3"))
	require.Equal(t, []string{"a2", "a1", "x2", "b1"}, c.Nodes())
}
