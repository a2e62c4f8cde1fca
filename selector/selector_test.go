package selector

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatches(t *testing.T) {
	labels := map[string]string{"app": "web", "tier": "front", "gen": "055", "empty": ""}
	for _, c := range []struct {
		selector string
		want     bool
	}{
		{"", true}, {"<nothing>", false},
		{"app=web", true}, {"app==web", true}, {"app=we", false}, {"ap=web", false},
		{"app!=web", false}, {"app!=db", true}, {"none!=x", true},
		{"app in (db,web)", true}, {"app in (db)", false}, {"none in (,a)", false},
		{"app notin (db,web)", false}, {"app notin (db)", true}, {"none notin (a)", true},
		{"empty", true}, {"empty=", true}, {"none=", false}, {"!empty", false}, {"!none", true}, {"none", false},
		{"gen>54", true}, {"gen>55", false}, {"gen<56", true}, {"gen<055", false}, {"app>1", false}, {"none<1", false},
		{"app=web,tier=front,gen>1,!none", true}, {"app=web,tier=front,gen>1,none", false},
	} {
		s := MustParse(c.selector)
		require.Equal(t, c.want, s.Matches(NewLabels(labels)), c.selector)
		require.Equal(t, c.want, s.MatchesMap(labels), c.selector)
	}
}
