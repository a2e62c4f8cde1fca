package selector

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// plainMatches is the definition of a selector: every requirement holds.
func plainMatches(s Selector, labels map[string]string) bool {
	requirements, ok := s.Requirements()
	for _, r := range requirements {
		value, present := labels[r.Key()]
		ok = ok && r.Matches(value, present)
	}
	return ok
}

// Small alphabets make keys collide, values repeat, and bounds be met.
var (
	someKeys   = []string{"a", "b", "app", "tier", "gen", "app.kubernetes.io/name", "app.kubernetes.io/part-of", "x-1", "x-2"}
	someValues = []string{"", "a", "b", "5", "05", "6", "7", "-5", "+5", "5.0", "9223372036854775807", "9223372036854775808", "web", "x-1"}
	someOps    = []Operator{In, NotIn, Equals, DoubleEquals, NotEquals, Exists, DoesNotExist, Gt, Lt}
)

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

func randomRequirement(rng *rand.Rand) Requirement {
	for {
		op := pick(rng, someOps)
		var values []string
		switch op {
		case In, NotIn:
			for range 1 + rng.IntN(4) {
				values = append(values, pick(rng, someValues))
			}
		case Equals, DoubleEquals, NotEquals, Gt, Lt:
			values = []string{pick(rng, someValues)}
		}
		if r, err := NewRequirement(pick(rng, someKeys), op, values...); err == nil {
			return r
		}
	}
}

func randomSelector(rng *rand.Rand) Selector {
	requirements := make([]Requirement, rng.IntN(5))
	for i := range requirements {
		requirements[i] = randomRequirement(rng)
	}
	return New(requirements...)
}

func randomLabels(rng *rand.Rand, sizeMax int) map[string]string {
	labels := make(map[string]string)
	for range rng.IntN(sizeMax + 1) {
		key := pick(rng, someKeys)
		if rng.IntN(3) == 0 {
			key = fmt.Sprintf("key-%d", rng.IntN(64))
		}
		labels[key] = pick(rng, someValues)
	}
	return labels
}

func TestMatchesEqualsPlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for range 60_000 {
		s, labels := randomSelector(rng), randomLabels(rng, 24)
		want := plainMatches(s, labels)
		require.Equal(t, want, s.Matches(NewLabels(labels)), "%s on %v", s, labels)
		require.Equal(t, want, s.MatchesMap(labels), "%s on %v", s, labels)
		if want {
			matched++
		}
	}
	require.Greater(t, matched, 10_000)
	require.Less(t, matched, 50_000)
}

func TestLongListsMatchLikePlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := 1; n < 3*scanMax; n++ {
		values := make([]string, n)
		for i := range values {
			values[i] = fmt.Sprint(rng.IntN(2 * n))
		}
		for _, op := range []Operator{In, NotIn} {
			r, err := NewRequirement("a", op, values...)
			require.NoError(t, err)
			s := New(r)
			for v := range 2 * n {
				labels := map[string]string{"a": fmt.Sprint(v), "b": "1"}
				require.Equal(t, plainMatches(s, labels), s.Matches(NewLabels(labels)))
				require.Equal(t, plainMatches(s, labels), s.MatchesMap(labels))
			}
		}
	}
}

// TestTagCollisions gives every label the same tag as the key asked for, by
// search, so that matching must tell them apart by comparing.
func TestTagCollisions(t *testing.T) {
	want := keyTag("target")
	var colliding []string
	for i := 0; len(colliding) < 20; i++ {
		if key := fmt.Sprintf("k%d", i); keyTag(key) == want {
			colliding = append(colliding, key)
		}
	}
	for n := range colliding {
		labels := map[string]string{}
		for _, key := range colliding[:n] {
			labels[key] = "1"
		}
		check := func(text string, match bool) {
			require.Equal(t, match, MustParse(text).Matches(NewLabels(labels)), "%s with %d colliding", text, n)
		}
		check("target", false)
		check("!target", true)
		check("target=1", false)
		check("target!=1", true)
		check("target in (1,2)", false)
		check("target notin (1,2)", true)
		check("target>0", false)
		labels["target"] = "1"
		check("target", true)
		check("!target", false)
		check("target=1", true)
		check("target!=1", false)
		check("target!=2", true)
		check("target in (1,2)", true)
		check("target notin (1,2)", false)
		check("target>0", true)
	}
}

func TestParsePrintRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 20_000 {
		s := randomSelector(rng)
		again, err := Parse(s.String())
		require.NoError(t, err, s.String())
		third, err := Parse(again.String())
		require.NoError(t, err, again.String())
		require.True(t, again.Equal(third), s.String())
		labels := randomLabels(rng, 12)
		require.Equal(t, s.MatchesMap(labels), again.MatchesMap(labels), s.String())
	}
}

func TestLabelSelectorJSONMeansTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	names := map[Operator]string{In: "In", NotIn: "NotIn", Exists: "Exists", DoesNotExist: "DoesNotExist"}
	for range 10_000 {
		ls := LabelSelector{MatchLabels: map[string]string{}}
		var requirements []Requirement
		for range rng.IntN(4) {
			r := randomRequirement(rng)
			name, ok := names[r.Operator()]
			if !ok {
				continue
			}
			requirements = append(requirements, r)
			ls.MatchExpressions = append(ls.MatchExpressions, LabelSelectorRequirement{r.Key(), name, r.Values()})
		}
		data, err := json.Marshal(ls)
		require.NoError(t, err)
		var decoded LabelSelector
		require.NoError(t, json.Unmarshal(data, &decoded))
		s, err := Compile(&decoded)
		require.NoError(t, err)
		require.Equal(t, New(requirements...).String(), s.String())
	}
}
