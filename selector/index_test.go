package selector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// linear is the definition of an index: look at every object.
func linear(objects map[int]map[string]string, s Selector) []int {
	var found []int
	for key, labels := range objects {
		if s.MatchesMap(labels) {
			found = append(found, key)
		}
	}
	slices.Sort(found)
	return found
}

func requireSelects(t *testing.T, objects map[int]map[string]string, snapshot Snapshot[int], s Selector) {
	t.Helper()
	want := linear(objects, s)
	got := slices.Sorted(snapshot.Select(s))
	require.Equal(t, want, got, s.String())
	require.Equal(t, len(want), snapshot.Count(s), s.String())
}

func TestSelectStopsWhenTold(t *testing.T) {
	var x Index[int]
	for i := range 2000 {
		x.Set(i, NewLabels(map[string]string{"half": fmt.Sprint(i % 2)}))
	}
	for _, text := range []string{"", "half=1"} {
		n := 0
		for range x.Select(MustParse(text)) {
			if n++; n == 700 {
				break
			}
		}
		require.Equal(t, 700, n)
	}
}

// TestIndexUnderRandomOperations holds the incremental index equal to a rebuilt
// one and to the linear scan, and snapshots equal to the state they are of.
func TestIndexUnderRandomOperations(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		objects := map[int]map[string]string{}
		var x Index[int]
		type past struct {
			objects  map[int]map[string]string
			snapshot Snapshot[int]
		}
		var pasts []past
		for step := range 600 {
			key := rng.IntN(80)
			if rng.IntN(4) == 0 {
				_, known := objects[key]
				require.Equal(t, known, x.Delete(key))
				delete(objects, key)
			} else {
				labels := randomLabels(rng, 6)
				objects[key] = labels
				x.Set(key, NewLabels(labels))
			}
			require.Equal(t, len(objects), x.Len())
			if step%50 == 0 {
				copied := map[int]map[string]string{}
				for k, v := range objects {
					copied[k] = v
				}
				pasts = append(pasts, past{copied, x.Snapshot()})
			}
			s := randomSelector(rng)
			require.Equal(t, len(linear(objects, s)), x.Count(s), s.String())
			if step%10 == 0 {
				requireSelects(t, objects, x.Snapshot(), s)
			}
		}
		var rebuilt Index[int]
		for key, labels := range objects {
			rebuilt.Set(key, NewLabels(labels))
			got, ok := x.Labels(key)
			require.True(t, ok)
			require.True(t, got.Equal(NewLabels(labels)))
		}
		for range 200 {
			s := randomSelector(rng)
			requireSelects(t, objects, x.Snapshot(), s)
			requireSelects(t, objects, rebuilt.Snapshot(), s)
			p := pick(rng, pasts)
			requireSelects(t, p.objects, p.snapshot, s)
		}
	}
}

// TestIndexAcrossChunks has enough objects for several chunks, lists and
// bitmaps, and shrinks back to nothing.
func TestIndexAcrossChunks(t *testing.T) {
	const n = 2*idsPerChunk + 77
	rng := rand.New(rand.NewPCG(2, 3))
	objects := map[int]map[string]string{}
	var x Index[int]
	for i := range n {
		labels := map[string]string{
			"unique": fmt.Sprint(i), "half": fmt.Sprint(i % 2), "gen": fmt.Sprint(rng.IntN(300) - 100),
			"rare": fmt.Sprint(i % 5000), "third": fmt.Sprint(i % 3),
		}
		if i%7 == 0 {
			labels["seventh"] = ""
		}
		objects[i] = labels
		x.Set(i, NewLabels(labels))
	}
	selectors := []Selector{
		Everything(), Nothing(), MustParse("unique=5"), MustParse("unique!=5"), MustParse("half=1,third=2"), MustParse("half=1,rare=4"),
		MustParse("rare in (1,2,3,4999),!seventh"), MustParse("seventh,third notin (0,1)"), MustParse("gen>50"), MustParse("gen<50"),
		MustParse("gen>50,gen<52,half=0"), MustParse("unique>40000"), MustParse("none"), MustParse("!none"), MustParse("gen>9223372036854775807"),
		MustParse("none>1"), MustParse("seventh>1"), MustParse("unique<0"),
	}
	check := func() {
		t.Helper()
		snapshot := x.Snapshot()
		for _, s := range selectors {
			requireSelects(t, objects, snapshot, s)
		}
	}
	check()
	early := x.Snapshot()
	wantEarly := early.Count(MustParse("half=1,third=2"))
	for i := range n {
		if i%100 != 3 {
			require.True(t, x.Delete(i))
			delete(objects, i)
		}
	}
	check()
	require.Equal(t, wantEarly, early.Count(MustParse("half=1,third=2")))
	require.Equal(t, n, early.Len())
	for i := range n {
		x.Delete(i)
		delete(objects, i)
	}
	check()
	require.Zero(t, x.Len())
}

