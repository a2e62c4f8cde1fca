package selector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The oracle tries every state that can make a difference for small selectors:
// per key absent, empty, each value mentioned, two words never mentioned, and
// numbers at and next to each bound in several spellings.
type universe struct {
	keys   []string
	states map[string][]string // "\x00" is absent
}

const absentState = "\x00"

func universeOf(requirements ...[]Requirement) universe {
	u := universe{states: map[string][]string{}}
	for _, r := range slices.Concat(requirements...) {
		states := append(u.states[r.key], absentState, "", "fresh1", "fresh2")
		for _, v := range r.values {
			states = append(states, v)
			if n, ok := parseInt(v); ok {
				for _, m := range []int64{n - 1, n, n + 1} {
					if m >= 0 {
						states = append(states, fmt.Sprint(m), fmt.Sprint("0", m), fmt.Sprint("00000", m)) // the last is never mentioned
					}
				}
			}
		}
		slices.Sort(states)
		u.states[r.key] = slices.Compact(states)
	}
	for key := range u.states {
		u.keys = append(u.keys, key)
	}
	slices.Sort(u.keys)
	return u
}

// each calls f with every combination of answers that label sets of the
// universe draw from the conjunctions: bit i says that conjunction i matches. A
// conjunction is by definition the AND of its answers per key, so states of a
// key that draw the same answers are tried once.
func (u universe) each(f func(matches uint), conjunctions ...[]Requirement) {
	perKey := make([][]uint, len(u.keys))
	for i, key := range u.keys {
		for _, value := range u.states[key] {
			var answers uint
			for bit, requirements := range conjunctions {
				ok := true
				for _, r := range requirements {
					ok = ok && (r.key != key || r.Matches(value, value != absentState))
				}
				if ok {
					answers |= 1 << bit
				}
			}
			if !slices.Contains(perKey[i], answers) {
				perKey[i] = append(perKey[i], answers)
			}
		}
	}
	var walk func(int, uint)
	walk = func(i int, matches uint) {
		if i == len(u.keys) {
			f(matches)
			return
		}
		for _, answers := range perKey[i] {
			walk(i+1, matches&answers)
		}
	}
	walk(0, 1<<len(conjunctions)-1)
}

var (
	reasonKeys   = []string{"a", "b", "c"}
	reasonValues = []string{"", "v", "w", "5", "05", "6", "007"}
	reasonBounds = []string{"4", "5", "6", "07"}
)

func reasonSelector(rng *rand.Rand) Selector {
	var requirements []Requirement
	for range rng.IntN(4) {
		op := pick(rng, someOps)
		var values []string
		switch op {
		case In, NotIn:
			for range 1 + rng.IntN(3) {
				values = append(values, pick(rng, reasonValues))
			}
		case Equals, DoubleEquals, NotEquals:
			values = []string{pick(rng, reasonValues)}
		case Gt, Lt:
			values = []string{pick(rng, reasonBounds)}
		}
		r, err := NewRequirement(reasonKeys[min(rng.IntN(5), 2)], op, values...)
		if err != nil {
			panic(err)
		}
		requirements = append(requirements, r)
	}
	return New(requirements...)
}

func requireValid(t *testing.T, labels Labels) {
	t.Helper()
	for key, value := range labels.All() {
		require.True(t, ValidKey(key) && ValidValue(value), "%q=%q", key, value)
	}
}

func reasonPairs(t *testing.T) int {
	if testing.Short() || raceDetector {
		return 2_000
	}
	return 100_000
}

func TestReasoningAgainstBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	counts := map[string]int{}
	for range reasonPairs(t) {
		a, b := reasonSelector(rng), reasonSelector(rng)
		ra, _ := a.Requirements()
		rb, _ := b.Requirements()
		simpleA, simpleB := Simplify(a), Simplify(b)
		rs, possible := simpleA.Requirements()
		satisfiable, overlap, implied, equal, same := false, false, true, true, true
		universeOf(ra, rb).each(func(matches uint) {
			inA, inB, inSimple := matches&1 != 0, matches&2 != 0, matches&4 != 0 && possible
			satisfiable = satisfiable || inA
			overlap = overlap || inA && inB
			implied = implied && (!inA || inB)
			equal = equal && inA == inB
			same = same && inA == inSimple
		}, ra, rb, rs)
		require.True(t, same, "%q simplified to %q", a, simpleA)
		count := func(what string, yes bool) {
			if yes {
				counts[what]++
			}
		}

		witness, ok := Satisfiable(a)
		require.Equal(t, satisfiable, ok, "satisfiable %q", a)
		require.Equal(t, satisfiable, len(Contradiction(a)) == 0)
		if ok {
			requireValid(t, witness)
			require.True(t, a.Matches(witness), "%q does not match its witness %q", a, witness)
		} else {
			requireContradiction(t, a)
		}
		count("satisfiable", ok)

		witness, ok = Overlap(a, b)
		require.Equal(t, overlap, ok, "overlap of %q and %q", a, b)
		if ok {
			requireValid(t, witness)
			require.True(t, a.Matches(witness) && b.Matches(witness), "%q, %q: witness %q", a, b, witness)
		}
		count("overlap", ok)

		example, ok := Implies(a, b)
		require.Equal(t, implied, ok, "%q implies %q", a, b)
		if !ok {
			requireValid(t, example)
			require.True(t, a.Matches(example) && !b.Matches(example), "%q, %q: counterexample %q", a, b, example)
		}
		count("implied", ok)

		example, ok = Equivalent(a, b)
		require.Equal(t, equal, ok, "%q equivalent to %q", a, b)
		if !ok {
			require.NotEqual(t, a.Matches(example), b.Matches(example), "%q, %q: example %q", a, b, example)
		}
		count("equal", ok)

		require.Equal(t, equal, simpleA.Equal(simpleB), "%q and %q simplify to %q and %q", a, b, simpleA, simpleB)
		require.Equal(t, satisfiable, !simpleA.IsNothing())
		require.LessOrEqual(t, simpleA.Len(), a.Len(), "%q to %q", a, simpleA)
	}
	for what, n := range counts {
		require.Greater(t, n, reasonPairs(t)/100, what)
		require.Less(t, n, reasonPairs(t), what)
	}
}

// requireContradiction: the requirements named are all on one key, some of
// those of s, and contradict each other.
func requireContradiction(t *testing.T, s Selector) {
	t.Helper()
	core := Contradiction(s)
	require.NotEmpty(t, core)
	for _, r := range core {
		require.Equal(t, core[0].Key(), r.Key())
		require.Contains(t, s.String(), r.String())
	}
	_, ok := Satisfiable(New(core...))
	require.False(t, ok)
}

// TestSpellings is the corner that small universes do not reach: a number has
// many spellings, and only a list of all of them exhausts it.
func TestSpellings(t *testing.T) {
	all := make([]string, 63)
	for i := range all {
		all[i] = strings.Repeat("0", i) + "5"
	}
	five := strings.Join(all, ",")
	butOne := strings.Join(all[:62], ",")

	_, ok := Implies(MustParse("a>4,a<6"), MustParse("a=5"))
	require.False(t, ok)
	_, ok = Implies(MustParse("a=5"), MustParse("a>4,a<6"))
	require.True(t, ok)
	_, ok = Satisfiable(MustParse("a>4,a<6,a notin (" + five + ")"))
	require.False(t, ok)
	require.True(t, Simplify(MustParse("a>4,a<6,a notin ("+five+")")).IsNothing())
	witness, ok := Satisfiable(MustParse("a>4,a<6,a notin (" + butOne + ")"))
	require.True(t, ok)
	require.Equal(t, "a="+all[62], witness.String())
	_, ok = Equivalent(MustParse("a>4,a<6"), MustParse("a in ("+five+")"))
	require.True(t, ok)
	example, ok := Implies(MustParse("a>4,a<6"), MustParse("a in ("+butOne+")"))
	require.False(t, ok)
	require.Equal(t, "a="+all[62], example.String())
	_, ok = Implies(MustParse("a>4,a<9,a notin ("+five+")"), MustParse("a>5"))
	require.True(t, ok)
	_, ok = Implies(MustParse("a>3,a<6,a notin ("+five+")"), MustParse("a<5"))
	require.True(t, ok)
	require.Equal(t, "a>3,a<5", Simplify(MustParse("a>3,a<6,a notin ("+five+")")).String())

	// The ends of int64.
	_, ok = Satisfiable(MustParse("a>9223372036854775807"))
	require.False(t, ok)
	witness, ok = Satisfiable(MustParse("a>9223372036854775806"))
	require.True(t, ok)
	require.Equal(t, "a=9223372036854775807", witness.String())
	_, ok = Satisfiable(MustParse("a<0"))
	require.False(t, ok, "no valid value is negative")
	var last []string
	for i := range 45 {
		last = append(last, strings.Repeat("0", i)+"9223372036854775807")
	}
	_, ok = Satisfiable(MustParse("a>9223372036854775806,a notin (" + strings.Join(last, ",") + ")"))
	require.False(t, ok)
	witness, ok = Satisfiable(MustParse("a>9223372036854775806,a notin (" + strings.Join(last[1:], ",") + ")"))
	require.True(t, ok)
	require.Equal(t, "a=9223372036854775807", witness.String())
}

