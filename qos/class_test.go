package qos

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/qos/resource"
)

// list builds Amounts from name, amount, name, amount, ….
func list(pairs ...string) resource.Amounts {
	l := resource.List{}
	for i := 0; i < len(pairs); i += 2 {
		l[pairs[i]] = resource.MustParse(pairs[i+1])
	}
	return resource.AmountsOf(l)
}

func container(requests, limits resource.Amounts) Container {
	return Container{Resources: Requirements{Requests: requests, Limits: limits}}
}

func podOf(containers ...Container) *Pod { return &Pod{Spec: PodSpec{Containers: containers}} }

func TestClassOf(t *testing.T) {
	full := list("cpu", "1", "memory", "1Gi")
	for _, c := range []struct {
		name string
		pod  *Pod
		want Class
	}{
		{"no containers", podOf(), BestEffort},
		{"nothing set", podOf(container(nil, nil)), BestEffort},
		{"other resources only", podOf(container(list("ephemeral-storage", "1Gi", "example.com/gpu", "1"), list("hugepages-2Mi", "4Mi"))), BestEffort},
		{"zero request", podOf(container(list("cpu", "0"), nil)), BestEffort},
		{"negative request", podOf(container(list("cpu", "-1"), nil)), BestEffort},
		{"request only", podOf(container(list("cpu", "1"), nil)), Burstable},
		{"limits only", podOf(container(nil, full)), Burstable},
		{"only a memory limit", podOf(container(nil, list("memory", "1Gi"))), Burstable},
		{"equal", podOf(container(full, full)), Guaranteed},
		{"equal in other units", podOf(container(list("cpu", "1000m", "memory", "1024Mi"), full)), Guaranteed},
		{"request above limit", podOf(container(list("cpu", "2", "memory", "1Gi"), full)), Burstable},
		{"differences cancel out", podOf(container(list("cpu", "1", "memory", "2Gi"), list("cpu", "2", "memory", "1Gi")),
			container(list("cpu", "2", "memory", "1Gi"), list("cpu", "1", "memory", "2Gi"))), Guaranteed},
		{"one container without limits", podOf(container(full, full), container(nil, nil)), Burstable},
		{"init container without limits", &Pod{Spec: PodSpec{Containers: []Container{container(full, full)}, InitContainers: []Container{container(nil, nil)}}}, Burstable},
		{"overhead is no request", &Pod{Spec: PodSpec{Containers: []Container{container(nil, nil)}, Overhead: full}}, BestEffort},
		{"status wins", &Pod{Spec: PodSpec{Containers: []Container{container(full, full)}}, Status: PodStatus{QOSClass: Burstable}}, Burstable},
		{"empty pod level", &Pod{Spec: PodSpec{Containers: []Container{container(full, full)}, Resources: &Requirements{}}}, BestEffort},
		{"pod level wins", &Pod{Spec: PodSpec{Containers: []Container{container(nil, nil)}, Resources: &Requirements{full, full}}}, Guaranteed},
		{"pod-level requests only", &Pod{Spec: PodSpec{Resources: &Requirements{Requests: full}}}, Burstable},
		{"pod-level huge pages only", &Pod{Spec: PodSpec{Resources: &Requirements{Limits: list("hugepages-2Mi", "4Mi")}}}, BestEffort},
	} {
		require.Equal(t, c.want, ClassOf(c.pod), c.name)
		require.Equal(t, c.want, plainClass(c.pod), c.name)
	}
}

// plainClass follows the definition with lists of sums: the slow twin of
// ClassOf.
func plainClass(p *Pod) Class {
	if p.Status.QOSClass != 0 {
		return p.Status.QOSClass
	}
	var blocks []Requirements
	if p.Spec.Resources != nil {
		blocks = append(blocks, *p.Spec.Resources)
	} else {
		for _, c := range append(append([]Container{}, p.Spec.Containers...), p.Spec.InitContainers...) {
			blocks = append(blocks, c.Resources)
		}
	}
	positive := func(l resource.Amounts) resource.List {
		out := resource.List{}
		for _, name := range []string{CPU, Memory} {
			if q := l.Of(name); q.Sign() > 0 {
				out[name] = q
			}
		}
		return out
	}
	requests, limits, allLimited := resource.List{}, resource.List{}, true
	for _, b := range blocks {
		requests = requests.Add(positive(b.Requests))
		limits = limits.Add(positive(b.Limits))
		allLimited = allLimited && len(positive(b.Limits)) == 2
	}
	if len(requests)+len(limits) == 0 {
		return BestEffort
	}
	equal := requests.Fits(limits) && limits.Fits(requests)
	if allLimited && equal {
		return Guaranteed
	}
	return Burstable
}

func randomList(r *rand.Rand, names ...string) resource.Amounts {
	amounts := []string{"0", "1", "1", "1000m", "2", "512Mi", "1Gi", "-1", "0.5Gi"}
	if r.IntN(5) == 0 {
		return nil
	}
	l := resource.List{}
	for _, name := range names {
		if r.IntN(4) != 0 {
			l[name] = resource.MustParse(amounts[r.IntN(len(amounts))])
		}
	}
	return resource.AmountsOf(l)
}