// TestIndexRenumbers churns through labels that never come back.
func TestIndexRenumbers(t *testing.T) {
	var x Index[int]
	objects := map[int]map[string]string{}
	var first *dictionary
	for round := range 60 {
		for i := range 100 {
			labels := map[string]string{"hash": fmt.Sprintf("h-%d-%d", round, i), "n": fmt.Sprint(round*100 + i), "app": fmt.Sprint(i % 5)}
			objects[i] = labels
			x.Set(i, NewLabels(labels))
			if first == nil {
				first = x.view.dict
			}
		}
		require.Equal(t, len(objects), x.Len())
		requireSelects(t, objects, x.Snapshot(), MustParse(fmt.Sprintf("hash=h-%d-3", round)))
		requireSelects(t, objects, x.Snapshot(), MustParse(fmt.Sprintf("n>%d,app in (1,2)", round*100+50)))
	}
	require.NotSame(t, first, x.view.dict)
	require.Less(t, len(x.view.dict.pairs), 10_000)
	// The count of unused numbers is what the postings say.
	unused := 0
	for no, label := range x.view.dict.pairs {
		if label.key != nil && x.view.posting(uint32(no)).n == 0 {
			unused++
		}
	}
	require.Equal(t, unused, x.unused)
}

func TestIndexSetOfEqualLabelsChangesNothing(t *testing.T) {
	var x Index[string]
	labels := NewLabels(map[string]string{"a": "1"})
	x.Set("k", labels)
	x.Snapshot()
	before := x.shared
	x.Set("k", NewLabels(labels.Map()))
	require.Same(t, before, x.shared)
	x.Set("k", Labels{})
	require.Nil(t, x.shared)
	require.Equal(t, []string{"k"}, slices.Collect(x.Select(MustParse("!a"))))
}

func TestZeroIndexAndSnapshot(t *testing.T) {
	var x Index[string]
	require.Zero(t, x.Count(Everything()))
	require.False(t, x.Delete("k"))
	require.Empty(t, slices.Collect(Snapshot[string]{}.Select(Everything())))
	_, ok := x.Labels("k")
	require.False(t, ok)
}

// TestIndexReadersAndWriters is for the race detector, and checks that a
// snapshot never changes while others write.
func TestIndexReadersAndWriters(t *testing.T) {
	var x Index[int]
	for i := range 500 {
		x.Set(i, NewLabels(map[string]string{"v": "0", "i": fmt.Sprint(i)}))
	}
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 9))
			for range 2000 {
				x.Set(rng.IntN(500), NewLabels(map[string]string{"v": fmt.Sprint(rng.IntN(3)), "i": fmt.Sprint(rng.IntN(5000)), fmt.Sprint("k", rng.IntN(40)): ""}))
			}
		})
	}
	var faults sync.Map
	for range 2 {
		wg.Go(func() {
			for range 200 {
				s := x.Snapshot()
				total := 0
				for _, text := range []string{"v=0", "v=1", "v=2"} {
					total += s.Count(MustParse(text))
				}
				if n := len(slices.Collect(s.Select(MustParse("v,i<99999")))); n != 500 || total != 500 {
					faults.Store(fmt.Sprint(n, total), true)
				}
				x.Count(MustParse("i>100,!k3"))
			}
		})
	}
	wg.Wait()
	faults.Range(func(k, _ any) bool { t.Error(k); return true })
}

// An iterator of the index is a query: each loop over it sees the present.
func TestIndexSelectIsLive(t *testing.T) {
	var x Index[string]
	x.Set("a", NewLabels(map[string]string{"k": "v"}))
	live, frozen := x.Select(MustParse("k=v")), x.Snapshot().Select(MustParse("k=v"))
	x.Set("b", NewLabels(map[string]string{"k": "v"}))
	require.Equal(t, []string{"a", "b"}, slices.Collect(live))
	require.Equal(t, []string{"a"}, slices.Collect(frozen))
	for range live { // writing in the loop neither deadlocks nor shows
		x.Set("c", NewLabels(map[string]string{"k": "v"}))
	}
	require.Equal(t, []string{"a", "b", "c"}, slices.Collect(live))
}
