package qos

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	v1 "k8s.io/api/core/v1"
	upstreamresource "k8s.io/apimachinery/pkg/api/resource"
	v1resource "k8s.io/kubernetes/pkg/api/v1/resource"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	kubeletqos "k8s.io/kubernetes/pkg/kubelet/qos"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
)

const differsOOM = "a Burstable oom_score_adj is at most 999"

// parameterSuite compares what a pod becomes on a node: scores and cgroups.
func parameterSuite() compare.Suite {
	return &compare.Cases[nodeCase]{
		Parts: []string{"oom", "cgroup/pod", "request"},
		Generate: func(r *rand.Rand) nodeCase {
			pod := nodePod(r, 0)
			if r.IntN(2) == 0 {
				pod = classPod(r)
			}
			return nodeCase{Pods: nodeCase{}.with(pod), Capacity: pick(r, 1, 1<<20, 1<<30, 8<<30, 1+int64(r.IntN(1<<30)))}
		},
		Compare: compareParameters,
		Shrink:  shrinkNode,
		Documented: []compare.Difference[nodeCase]{
			// Only pods that the API refuses come to this: with negative
			// requests, or requesting less at pod level than in containers.
			{Differs: differsOOM, Applies: func(_ nodeCase, d compare.Disagreement) bool {
				us, os := strings.Fields(d.Upstream), strings.Fields(d.Ours)
				if d.Part != "oom" || len(us) != len(os) {
					return false
				}
				for i := range us {
					if score, _ := strconv.Atoi(us[i]); us[i] != os[i] && (score <= 1000 || os[i] != "999") {
						return false
					}
				}
				return true
			}},
		},
	}
}

func (nodeCase) with(pods ...tree) (out []json.RawMessage) {
	for _, p := range pods {
		out = append(out, raw(p))
	}
	return out
}

func compareParameters(c nodeCase, rec *compare.Record) {
	n, err := c.decode()
	if err != nil {
		rec.Text("oom", "decodes", err.Error())
		return
	}
	for i, u := range n.upstreamPods {
		o := n.ourPods[i]
		rec.Text("oom", upstreamOOM(u, c.Capacity), ourOOM(o, c.Capacity))
		rec.Text("cgroup/pod", upstreamPodCgroups(u), ourPodCgroups(o))
		var us, os []string
		for _, name := range []string{"cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "example.com/gpu"} {
			us = append(us, uncached(v1resource.GetResourceRequestQuantity(u.DeepCopy(), v1.ResourceName(name))))
			os = append(os, qos.RequestOf(o, name).String())
		}
		rec.Text("request", strings.Join(us, " "), strings.Join(os, " "))
	}
}

func upstreamOOM(p *v1.Pod, capacity int64) string {
	var out []string
	for _, list := range [][]v1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			if len(p.Spec.Containers) == 0 {
				continue // upstream expects a regular container
			}
			out = append(out, fmt.Sprint(kubeletqos.GetContainerOOMScoreAdjust(p.DeepCopy(), &list[i], capacity)))
		}
	}
	return strings.Join(out, " ")
}

func ourOOM(p *qos.Pod, capacity int64) string {
	var out []string
	for _, list := range [][]qos.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			score, err := qos.OOMScoreAdj(p, &list[i], capacity)
			if err != nil {
				return err.Error()
			}
			if len(p.Spec.Containers) > 0 {
				out = append(out, fmt.Sprint(score))
			}
		}
	}
	return strings.Join(out, " ")
}

var reservations = map[qos.MemoryReservation]kubeletconfig.MemoryReservationPolicy{
	qos.ThrottleOnly:      kubeletconfig.NoneMemoryReservationPolicy,
	qos.TieredReservation: kubeletconfig.TieredReservationMemoryReservationPolicy,
}

