package selector

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/selector"
)

const (
	objectCount   = 100_000
	selectorCount = 10_000
	workloadSeed  = 7
)

// indexRows ask many objects or many selectors. The peer looks at each of
// them, which is all that upstream offers.
func indexRows() []measure.Row {
	var rows []measure.Row
	for _, q := range []struct{ name, text string }{
		{"app", "app=app-42"},
		{"app-tier", "app=app-42,tier=frontend"},
		{"notin", "tier!=cache,!canary"},
		{"gen-gt", "release,gen>50,zone in (zone-1,zone-2)"},
	} {
		rows = append(rows, selectRow(q.name, q.text, "count"), selectRow(q.name, q.text, "iterate"))
	}
	return append(rows, memoryRow(), registryRow("", false), registryRow("/skewed", true))
}

// namedLabels is an object that a query is asked about.
type namedLabels struct {
	name   string
	labels labels.Set
}

// clusterObjects makes pods of 1,000 apps with eight labels each.
func clusterObjects(n int) []namedLabels {
	r := rand.New(rand.NewPCG(workloadSeed, 1))
	tiers := []string{"frontend", "backend", "cache", "db", "batch"}
	objects := make([]namedLabels, n)
	for i := range objects {
		app := r.IntN(1000)
		set := labels.Set{
			"app": fmt.Sprintf("app-%d", app), "tier": pick(r, tiers), "release": "stable",
			"zone": fmt.Sprintf("zone-%d", r.IntN(6)), "gen": fmt.Sprint(r.IntN(100)), "team": fmt.Sprintf("team-%d", app%50),
			"pod-template-hash": fmt.Sprintf("%x", 1000003*(app+1)),
		}
		if r.IntN(10) == 0 {
			set["canary"] = "true"
		} else {
			set["env"] = "prod"
		}
		if r.IntN(4) == 0 {
			delete(set, "release")
			set["track"] = "beta"
		}
		objects[i] = namedLabels{fmt.Sprintf("ns-%d/pod-%d", i%100, i), set}
	}
	return objects
}

func indexOf(objects []namedLabels) *selector.Index[string] {
	var x selector.Index[string]
	for _, o := range objects {
		x.Set(o.name, selector.NewLabels(o.labels))
	}
	return &x
}

func selectRow(name, text, how string) measure.Row {
	return measure.Row{Name: "select/query=" + name + "/" + how, Unit: "ns/op", Open: func() (*measure.Pair, error) {
		upstream, err := labels.Parse(text)
		if err != nil {
			return nil, err
		}
		ours, err := selector.Parse(text)
		if err != nil {
			return nil, err
		}
		objects := clusterObjects(objectCount)
		x := indexOf(objects)
		if err := sameObjects(upstream, ours, objects, x); err != nil {
			return nil, err
		}
		var hitsOurs, hitsUpstream int
		query := func() { hitsOurs = x.Count(ours) }
		if how == "iterate" {
			query = func() { hitsOurs = iterate(x, ours) }
		}
		return &measure.Pair{
			Ours: measure.Loop(func(n int) {
				for range n {
					query()
				}
			}),
			Peer: measure.Loop(func(n int) {
				for range n {
					hitsUpstream = 0
					for i := range objects {
						if upstream.Matches(objects[i].labels) {
							hitsUpstream++
						}
					}
				}
			}),
			Check: func() error {
				if hitsOurs != hitsUpstream || hitsOurs == 0 {
					return fmt.Errorf("ours found %d objects, upstream %d", hitsOurs, hitsUpstream)
				}
				return nil
			},
		}, nil
	}}
}

// iterate stands apart: in a closure that captures much the compiler leaves the
// loop's variables in memory.
func iterate(x *selector.Index[string], s selector.Selector) int {
	hits := 0
	for range x.Snapshot().Select(s) {
		hits++
	}
	return hits
}