func randomClassPod(r *rand.Rand) *Pod {
	p := &Pod{}
	names := []string{CPU, Memory, EphemeralStorage}
	block := func() Requirements {
		requests := randomList(r, names...)
		if r.IntN(2) == 0 {
			return Requirements{requests, requests}
		}
		return Requirements{requests, randomList(r, names...)}
	}
	for range r.IntN(4) {
		p.Spec.Containers = append(p.Spec.Containers, Container{Resources: block()})
	}
	for range r.IntN(3) {
		p.Spec.InitContainers = append(p.Spec.InitContainers, Container{Resources: block(), RestartPolicy: []string{"", "Always"}[r.IntN(2)]})
	}
	if r.IntN(6) == 0 {
		b := block()
		p.Spec.Resources = &b
	}
	return p
}

func TestClassOfEqualsPlain(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[Class]int{}
	for range 20000 {
		p := randomClassPod(r)
		got := ClassOf(p)
		require.Equal(t, plainClass(p), got, "%+v", p)
		seen[got]++
	}
	require.Len(t, seen, 3, "the generator must reach every class")
}

// Adding what was missing never lowers the class: a limit that equals the
// request, on every container.
func TestAddingLimitNeverLowersClass(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		p := randomClassPod(r)
		p.Spec.Resources = nil
		before := ComputeClass(p)
		if len(p.Spec.Containers) == 0 {
			continue
		}
		c := &p.Spec.Containers[r.IntN(len(p.Spec.Containers))]
		name := []string{CPU, Memory}[r.IntN(2)]
		if q := c.Resources.Limits.Of(name); q.Sign() > 0 {
			continue
		}
		limits := c.Resources.Limits.List().Add(nil)
		limits[name] = resource.NewInt(1)
		c.Resources = Requirements{c.Resources.Requests, resource.AmountsOf(limits)}
		require.GreaterOrEqual(t, ComputeClass(p), before)
	}
}

func TestClassText(t *testing.T) {
	for _, c := range []Class{0, BestEffort, Burstable, Guaranteed} {
		data, err := json.Marshal(c)
		require.NoError(t, err)
		var back Class
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, c, back)
	}
	var c Class
	require.ErrorContains(t, json.Unmarshal([]byte(`"Gold"`), &c), `"Gold": want BestEffort, Burstable or Guaranteed`)
	require.Equal(t, "Class(9)", Class(9).String())
}

func TestDefaulted(t *testing.T) {
	p := podOf(container(list("cpu", "0"), list("cpu", "1", "memory", "1.0001", "example.com/gpu", "2")))
	p.Spec.InitContainers = []Container{container(nil, list("cpu", "1", "memory", "1"))}
	d := Defaulted(p)
	require.Equal(t, "0", d.Spec.Containers[0].Resources.Requests.Of(CPU).String(), "an explicit zero stays")
	require.Equal(t, "1001m", d.Spec.Containers[0].Resources.Requests.Of(Memory).String())
	require.Equal(t, "2", d.Spec.Containers[0].Resources.Requests.Of("example.com/gpu").String())
	require.Equal(t, Burstable, ClassOf(d))
	require.Len(t, p.Spec.Containers[0].Resources.Requests, 1, "the original is not touched")
	require.Equal(t, Guaranteed, ClassOf(Defaulted(podOf(container(nil, list("cpu", "1", "memory", "1"))))))

	p = podOf(container(list("cpu", "300m", "hugepages-2Mi", "2Mi"), list("hugepages-2Mi", "2Mi")))
	p.Spec.Resources = &Requirements{Limits: list("cpu", "1", "memory", "1Gi")}
	d = Defaulted(p)
	require.Equal(t, list("cpu", "300m", "memory", "1Gi", "hugepages-2Mi", "2Mi"), d.Spec.Resources.Requests)
	require.Equal(t, list("cpu", "1", "memory", "1Gi", "hugepages-2Mi", "2Mi"), d.Spec.Resources.Limits)
}

func TestRequestsAndLimits(t *testing.T) {
	p := podOf(container(list("cpu", "1", "memory", "1Gi"), list("cpu", "2")), container(list("cpu", "500m"), nil))
	p.Spec.InitContainers = []Container{
		{Resources: Requirements{Requests: list("cpu", "1")}},
		{Resources: Requirements{Requests: list("cpu", "1"), Limits: list("memory", "1Mi")}, RestartPolicy: "Always"},
		{Resources: Requirements{Requests: list("cpu", "3", "memory", "100Mi")}},
	}
	p.Spec.Overhead = list("cpu", "250m", "memory", "1Mi", "ephemeral-storage", "1Mi")
	require.Equal(t, "4250m", Requests(p)[CPU].String(), "sidecar and last init container together exceed the running pod")
	require.Equal(t, "1025Mi", Requests(p)[Memory].String())
	require.Equal(t, "2250m", Limits(p)[CPU].String())
	require.Equal(t, "2Mi", Limits(p)[Memory].String())
	require.NotContains(t, Limits(p), EphemeralStorage, "overhead does not create a limit")
	p.Spec.Resources = &Requirements{Requests: list("cpu", "10", "example.com/gpu", "1")}
	require.Equal(t, "10250m", Requests(p)[CPU].String())
	require.NotContains(t, Requests(p), "example.com/gpu", "pod level speaks about cpu, memory and huge pages only")
}
