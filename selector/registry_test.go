package selector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// linearMatches is the definition of a registry: try every selector.
func linearMatches(selectors map[int]Selector, labels map[string]string) []int {
	var found []int
	for key, s := range selectors {
		if s.MatchesMap(labels) {
			found = append(found, key)
		}
	}
	slices.Sort(found)
	return found
}

func sorted(keys []int) []int {
	slices.Sort(keys)
	return keys
}

// TestRegistryUnderRandomOperations holds the incremental registry equal to a
// rebuilt one and to trying every selector.
func TestRegistryUnderRandomOperations(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		selectors := map[int]Selector{}
		var r Registry[int]
		for range 1500 {
			key := rng.IntN(100)
			switch rng.IntN(6) {
			case 0:
				_, known := selectors[key]
				require.Equal(t, known, r.Delete(key))
				delete(selectors, key)
			case 1, 2:
				s := randomSelector(rng)
				if rng.IntN(20) == 0 {
					s = Nothing()
				}
				selectors[key] = s
				r.Set(key, s)
			default:
				labels := randomLabels(rng, 8)
				require.Equal(t, linearMatches(selectors, labels), sorted(r.AppendMatches(nil, NewLabels(labels))))
			}
			require.Equal(t, len(selectors), r.Len())
		}
		var rebuilt Registry[int]
		for key, s := range selectors {
			rebuilt.Set(key, s)
			got, ok := r.Selector(key)
			require.True(t, ok)
			require.True(t, got.Equal(s))
		}
		for range 200 {
			before, after := randomLabels(rng, 8), randomLabels(rng, 8)
			was, is := linearMatches(selectors, before), linearMatches(selectors, after)
			require.Equal(t, is, sorted(rebuilt.AppendMatches(nil, NewLabels(after))))
			started, stopped := r.Diff(NewLabels(before), NewLabels(after))
			var wantStarted, wantStopped []int
			for key := range selectors {
				switch a, b := slices.Contains(was, key), slices.Contains(is, key); {
				case !a && b:
					wantStarted = append(wantStarted, key)
				case a && !b:
					wantStopped = append(wantStopped, key)
				}
			}
			require.Equal(t, sorted(wantStarted), sorted(started))
			require.Equal(t, sorted(wantStopped), sorted(stopped))
		}
		for key := range selectors {
			require.True(t, r.Delete(key))
		}
		require.Empty(t, r.pairs)
		require.Empty(t, r.keys)
		require.Empty(t, r.always)
	}
}

func TestRegistryOrderIsThatOfRegistration(t *testing.T) {
	var r Registry[string]
	for _, key := range []string{"z", "m", "a", "q"} {
		r.Set(key, MustParse("app=web"))
	}
	r.Set("m", MustParse("!x"))
	labels := NewLabels(map[string]string{"app": "web"})
	require.Equal(t, []string{"z", "m", "a", "q"}, r.AppendMatches(nil, labels))
}

// tried counts the selectors that a question tries.
func tried(r *Registry[int], labels Labels) int {
	n := len(r.always)
	for _, l := range labels.set.pairs {
		if a := r.pairs[l.pair]; a != nil {
			n += len(a.places)
		}
		if a := r.keys[l.key]; a != nil {
			n += len(a.places)
		}
	}
	return n
}

// TestRegistryAvoidsCommonPairs: every selector asks for release=stable, and
// none of them waits there.
func TestRegistryAvoidsCommonPairs(t *testing.T) {
	var r Registry[int]
	for i := range 1000 {
		r.Set(i, MustParse(fmt.Sprintf("release=stable,app=app-%d", i)))
	}
	require.LessOrEqual(t, tried(&r, NewLabels(map[string]string{"release": "stable", "app": "app-7"})), 3)
}

// TestRegistryReanchors starts with a guess that the questions prove wrong:
// flags that only one selector asks for are on every object, and the app that
// all ask for is on none.
func TestRegistryReanchors(t *testing.T) {
	const n = 50
	var r Registry[int]
	flags := map[string]string{"app": "other"}
	for i := range n {
		r.Set(i, MustParse(fmt.Sprintf("app=rare,flag-%d=on", i)))
		flags[fmt.Sprintf("flag-%d", i)] = "on"
	}
	labels := NewLabels(flags)
	require.GreaterOrEqual(t, tried(&r, labels), n-1) // the first one could not know better
	for range 200 * sampleEvery {
		require.Empty(t, r.AppendMatches(nil, labels))
	}
	require.Zero(t, tried(&r, labels))
	flags["app"] = "rare"
	require.Len(t, r.AppendMatches(nil, NewLabels(flags)), n)
}

func TestZeroRegistry(t *testing.T) {
	var r Registry[string]
	require.Empty(t, r.AppendMatches(nil, NewLabels(map[string]string{"a": "b"})))
	require.False(t, r.Delete("x"))
	_, ok := r.Selector("x")
	require.False(t, ok)
	started, stopped := r.Diff(Labels{}, NewLabels(map[string]string{"a": "b"}))
	require.Empty(t, started)
	require.Empty(t, stopped)
	r.Set("all", Everything())
	r.Set("none", Nothing())
	require.Equal(t, []string{"all"}, r.AppendMatches(nil, Labels{}))
}

func TestRegistryConcurrently(t *testing.T) {
	var r Registry[int]
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 5))
			for range 1000 {
				r.Set(rng.IntN(50), randomSelector(rng))
			}
		})
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 6))
			var keys []int
			for range 2000 {
				keys = r.AppendMatches(keys[:0], NewLabels(randomLabels(rng, 8)))
				r.Diff(NewLabels(randomLabels(rng, 4)), NewLabels(randomLabels(rng, 4)))
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, r.Len(), 50)
}

func TestRegistryAllocatesNothing(t *testing.T) {
	var r Registry[int]
	for i := range 200 {
		r.Set(i, MustParse(fmt.Sprintf("app=nginx-%d,gen>%d", 40+i%4, i)))
	}
	labels := NewLabels(benchLabels)
	keys := make([]int, 0, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() { keys = r.AppendMatches(keys[:0], labels) }))
	require.NotEmpty(t, keys)
}
