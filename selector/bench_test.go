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
