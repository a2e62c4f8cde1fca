package selector

import (
	"fmt"
	"testing"
)

var benchSelectors = []string{
	"app=nginx-42",
	"app=nginx-42,tier=frontend,release=stable",
	"app=nginx-42,tier in (backend,frontend,cache),release!=canary,env,!deprecated,gen>50",
}

func BenchmarkParse(b *testing.B) {
	for _, text := range benchSelectors {
		s := MustParse(text)
		if s.String() == "" || !s.MatchesMap(benchLabels) {
			b.Fatal("wrong selector", text)
		}
		b.Run(fmt.Sprintf("reqs=%d", s.Len()), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	labels := NewLabels(benchLabels)
	for _, text := range benchSelectors {
		s := MustParse(text)
		if !s.Matches(labels) {
			b.Fatal("wrong answer", text)
		}
		b.Run(fmt.Sprintf("reqs=%d/labels=compiled", s.Len()), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Matches(labels)
			}
		})
		b.Run(fmt.Sprintf("reqs=%d/labels=map", s.Len()), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.MatchesMap(benchLabels)
			}
		})
	}
}

func BenchmarkNodeMatch(b *testing.B) {
	labels := NewLabels(benchLabels)
	m, err := CompileNodeSelector(twoTerms)
	if err != nil || !m.Matches("node-1", labels) {
		b.Fatal("wrong answer", err)
	}
	b.Run("terms=2", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Matches("node-1", labels)
		}
	})
}

func BenchmarkNewLabels(b *testing.B) {
	if NewLabels(benchLabels).Len() != len(benchLabels) {
		b.Fatal("wrong set")
	}
	b.Run("labels=8", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			NewLabels(benchLabels)
		}
	})
}

// benchIndex holds n objects of n/100 apps.
func benchIndex(n int) *Index[int] {
	var x Index[int]
	for i := range n {
		x.Set(i, NewLabels(map[string]string{
			"app": fmt.Sprint("app-", i%(n/100)), "tier": fmt.Sprint("tier-", i%5), "gen": fmt.Sprint(i % 100), "zone": fmt.Sprint("zone-", i%6),
		}))
	}
	return &x
}

func BenchmarkIndex(b *testing.B) {
	const n = 20_000
	x := benchIndex(n)
	for _, q := range []struct {
		text string
		want int
	}{{"app=app-7", 100}, {"app=app-7,tier=tier-2", 100}, {"tier!=tier-1", n / 5 * 4}, {"gen>49,tier=tier-1", n / 10}} {
		s := MustParse(q.text)
		if got := x.Count(s); got != q.want {
			b.Fatalf("%q matches %d, want %d", q.text, got, q.want)
		}
		b.Run("objects=20000/do=count/query="+q.text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.Count(s)
			}
		})
		b.Run("objects=20000/do=iterate/query="+q.text, func(b *testing.B) {
			b.ReportAllocs()
			hits := 0
			for b.Loop() {
				for range x.Select(s) {
					hits++
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(hits), "ns/hit")
		})
	}
	relabel := []Labels{NewLabels(map[string]string{"app": "app-1", "gen": "5"}), NewLabels(map[string]string{"app": "app-2", "gen": "6"})}
	b.Run("objects=20000/do=relabel", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			x.Set(i%n, relabel[i/n%2])
		}
	})
}

func BenchmarkRegistry(b *testing.B) {
	var r Registry[int]
	for i := range 10_000 {
		r.Set(i, MustParse(fmt.Sprintf("release=stable,app=app-%d,gen>%d", i%1000, i%50)))
	}
	labels := NewLabels(map[string]string{"release": "stable", "app": "app-7", "gen": "60", "zone": "a"})
	if got := len(r.AppendMatches(nil, labels)); got != 10 {
		b.Fatal("wrong answer", got)
	}
	var keys []int
	b.Run("selectors=10000/hits=10", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			keys = r.AppendMatches(keys[:0], labels)
		}
	})
}

// BenchmarkRegistryOfExclusions is the worst case: nothing that the labels have
// tells which selectors to leave out, so that each is tried.
func BenchmarkRegistryOfExclusions(b *testing.B) {
	var r Registry[int]
	for i := range 10_000 {
		r.Set(i, MustParse(fmt.Sprintf("app!=app-%d,!canary", i%1000)))
	}
	var keys []int
	for _, want := range []int{9990, 0} {
		set := map[string]string{"release": "stable", "app": "app-7", "gen": "60", "zone": "a"}
		if want == 0 {
			set["canary"] = "true"
		}
		labels := NewLabels(set)
		if got := len(r.AppendMatches(nil, labels)); got != want {
			b.Fatal("wrong answer", got)
		}
		b.Run(fmt.Sprintf("selectors=10000/hits=%d", want), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				keys = r.AppendMatches(keys[:0], labels)
			}
		})
	}
}

func BenchmarkReason(b *testing.B) {
	x, y := MustParse(benchSelectors[2]), MustParse("app in (nginx-42,db),gen<90,zone notin (a,b)")
	if _, ok := Overlap(x, y); !ok {
		b.Fatal("wrong answer")
	}
	b.Run("do=overlap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Overlap(x, y)
		}
	})
	b.Run("do=simplify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Simplify(x)
		}
	})
}