func upstreamPodCgroups(p *v1.Pod) string {
	var out []string
	for _, limits := range []bool{true, false} {
		for _, memory := range []qos.MemoryReservation{qos.NoMemoryQoS, qos.ThrottleOnly, qos.TieredReservation} {
			g := cm.ResourceConfigForPod(p.DeepCopy(), limits, 50000, memory != qos.NoMemoryQoS, reservations[memory])
			pages := map[int64]int64{}
			maps.Copy(pages, g.HugePageLimit)
			period := "-"
			if g.CPUPeriod != nil {
				period = fmt.Sprint(*g.CPUPeriod)
			}
			out = append(out, fmt.Sprintf("%s %s %s %s %v %s %s %s", show(g.CPUShares), show(g.CPUQuota), period, show(g.Memory), pages,
				orDash(g.Unified["memory.min"]), orDash(g.Unified["memory.low"]), orDash(g.Unified["memory.high"])))
		}
	}
	return strings.Join(out, "; ")
}

func show[T any](v *T) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func ourPodCgroups(p *qos.Pod) string {
	var out []string
	for _, limits := range []bool{true, false} {
		for _, memory := range []qos.MemoryReservation{qos.NoMemoryQoS, qos.ThrottleOnly, qos.TieredReservation} {
			g, err := qos.PodCgroup(p, qos.CgroupConfig{PeriodUs: 50000, NoCPUQuota: !limits, Memory: memory})
			if err != nil {
				return err.Error()
			}
			pages := map[int64]int64{}
			for name, bytes := range g.HugePages {
				size := upstreamresource.MustParse(strings.TrimPrefix(name, "hugepages-"))
				pages[size.Value()] += bytes
			}
			out = append(out, fmt.Sprintf("%v %v %v %v %v %v %v %v", g.Shares, g.QuotaUs, g.PeriodUs, g.MemoryBytes, pages, g.MemoryMin, g.MemoryLow, g.MemoryHigh))
		}
	}
	return strings.Join(out, "; ")
}

// cpuCase is a cpu amount in thousandths.
type cpuCase struct {
	Milli  int64 `json:"milli"`
	Period int64 `json:"period"`
}

const differsOverflow = "cgroup parameters saturate"

func cpuSuite() compare.Suite {
	return &compare.Cases[cpuCase]{
		Parts:   []string{"cgroup/shares", "cgroup/quota", "cgroup/weight"},
		Corners: []cpuCase{{0, 100000}, {1, 100000}, {2, 100000}, {10, 100000}, {256000, 100000}, {1 << 62, 100000}, {-5, 100000}, {1000, 1000}, {9223372036854775807, 1000000}},
		Generate: func(r *rand.Rand) cpuCase {
			return cpuCase{int64(r.Uint64()>>1) >> r.IntN(63), pick(r, int64(100000), 1000, 50000, 1000000)}
		},
		Compare: func(c cpuCase, rec *compare.Record) {
			rec.Text("cgroup/shares", fmt.Sprint(cm.MilliCPUToShares(c.Milli)), fmt.Sprint(qos.Shares(c.Milli)))
			rec.Text("cgroup/quota", fmt.Sprint(cm.MilliCPUToQuota(c.Milli, c.Period)), fmt.Sprint(qos.Quota(c.Milli, c.Period)))
			shares := int64(cm.MilliCPUToShares(c.Milli))
			rec.Text("cgroup/weight", fmt.Sprint(cgroups.ConvertCPUSharesToCgroupV2Value(uint64(shares))), fmt.Sprint(qos.WeightQuadratic(shares)))
		},
		Shrink: func(c cpuCase) iter.Seq[cpuCase] {
			return slices.Values([]cpuCase{{c.Milli / 2, c.Period}, {c.Milli - 1, c.Period}})
		},
		Documented: []compare.Difference[cpuCase]{{Differs: differsOverflow, Applies: func(c cpuCase, d compare.Disagreement) bool {
			// Upstream multiplies before it divides.
			return d.Part == "cgroup/shares" && c.Milli > (1<<63-1)/1024 || d.Part == "cgroup/quota" && c.Milli > (1<<63-1)/c.Period
		}}},
	}
}