func TestReasoningAboutNothingAndInvalidLabels(t *testing.T) {
	_, ok := Satisfiable(Nothing())
	require.False(t, ok)
	_, ok = Overlap(Nothing(), Everything())
	require.False(t, ok)
	_, ok = Implies(Nothing(), MustParse("a=1"))
	require.True(t, ok)
	example, ok := Implies(MustParse("a=1"), Nothing())
	require.False(t, ok)
	require.Equal(t, "a=1", example.String())
	_, ok = Equivalent(Nothing(), MustParse("a=1,a=2"))
	require.True(t, ok)
	require.True(t, Simplify(Nothing()).IsNothing())
	require.True(t, Simplify(Everything()).IsEverything())
	// What no valid label set has, no valid label set matches.
	_, ok = Satisfiable(FromMap(map[string]string{"-": "x"}))
	require.False(t, ok)
	_, ok = Satisfiable(FromMap(map[string]string{"a": "-"}))
	require.False(t, ok)
	require.Empty(t, Contradiction(Nothing()))
}

func TestSimplify(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"a=1,a=1", "a=1"}, {"a==1", "a=1"}, {"a in (1)", "a=1"}, {"a in (1,2),a in (2,3)", "a=2"}, {"a,a=1", "a=1"},
		{"a!=1,a notin (2)", "a notin (1,2)"}, {"!a,a!=1", "!a"}, {"a,!a", "<nothing>"}, {"a=1,a=2", "<nothing>"},
		{"a>1,a>3,a<9,a<20", "a>3,a<9"}, {"a>3,a!=x,a!=7,a!=2", "a>3,a!=7"}, {"a in (3,5,x),a>4", "a=5"}, {"a,a!=1", "a,a!=1"},
		{"b=1,a=1", "a=1,b=1"}, {"a>9,a<5", "<nothing>"},
	} {
		require.Equal(t, c.out, Simplify(MustParse(c.in)).String(), c.in)
	}
}

func TestReasoningIsNotQuadratic(t *testing.T) {
	var parts []string
	for i := range 50_000 {
		parts = append(parts, fmt.Sprintf("a!=v%d", i), fmt.Sprintf("k%d=1", i))
	}
	s := MustParse(strings.Join(parts, ","))
	witness, ok := Satisfiable(s)
	require.True(t, ok)
	require.True(t, s.Matches(witness))
	_, ok = Overlap(s, MustParse("a"))
	require.True(t, ok)
	require.Equal(t, 50_001, Simplify(s).Len())
}

func TestExplain(t *testing.T) {
	s := MustParse("app=web,gen>5,tier in (a,b),!old")
	require.Empty(t, s.Explain(NewLabels(map[string]string{"app": "web", "gen": "7", "tier": "a"})))
	var lines []string
	for _, m := range s.Explain(NewLabels(map[string]string{"app": "db", "gen": "x", "old": ""})) {
		lines = append(lines, m.String())
	}
	require.Equal(t, []string{
		`app=web: the label is "db"`,
		`gen>5: the label is "x", which is no integer`,
		`!old: the label is ""`,
		`tier in (a,b): there is no such label`,
	}, lines)
	require.Equal(t, "the selector matches nothing", Nothing().Explain(Labels{})[0].String())
	rng := rand.New(rand.NewPCG(1, 3))
	for range 5000 {
		s, labels := randomSelector(rng), NewLabels(randomLabels(rng, 8))
		require.Equal(t, s.Matches(labels), len(s.Explain(labels)) == 0)
	}
}
