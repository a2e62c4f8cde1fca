package selector

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var benchLabels = map[string]string{
	"app": "nginx-42", "tier": "frontend", "release": "stable", "env": "prod",
	"zone": "zone-b", "gen": "55", "team": "team-7", "pod-template-hash": "6d5f7c9b8c",
}

func TestMatchingAllocatesNothing(t *testing.T) {
	labels := NewLabels(benchLabels)
	for _, text := range []string{
		"", "<nothing>", "app=nginx-42", "app!=x", "tier in (a,b,frontend)", "tier notin (a,b)", "env", "!none", "gen>50", "gen<60", "app>5",
		"app=nginx-42,tier in (backend,frontend,cache),release!=canary,env,!deprecated,gen>50",
	} {
		s := MustParse(text)
		require.Zero(t, testing.AllocsPerRun(100, func() { s.Matches(labels) }), text)
		require.Zero(t, testing.AllocsPerRun(100, func() { s.MatchesMap(benchLabels) }), text)
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { labels.Lookup("gen") }))
	m, err := CompileNodeSelector(twoTerms)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { m.Matches("node-1", labels) }))
}

func TestCountingAllocatesNothing(t *testing.T) {
	x := benchIndex(2000)
	for _, text := range []string{"", "app=app-7", "app!=app-7", "app,!none,tier=tier-2,zone!=zone-1"} {
		s := MustParse(text)
		require.Zero(t, testing.AllocsPerRun(100, func() { x.Count(s) }), text)
	}
}

// TestParseAllocations holds once the pairs are known to the process; a pair
// seen for the first time costs its registration.
func TestParseAllocations(t *testing.T) {
	for text, most := range map[string]float64{
		"":                                     0,
		"app=nginx":                            1,
		"app=nginx,tier=frontend,release=prod": 1,
		"app=nginx-42,tier in (backend,frontend,cache),release!=canary,env,!deprecated,gen>50": 2,
	} {
		keep := MustParse(text)
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { Parse(text) }), most, text)
		require.False(t, keep.IsNothing())
	}
}
