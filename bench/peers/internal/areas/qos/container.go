package qos

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"unsafe"

	cadvisor "github.com/google/cadvisor/info/v1"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	inf "gopkg.in/inf.v0"
	v1 "k8s.io/api/core/v1"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	apitest "k8s.io/cri-api/pkg/apis/testing"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	containertest "k8s.io/kubernetes/pkg/kubelet/container/testing"
	"k8s.io/kubernetes/pkg/kubelet/eviction"
	evictionapi "k8s.io/kubernetes/pkg/kubelet/eviction/api"
	_ "k8s.io/kubernetes/pkg/kubelet/kuberuntime" // linked by name
	"k8s.io/kubernetes/pkg/kubelet/nodestatus"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
)

//go:linkname newFakeKubeRuntimeManager k8s.io/kubernetes/pkg/kubelet/kuberuntime.newFakeKubeRuntimeManager
func newFakeKubeRuntimeManager(ctx context.Context, r internalapi.RuntimeService, i internalapi.ImageManagerService, m *cadvisor.MachineInfo,
	o kubecontainer.OSInterface, h kubecontainer.RuntimeHelper, t trace.Tracer) (unsafe.Pointer, error)

//go:linkname generateLinuxContainerResources k8s.io/kubernetes/pkg/kubelet/kuberuntime.(*kubeGenericRuntimeManager).generateLinuxContainerResources
func generateLinuxContainerResources(m unsafe.Pointer, ctx context.Context, pod *v1.Pod, c *v1.Container, memoryQoS bool) *runtimeapi.LinuxContainerResources

//go:linkname hardEvictionReservation k8s.io/kubernetes/pkg/kubelet/cm.hardEvictionReservation
func hardEvictionReservation(thresholds []evictionapi.Threshold, capacity v1.ResourceList) v1.ResourceList

// The node that the kubelet's own fake of its runtime manager plays: it has no
// cpu quota, and no reservation of memory beyond memory.high.
const (
	containerCapacity    = 4 << 30
	containerAllocatable = 32 << 30
)

var runtimeManager = sync.OnceValues(func() (unsafe.Pointer, error) {
	return newFakeKubeRuntimeManager(silent, apitest.NewFakeRuntimeService(), apitest.NewFakeImageService(), &cadvisor.MachineInfo{MemoryCapacity: containerCapacity},
		&containertest.FakeOS{}, &containertest.FakeRuntimeHelper{}, noop.NewTracerProvider().Tracer(""))
})

// containerSuite compares what the kubelet tells the container runtime.
func containerSuite() compare.Suite {
	return &compare.Cases[nodeCase]{
		Parts: []string{"cgroup/container"},
		Generate: func(r *rand.Rand) nodeCase {
			pod := nodePod(r, 0)
			if r.IntN(3) == 0 {
				pod = classPod(r)
				if pod["spec"].(tree)["containers"] == nil {
					pod["spec"].(tree)["containers"] = containers(r, 1, false)
				}
			}
			return nodeCase{Pods: nodeCase{}.with(pod)}
		},
		Compare: compareContainer,
		Shrink:  shrinkNode,
	}
}

func compareContainer(c nodeCase, rec *compare.Record) {
	m, err := runtimeManager()
	n, err2 := c.decode()
	if err != nil || err2 != nil {
		rec.Text("cgroup/container", "decodes", fmt.Sprint(err, err2))
		return
	}
	for i, u := range n.upstreamPods {
		o := n.ourPods[i]
		us, os := slices.Concat(u.Spec.Containers, u.Spec.InitContainers), slices.Concat(o.Spec.Containers, o.Spec.InitContainers)
		if len(u.Spec.Containers) == 0 {
			continue // upstream expects a regular container
		}
		for j := range us {
			for _, memoryQoS := range []bool{false, true} {
				g := generateLinuxContainerResources(m, silent, u.DeepCopy(), &us[j], memoryQoS)
				upstream := fmt.Sprintf("%d %s %s %s %s", g.CpuShares, unsetIfZero(g.MemoryLimitInBytes),
					orDash(g.Unified["memory.min"]), orDash(g.Unified["memory.low"]), orDash(g.Unified["memory.high"]))
				rec.Text("cgroup/container", upstream, ourContainer(o, &os[j], memoryQoS))
			}
		}
	}
}

