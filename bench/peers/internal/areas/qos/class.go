package qos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	corev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	upstreamqos "k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
)

// podCase is a pod as JSON; both sides decode the same bytes.
type podCase struct {
	Pod json.RawMessage `json:"pod"`
}

// tree is a JSON object under construction.
type tree = map[string]any

func classSuite() compare.Suite {
	return &compare.Cases[podCase]{
		Parts:   []string{"class", "class/defaulted", "requests", "limits"},
		Corners: classCorners(),
		Generate: func(r *rand.Rand) podCase {
			return encoded(classPod(r))
		},
		Compare: compareClass,
		Shrink:  shrinkPod,
	}
}

func encoded(pod tree) podCase {
	data, err := json.Marshal(pod)
	if err != nil {
		panic(err)
	}
	return podCase{data}
}

func classCorners() []podCase {
	var out []podCase
	for _, text := range []string{
		`{}`, `{"spec":{"containers":[{}]}}`, `{"spec":{"resources":{},"containers":[{"resources":{"requests":{"cpu":"1"}}}]}}`,
		`{"spec":{"resources":{"limits":{"cpu":0,"memory":0}}}}`,
		`{"spec":{"resources":{"limits":{"hugepages-2Mi":"2Mi"}},"containers":[{"resources":{"limits":{"hugepages-1Gi":"1Gi"}}}]}}`,
		`{"spec":{"resources":{"requests":{"hugepages-2Mi":"2Mi"}},"containers":[{"resources":{"limits":{"hugepages-2Mi":"4Mi","cpu":"1.0001"}}}]}}`,
		`{"spec":{"containers":[{"resources":{"limits":{},"requests":null}}],"overhead":{"cpu":"0.0001"}}}`,
		`{"status":{"qosClass":"Guaranteed"},"spec":{"containers":[{}]}}`,
	} {
		out = append(out, podCase{json.RawMessage(text)})
	}
	return out
}

var resourceNames = []string{"cpu", "cpu", "memory", "memory", "ephemeral-storage", "hugepages-2Mi", "example.com/gpu"}

func amounts(r *rand.Rand) tree {
	out := tree{}
	for range r.IntN(5) {
		out[pick(r, resourceNames...)] = pick[any](r, "0", "1", "1", "1", "1000m", "2", "512Mi", "0.5Gi", "1.0001", "-1", 1, 1.5, "1e3", "100u", nil)
	}
	return out
}

func requirements(r *rand.Rand) tree {
	requests := amounts(r)
	limits := amounts(r)
	switch r.IntN(4) {
	case 0, 1:
		limits = requests
	case 2:
		return tree{"limits": limits}
	}
	return tree{"requests": requests, "limits": limits}
}

func classPod(r *rand.Rand) tree {
	spec := tree{}
	spec["containers"] = containers(r, 4, false)
	spec["initContainers"] = containers(r, 4, true)
	if r.IntN(4) == 0 {
		spec["resources"] = requirements(r)
	}
	if r.IntN(4) == 0 {
		spec["overhead"] = amounts(r)
	}
	pod := tree{"metadata": tree{"name": "p", "uid": "u"}, "spec": spec}
	if r.IntN(8) == 0 {
		pod["status"] = tree{"qosClass": pick(r, "", "BestEffort", "Burstable", "Guaranteed")}
	}
	return pod
}

func containers(r *rand.Rand, limit int, init bool) []any {
	var out []any
	for i := range r.IntN(limit) {
		c := tree{"name": fmt.Sprintf("c%d", i), "resources": requirements(r)}
		if init {
			c["name"] = fmt.Sprintf("i%d", i)
			if r.IntN(2) == 0 {
				c["restartPolicy"] = "Always"
			}
		}
		out = append(out, c)
	}
	return out
}

// decodePods gives both sides the same bytes.
func decodePods(data []byte) (*v1.Pod, *qos.Pod, error) {
	var u v1.Pod
	if err := json.Unmarshal(data, &u); err != nil {
		return nil, nil, err
	}
	o, err := qos.DecodePod(data)
	return &u, o, err
}

func compareClass(c podCase, rec *compare.Record) {
	u, o, err := decodePods(c.Pod)
	if err != nil {
		rec.Text("class", "decodes", err.Error())
		return
	}
	rec.Text("class", string(upstreamqos.GetPodQOS(u)), qos.ClassOf(o).String())
	// Upstream's totals share memory with the pod they come from: give it copies.
	rec.Text("requests", upstreamList(resourcehelper.PodRequests(u.DeepCopy(), resourcehelper.PodResourcesOptions{})), ourList(qos.Requests(o)))
	rec.Text("limits", upstreamList(resourcehelper.PodLimits(u.DeepCopy(), resourcehelper.PodResourcesOptions{})), ourList(qos.Limits(o)))
	defaulted := u.DeepCopy()
	corev1.SetObjectDefaults_Pod(defaulted)
	ours := qos.Defaulted(o)
	rec.Text("class/defaulted", upstreamSpec(defaulted), ourSpec(ours))
}

func upstreamList(l v1.ResourceList) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		parts = append(parts, fmt.Sprintf("%s=%s", name, uncached(l[name])))
	}
	return strings.Join(parts, " ")
}

func ourList(l resource.List) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		parts = append(parts, fmt.Sprintf("%s=%s", name, l[name]))
	}
	return strings.Join(parts, " ")
}

// upstreamSpec shows what defaulting may change, and the class after it.
func upstreamSpec(p *v1.Pod) string {
	var parts []string
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		parts = append(parts, upstreamList(c.Resources.Requests), upstreamList(c.Resources.Limits))
	}
	if p.Spec.Resources != nil {
		parts = append(parts, "pod", upstreamList(p.Spec.Resources.Requests), upstreamList(p.Spec.Resources.Limits))
	}
	parts = append(parts, upstreamList(p.Spec.Overhead), string(upstreamqos.GetPodQOS(p)))
	return strings.Join(parts, "; ")
}

func ourSpec(p *qos.Pod) string {
	var parts []string
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		parts = append(parts, ourList(c.Resources.Requests.List()), ourList(c.Resources.Limits.List()))
	}
	if p.Spec.Resources != nil {
		parts = append(parts, "pod", ourList(p.Spec.Resources.Requests.List()), ourList(p.Spec.Resources.Limits.List()))
	}
	parts = append(parts, ourList(p.Spec.Overhead.List()), qos.ClassOf(p).String())
	return strings.Join(parts, "; ")
}

// shrinkPod removes one member of an object or list anywhere in the pod.
func shrinkPod(c podCase) iter.Seq[podCase] {
	return func(yield func(podCase) bool) {
		var root any
		d := json.NewDecoder(bytes.NewReader(c.Pod))
		d.UseNumber()
		if d.Decode(&root) != nil {
			return
		}
		for smaller := range without(root) {
			data, err := json.Marshal(smaller)
			if err == nil && !yield(podCase{data}) {
				return
			}
		}
	}
}

// without yields v with one thing left out.
func without(v any) iter.Seq[any] {
	return func(yield func(any) bool) {
		switch v := v.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				rest := maps.Clone(v)
				delete(rest, key)
				if !yield(rest) {
					return
				}
				for smaller := range without(v[key]) {
					changed := maps.Clone(v)
					changed[key] = smaller
					if !yield(changed) {
						return
					}
				}
			}
		case []any:
			for i := range v {
				if !yield(slices.Delete(slices.Clone(v), i, i+1)) {
					return
				}
				for smaller := range without(v[i]) {
					changed := slices.Clone(v)
					changed[i] = smaller
					if !yield(changed) {
						return
					}
				}
			}
		}
	}
}
