package scheduler

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/selector"
	"github.com/stretchr/testify/require"
)

func decodeAs[T any](t testing.TB, object string) *T {
	t.Helper()
	v := new(T)
	require.NoError(t, json.Unmarshal([]byte(object), v))
	return v
}

func oneOf[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

func randomNode(rng *rand.Rand, name string) *Node {
	n := &Node{ObjectMeta: ObjectMeta{Name: name, Labels: map[string]string{LabelHostname: name}}}
	if rng.IntN(6) > 0 {
		n.Labels[LabelZone] = oneOf(rng, "z1", "z2", "z3")
	}
	if rng.IntN(2) == 0 {
		n.Labels["disk"] = oneOf(rng, "ssd", "hdd")
	}
	n.Status.Allocatable = resource.List{
		"cpu":    resource.NewInt(int64(1 + rng.IntN(8))),
		"memory": resource.NewInt(int64(1+rng.IntN(16)) << 30),
		"pods":   resource.NewInt(int64(3 + rng.IntN(20))),
	}
	if rng.IntN(3) == 0 {
		n.Status.Allocatable["example.com/gpu"] = resource.NewInt(int64(1 + rng.IntN(4)))
	}
	n.Spec.Unschedulable = rng.IntN(15) == 0
	for range rng.IntN(3) {
		n.Spec.Taints = append(n.Spec.Taints, Taint{
			Key: oneOf(rng, "dedicated", "spot"), Value: oneOf(rng, "", "a"),
			Effect: oneOf(rng, NoSchedule, PreferNoSchedule, PreferNoSchedule, NoExecute),
		})
	}
	if rng.IntN(3) == 0 {
		n.Status.Images = []ContainerImage{{Names: []string{"shop/web:v1"}, SizeBytes: 900 << 20}}
	}
	return n
}

func randomPod(rng *rand.Rand, name string) *Pod {
	p := &Pod{ObjectMeta: ObjectMeta{
		Name: name, Namespace: oneOf(rng, "default", "prod"), UID: name,
		Labels: map[string]string{"app": oneOf(rng, "web", "db")},
	}}
	c := Container{Name: "main", Image: oneOf(rng, "shop/web:v1", "shop/db:v1")}
	c.Resources.Requests = resource.List{}
	if rng.IntN(4) > 0 {
		c.Resources.Requests["cpu"] = resource.NewMilli(int64(rng.IntN(12)) * 50)
	}
	if rng.IntN(4) > 0 {
		c.Resources.Requests["memory"] = resource.NewInt(int64(rng.IntN(8)) << 27)
	}
	if rng.IntN(10) == 0 {
		c.Resources.Requests["example.com/gpu"] = resource.NewInt(1)
	}
	if rng.IntN(10) == 0 {
		c.Ports = []ContainerPort{{ContainerPort: 80, HostPort: int32(8080 + rng.IntN(2))}}
	}
	p.Spec.Containers = []Container{c}
	priority := int32(rng.IntN(3))
	p.Spec.Priority = &priority
	if rng.IntN(2) == 0 {
		p.Spec.Tolerations = []Toleration{{Key: oneOf(rng, "dedicated", "spot"), Operator: "Exists"}}
	}
	if rng.IntN(8) == 0 {
		p.Spec.NodeSelector = map[string]string{"disk": oneOf(rng, "ssd", "hdd")}
	}
	sel := &selector.LabelSelector{MatchLabels: map[string]string{"app": oneOf(rng, "web", "db")}}
	key := oneOf(rng, LabelHostname, LabelZone)
	term := PodAffinityTerm{LabelSelector: sel, TopologyKey: key}
	switch rng.IntN(8) {
	case 0:
		p.Spec.Affinity = &Affinity{PodAntiAffinity: &PodAffinity{Required: []PodAffinityTerm{term}}}
	case 1:
		p.Spec.Affinity = &Affinity{PodAffinity: &PodAffinity{Required: []PodAffinityTerm{term}}}
	case 2:
		weighted := []WeightedPodAffinityTerm{{Weight: int32(1 + rng.IntN(100)), PodAffinityTerm: term}}
		p.Spec.Affinity = &Affinity{PodAffinity: &PodAffinity{Preferred: weighted}}
	case 3:
		p.Spec.TopologySpreadConstraints = []TopologySpreadConstraint{{
			MaxSkew: int32(1 + rng.IntN(3)), TopologyKey: key, LabelSelector: sel,
			WhenUnsatisfiable: oneOf(rng, doNotSchedule, scheduleAnyway),
		}}
	}
	return p
}

// randomCluster has pods wherever they were put, fitting or not.
func randomCluster(t testing.TB, rng *rand.Rand, nodes, pods int) *Cache {
	c := NewCache(CacheConfig{})
	for i := range nodes {
		require.NoError(t, c.AddNode(randomNode(rng, fmt.Sprintf("n%d", i))))
	}
	for i := range pods {
		p := randomPod(rng, fmt.Sprintf("p%d", i))
		p.Spec.NodeName = fmt.Sprintf("n%d", rng.IntN(nodes))
		require.NoError(t, c.AddPod(p))
	}
	return c
}