func unsetIfZero(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func ourContainer(p *qos.Pod, c *qos.Container, memoryQoS bool) string {
	config := qos.CgroupConfig{NoCPUQuota: true, AllocatableMemoryBytes: containerAllocatable}
	if memoryQoS {
		config.Memory = qos.ThrottleOnly
	}
	g, err := qos.ContainerCgroup(p, c, config)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%v %v %v %v %v", g.Shares, g.MemoryBytes, g.MemoryMin, g.MemoryLow, g.MemoryHigh)
}

// allocatableCase is a machine and what is reserved of it.
type allocatableCase struct {
	Cores     int               `json:"cores"`
	Memory    uint64            `json:"memory"`
	HugePages uint64            `json:"hugePages"` // of 2Mi
	Storage   string            `json:"storage"`
	System    json.RawMessage   `json:"system"`
	Kube      json.RawMessage   `json:"kube"`
	Hard      map[string]string `json:"hard"`
}

func allocatableSuite() compare.Suite {
	return &compare.Cases[allocatableCase]{
		Parts: []string{"allocatable"},
		Generate: func(r *rand.Rand) allocatableCase {
			reserved := func() json.RawMessage {
				out := tree{}
				for _, name := range []string{"cpu", "memory", "ephemeral-storage", "pods"} {
					if r.IntN(2) == 0 {
						out[name] = pick(r, "100m", "1", "500Mi", "2Gi", "10Gi", "0")
					}
				}
				return raw(out)
			}
			c := allocatableCase{Cores: 1 + r.IntN(64), Memory: pick(r, uint64(1<<30), 8<<30, r.Uint64N(1<<40)), HugePages: pick(r, uint64(0), 512, 4096),
				Storage: pick(r, "100Gi", "1Ti", "123456789"), System: reserved(), Kube: reserved(), Hard: map[string]string{}}
			for _, name := range []string{"memory.available", "nodefs.available", "imagefs.available", "nodefs.inodesFree"} {
				if r.IntN(2) == 0 {
					c.Hard[name] = pick(r, "10%", "5%", "100Mi", "1Gi", "0%")
				}
			}
			return c
		},
		Compare: compareAllocatable,
		Shrink: func(c allocatableCase) iter.Seq[allocatableCase] {
			return func(yield func(allocatableCase) bool) {
				for _, name := range slices.Sorted(maps.Keys(c.Hard)) {
					smaller := c
					smaller.Hard = maps.Clone(c.Hard)
					delete(smaller.Hard, name)
					if !yield(smaller) {
						return
					}
				}
			}
		},
	}
}

// compareAllocatable runs the kubelet's setter of the node's status. What is
// reserved is the sum that its container manager makes.
func compareAllocatable(c allocatableCase, rec *compare.Record) {
	var usystem, ukube v1.ResourceList
	var system, kube resource.List
	for _, err := range []error{json.Unmarshal(c.System, &usystem), json.Unmarshal(c.Kube, &ukube), json.Unmarshal(c.System, &system), json.Unmarshal(c.Kube, &kube)} {
		if err != nil {
			rec.Text("allocatable", "decodes", err.Error())
			return
		}
	}
	uthresholds, err := eviction.ParseThresholdConfig(nil, c.Hard, nil, nil, nil)
	thresholds, err2 := qos.EvictionSettings{Hard: c.Hard}.Thresholds()
	if err != nil || err2 != nil {
		rec.Text("allocatable", "parses", fmt.Sprint(err, err2))
		return
	}
	info := &cadvisor.MachineInfo{NumCores: c.Cores, MemoryCapacity: c.Memory, HugePages: []cadvisor.HugePagesInfo{{PageSize: 2048, NumPages: c.HugePages}}}
	node := &v1.Node{}
	var storage v1.ResourceList
	if err := json.Unmarshal(raw(tree{"ephemeral-storage": c.Storage}), &storage); err != nil {
		rec.Text("allocatable", "decodes", err.Error())
		return
	}
	reservation := func() v1.ResourceList {
		out := v1.ResourceList{}
		for name := range node.Status.Capacity {
			q := usystem[name].DeepCopy()
			q.Add(ukube[name])
			q.Add(hardEvictionReservation(uthresholds, node.Status.Capacity)[name])
			out[name] = q
		}
		return out
	}
	set := nodestatus.MachineInfo("n", 110, 0, func() (*cadvisor.MachineInfo, error) { return info, nil }, func(bool) v1.ResourceList { return storage },
		func() (v1.ResourceList, v1.ResourceList, []string) { return nil, nil, nil }, reservation, func(string, string, string) {}, true)
	if err := set(silent, node); err != nil {
		rec.Text("allocatable", "sets", err.Error())
		return
	}
	capacity := resource.List{}
	for name, q := range node.Status.Capacity {
		capacity[string(name)] = resource.MustParse(uncached(q))
	}
	rec.Text("allocatable", thousandths(node.Status.Allocatable), ourThousandths(qos.Allocatable(capacity, qos.Reservation{System: system, Kube: kube, Thresholds: thresholds})))
}

// thousandths lists amounts without their notation: sums may pick another one.
func thousandths(l v1.ResourceList) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		q := l[name].DeepCopy()
		out = append(out, fmt.Sprintf("%s=%s", name, new(inf.Dec).Round(q.AsDec(), 3, inf.RoundUp)))
	}
	return strings.Join(out, " ")
}

func ourThousandths(l resource.List) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		out = append(out, fmt.Sprintf("%s=%s", name, inf.NewDec(l[name].MilliValue(), 3)))
	}
	return strings.Join(out, " ")
}
