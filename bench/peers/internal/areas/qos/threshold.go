package qos

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	upstream "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kubernetes/pkg/kubelet/eviction"
	evictionapi "k8s.io/kubernetes/pkg/kubelet/eviction/api"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
)

// settingsCase is a kubelet's eviction settings and a capacity to apply them to.
type settingsCase struct {
	Hard     map[string]string `json:"hard"`
	Soft     map[string]string `json:"soft"`
	Grace    map[string]string `json:"grace"`
	Reclaim  map[string]string `json:"reclaim"`
	Enforce  bool              `json:"enforce"`
	Capacity int64             `json:"capacity"`
}

const (
	differsNaN      = "a percentage that is not a number is an error"
	differsTooLarge = "minimum reclaims saturate"
)

func thresholdSuite() compare.Suite {
	return &compare.Cases[settingsCase]{
		Parts: []string{"threshold/parse"},
		Corners: []settingsCase{
			{Hard: map[string]string{"memory.available": "0%"}}, {Hard: map[string]string{"memory.available": "100%"}},
			{Hard: map[string]string{"memory.available": "0.0%"}}, {Hard: map[string]string{"memory.available": "NaN%"}},
			{Hard: map[string]string{"memory.available": "5%%"}}, {Hard: map[string]string{"memory.available": "%"}},
			{Hard: map[string]string{"memory.available": "0x1p-2%"}}, {Hard: map[string]string{"memory.available": "1e2%"}},
			{Reclaim: map[string]string{"memory.available": "Inf%"}, Hard: map[string]string{"memory.available": "1"}, Capacity: 1 << 40},
			{Soft: map[string]string{"pid.available": "1k"}, Grace: map[string]string{"pid.available": "0"}},
			{Soft: map[string]string{"pid.available": "1k"}}, {Grace: map[string]string{"pid.available": "-1s"}},
		},
		Generate: randomSettings,
		Compare: func(c settingsCase, rec *compare.Record) {
			rec.Text("threshold/parse", upstreamThresholds(c), ourThresholds(c))
		},
		Shrink: shrinkSettings,
		Documented: []compare.Difference[settingsCase]{
			{Differs: differsNaN, Applies: func(c settingsCase, d compare.Disagreement) bool {
				return c.mentions("nan") && strings.Contains(d.Ours, "want a number")
			}},
			{Differs: differsTooLarge, Applies: func(c settingsCase, d compare.Disagreement) bool {
				return c.mentions("inf") && strings.Contains(d.Ours, strconv.Itoa(math.MaxInt64))
			}},
			{Differs: differsCanonical, Applies: func(c settingsCase, d compare.Disagreement) bool {
				return strings.HasPrefix(d.Ours, "eviction threshold") && strings.HasPrefix(d.Upstream, "eviction threshold")
			}},
		},
	}
}

func (c settingsCase) mentions(text string) bool {
	for _, m := range []map[string]string{c.Hard, c.Soft, c.Reclaim} {
		for _, v := range m {
			if strings.Contains(strings.ToLower(v), text) {
				return true
			}
		}
	}
	return false
}

var signalNames = []string{"memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree",
	"containerfs.available", "containerfs.inodesFree", "pid.available", "allocatableMemory.available"}