// sameObjects compares the two answers name by name.
func sameObjects(upstream labels.Selector, ours selector.Selector, objects []namedLabels, x *selector.Index[string]) error {
	var want []string
	for _, o := range objects {
		if upstream.Matches(o.labels) {
			want = append(want, o.name)
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(x.Select(ours)); !slices.Equal(got, want) {
		return fmt.Errorf("%q selects %d objects of the index, upstream %d or others", ours, len(got), len(want))
	}
	return nil
}

// memoryRow compares the memory of an index with that of the label maps of the
// same objects, which an informer's cache holds anyway; both without the names.
func memoryRow() measure.Row {
	return measure.Row{Name: fmt.Sprintf("memory/objects=%d", objectCount), Unit: "B/object", Open: func() (*measure.Pair, error) {
		var x *selector.Index[string]
		var maps []labels.Set
		objects := clusterObjects(objectCount)
		return &measure.Pair{
			Ours: func() (measure.Sample, error) {
				x = nil
				return heapGrowth(func() { x = indexOf(objects) }), nil
			},
			Peer: func() (measure.Sample, error) {
				maps = nil
				return heapGrowth(func() {
					for _, o := range clusterObjects(objectCount) {
						maps = append(maps, o.labels)
					}
				}), nil
			},
			Check: func() error {
				if x.Len() != len(maps) || x.Len() != objectCount {
					return fmt.Errorf("%d objects in the index, %d maps", x.Len(), len(maps))
				}
				return nil
			},
		}, nil
	}}
}

func heapGrowth(build func()) measure.Sample {
	var before, after runtime.MemStats
	settle := func(m *runtime.MemStats) {
		for range 3 { // the runtime drops unused interned labels in steps
			runtime.GC()
		}
		runtime.ReadMemStats(m)
	}
	settle(&before)
	build()
	settle(&after)
	return measure.Sample{Value: (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / objectCount}
}

// controllerSelector is a selector as workloads have it; skewed, all of them
// ask for release=stable too.
func controllerSelector(r *rand.Rand, skewed bool) string {
	var parts []string
	if skewed {
		parts = append(parts, "release=stable")
	}
	if r.IntN(20) == 0 {
		return strings.Join(append(parts, fmt.Sprintf("team=team-%d", r.IntN(50)), fmt.Sprintf("gen>%d", r.IntN(100))), ",")
	}
	parts = append(parts, fmt.Sprintf("app=app-%d", r.IntN(1000)))
	if r.IntN(2) == 0 {
		parts = append(parts, "tier in (frontend,backend)")
	}
	if r.IntN(3) == 0 {
		parts = append(parts, "!canary")
	}
	if r.IntN(5) == 0 {
		parts = append(parts, fmt.Sprintf("gen>%d", r.IntN(100)))
	}
	return strings.Join(parts, ",")
}

// registryRow asks which of many selectors match one object, a new object each
// time.
func registryRow(suffix string, skewed bool) measure.Row {
	return measure.Row{Name: fmt.Sprintf("registry/selectors=%d%s", selectorCount, suffix), Unit: "ns/op", Open: func() (*measure.Pair, error) {
		r := rand.New(rand.NewPCG(workloadSeed, 2))
		var registry selector.Registry[int]
		var upstream []labels.Selector
		for i := range selectorCount {
			text := controllerSelector(r, skewed)
			theirs, err := labels.Parse(text)
			if err != nil {
				return nil, err
			}
			ours, err := selector.Parse(text)
			if err != nil {
				return nil, err
			}
			upstream = append(upstream, theirs)
			registry.Set(i, ours)
		}
		objects := clusterObjects(1000)
		own := make([]selector.Labels, len(objects))
		for i, o := range objects {
			own[i] = selector.NewLabels(o.labels)
		}
		return registryPair(&registry, upstream, objects, own)
	}}
}

func registryPair(registry *selector.Registry[int], upstream []labels.Selector, objects []namedLabels, own []selector.Labels) (*measure.Pair, error) {
	linear := func(dst []int, set labels.Set) []int {
		for i, s := range upstream {
			if s.Matches(set) {
				dst = append(dst, i)
			}
		}
		return dst
	}
	hits := 0
	for i, o := range objects {
		want := linear(nil, o.labels)
		got := registry.AppendMatches(nil, own[i])
		if !slices.Equal(got, want) {
			return nil, fmt.Errorf("%v: %d selectors match, upstream says %d", o.labels, len(got), len(want))
		}
		hits += len(got)
	}
	if hits == 0 {
		return nil, fmt.Errorf("no selector matches any object")
	}
	var lastOurs, lastUpstream []int
	return &measure.Pair{
		Ours: measure.Loop(func(n int) {
			for i := range n {
				lastOurs = registry.AppendMatches(lastOurs[:0], own[(n-1-i)%len(own)])
			}
		}),
		Peer: measure.Loop(func(n int) {
			for i := range n {
				lastUpstream = linear(lastUpstream[:0], objects[(n-1-i)%len(objects)].labels)
			}
		}),
		Check: func() error {
			if !slices.Equal(lastOurs, lastUpstream) { // both end with the first object
				return fmt.Errorf("ours %v, upstream %v", lastOurs, lastUpstream)
			}
			return nil
		},
	}, nil
}