func randomSettings(r *rand.Rand) settingsCase {
	amount := func() string {
		if r.IntN(12) == 0 {
			return pick(r, "", "-1", "0", "x", "-5%", "101%", "NaN%", "Inf%", "1e400%", "%", "10 %", "0%", "100%", "0.0%", "+5%", "1_0%", "0x10%")
		}
		return pick(r, "100Mi", "10%", "5%", "1Gi", "15%", "33.333%", "1k", "1500m", "0.1%", "99.99%", "1.500Gi")
	}
	amounts := func(limit int) map[string]string {
		out := map[string]string{}
		for range r.IntN(limit) {
			name := pick(r, signalNames...)
			if r.IntN(30) == 0 {
				name = pick(r, "", "memory", "disk.available", "Memory.available")
			}
			out[name] = amount()
		}
		return out
	}
	c := settingsCase{Hard: amounts(4), Soft: amounts(3), Grace: map[string]string{}, Reclaim: amounts(3), Enforce: r.IntN(2) == 0, Capacity: int64(r.Uint64()>>1) >> r.IntN(60)}
	for name := range c.Soft {
		if r.IntN(15) != 0 {
			c.Grace[name] = pick(r, "30s", "1m", "1h", "0", "1m30s", "500ms")
		}
		if r.IntN(30) == 0 {
			c.Grace[name] = pick(r, "-1s", "x", "", "30")
		}
	}
	return c
}

// upstreamThresholds renders the thresholds, sorted; the error if only one
// setting can be at fault, else just that there is one: upstream reports
// whichever its map iteration meets first.
func upstreamThresholds(c settingsCase) string {
	var enforce []string
	if c.Enforce {
		enforce = []string{"pods"}
	}
	ts, err := eviction.ParseThresholdConfig(enforce, c.Hard, c.Soft, c.Grace, c.Reclaim)
	if err != nil {
		return c.errorText(err)
	}
	capacity := upstream.NewQuantity(c.Capacity, upstream.BinarySI)
	var out []string
	for _, t := range ts {
		reclaim := upstream.Quantity{}
		if t.MinReclaim != nil {
			reclaim = *evictionapi.GetThresholdQuantity(*t.MinReclaim, capacity)
		}
		out = append(out, fmt.Sprintf("%s<%s for %v, reclaim %s, of none %s", t.Signal, uncached(*evictionapi.GetThresholdQuantity(t.Value, capacity)), t.GracePeriod,
			uncached(reclaim), uncached(*evictionapi.GetThresholdQuantity(t.Value, &upstream.Quantity{}))))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func ourThresholds(c settingsCase) string {
	hard := c.Hard
	if hard == nil {
		hard = map[string]string{}
	}
	ts, err := qos.EvictionSettings{Hard: hard, Soft: c.Soft, SoftGracePeriod: c.Grace, MinimumReclaim: c.Reclaim, EnforcePods: c.Enforce}.Thresholds()
	if err != nil {
		setting, ok := err.(*qos.SettingError)
		if !ok {
			return "not a SettingError: " + err.Error()
		}
		if p, ok := setting.Err.(*resource.ParseError); ok {
			return c.errorText(p.Err)
		}
		return c.errorText(setting.Err)
	}
	capacity := resource.NewInt(c.Capacity)
	var out []string
	for _, t := range ts {
		out = append(out, fmt.Sprintf("%s<%s for %v, reclaim %s, of none %s", t.Signal, t.Value.Of(capacity), t.GracePeriod,
			t.MinReclaim.Of(capacity), t.Value.Of(resource.Quantity{})))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func (c settingsCase) errorText(err error) string {
	if strings.Contains(err.Error(), "want a number") {
		return err.Error() // differsNaN
	}
	if len(c.Hard)+len(c.Soft)+len(c.Reclaim) > 1 || len(c.Grace) > 1 {
		return "error"
	}
	return err.Error()
}

func shrinkSettings(c settingsCase) iter.Seq[settingsCase] {
	return func(yield func(settingsCase) bool) {
		for _, field := range []func(*settingsCase) *map[string]string{
			func(c *settingsCase) *map[string]string { return &c.Hard }, func(c *settingsCase) *map[string]string { return &c.Soft },
			func(c *settingsCase) *map[string]string { return &c.Grace }, func(c *settingsCase) *map[string]string { return &c.Reclaim },
		} {
			for _, name := range slices.Sorted(maps.Keys(*field(&c))) {
				smaller := c
				*field(&smaller) = maps.Clone(*field(&c))
				delete(*field(&smaller), name)
				if !yield(smaller) {
					return
				}
			}
		}
	}
}
