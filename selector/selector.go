package selector

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// Selector is a compiled conjunction of requirements: a set of labels matches
// when every requirement holds. It is immutable, safe for concurrent use, and
// a small value to be passed by value. The zero Selector is Nothing, so that a
// selector somebody forgot to set selects no object instead of all of them.
type Selector struct {
	clauses    []clause // in the order of evaluation; clause.pos gives the printed order
	selectable bool     // false only for Nothing
}

// Everything matches every set of labels, the empty one included.
func Everything() Selector { return Selector{selectable: true} }

// Nothing matches no set of labels, and stays Nothing under Add. It prints as
// an explicit contradiction in a form of its own, which Parse reads back.
//
// Differs: upstream prints its nothing-selector as "", which parses as
// everything.
func Nothing() Selector { return Selector{} }

// nothingText is how Nothing prints. It must not be a valid selector for
// upstream, lest it select anything there: '<' is no key and '>' no operator.
const nothingText = "<nothing>"

// New compiles the conjunction of requirements; of none it is Everything.
// Invalid (zero) requirements match nothing.
func New(requirements ...Requirement) Selector {
	return compile(slices.Clone(requirements))
}

// FromMap is the selector that wants every label of m with exactly that value:
// a Service's selector, a pod's nodeSelector. As upstream does for those, it
// validates nothing; nil and empty maps give Everything.
func FromMap(m map[string]string) Selector {
	requirements := make([]Requirement, 0, len(m))
	for key, value := range m {
		requirements = append(requirements, Requirement{key, Equals, []string{value}})
	}
	return compile(requirements)
}

// FromMapValidated is FromMap with keys and values checked; the error is that
// of the first faulty label in key order.
func FromMapValidated(m map[string]string) (Selector, error) {
	requirements, err := equalities(m)
	if err != nil {
		return Nothing(), err
	}
	return compile(requirements), nil
}

// equalities makes a checked Equals requirement of each entry, in key order.
func equalities(m map[string]string) ([]Requirement, error) {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	requirements := make([]Requirement, 0, len(m))
	for _, key := range keys {
		r, err := NewRequirement(key, Equals, m[key])
		if err != nil {
			return nil, err
		}
		requirements = append(requirements, r)
	}
	return requirements, nil
}

// compile owns requirements.
func compile(requirements []Requirement) Selector {
	sortByKey(requirements)
	if len(requirements) == 0 {
		return Everything()
	}
	clauses := make([]clause, len(requirements))
	for i, r := range requirements {
		clauses[i] = clauseOf(r)
	}
	return assemble(clauses)
}

// assemble takes clauses in printed order, owns them, and puts them into the
// order of evaluation: what rejects most objects for the least work goes first.
func assemble(clauses []clause) Selector {
	for i := range clauses {
		clauses[i].pos = uint32(i)
	}
	if len(clauses) > 1 {
		sortClauses(clauses)
	}
	return Selector{clauses: clauses, selectable: true}
}

// sortByKey orders requirements for printing. Upstream sorts with sort.Sort,
// which is not stable; with the same algorithm even long lists with repeated
// keys print alike.
func sortByKey(requirements []Requirement) { sort.Sort(byKey(requirements)) }

type byKey []Requirement

func (a byKey) Len() int           { return len(a) }
func (a byKey) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a byKey) Less(i, j int) bool { return a[i].key < a[j].key }

// Add returns the conjunction of s and more requirements; s is unchanged, and
// Nothing stays Nothing.
func (s Selector) Add(requirements ...Requirement) Selector {
	if !s.selectable {
		return s
	}
	all, _ := s.Requirements()
	return compile(append(all, requirements...))
}

// Matches reports whether every requirement holds for labels.
func (s Selector) Matches(labels Labels) bool {
	set := labels.set
	if set == nil {
		return s.matchesEmpty()
	}
	for i := range s.clauses {
		c := &s.clauses[i]
		hits := equalBytes(set.first, c.tags)
		if hits&(hits-1) != 0 || set.rest != nil {
			// Several candidates: keys whose tags collide, or more than eight labels.
			if !c.matchesAmong(set) {
				return false
			}
			continue
		}
		if hits == 0 {
			if !c.absentOK {
				return false
			}
			continue
		}
		// Only this label can have the key: so it is nearly always.
		at := slot(hits)
		candidate := &set.pairs[at]
		var ok bool
		switch c.eval {
		case Equals:
			ok = candidate.pair == c.label
		case NotEquals:
			ok = candidate.pair != c.label
		case Exists:
			ok = candidate.key == c.keyID
		case DoesNotExist:
			ok = candidate.key != c.keyID
		case Gt:
			ok = candidate.key == c.keyID && set.isInt>>at&1 != 0 && set.ints[at] > c.bound
		case Lt:
			ok = candidate.key == c.keyID && set.isInt>>at&1 != 0 && set.ints[at] < c.bound
		default: // In and NotIn with several values
			ok = c.lists(candidate.pair) != c.absentOK
		}
		if !ok {
			return false
		}
	}
	return s.selectable
}

func (s Selector) matchesEmpty() bool {
	for i := range s.clauses {
		if !s.clauses[i].matchesValue("", false) {
			return false
		}
	}
	return s.selectable
}

// MatchesMap is Matches on a plain map, for one-off questions.
func (s Selector) MatchesMap(labels map[string]string) bool {
	for i := range s.clauses {
		c := &s.clauses[i]
		value, present := labels[c.key]
		if !c.matchesValue(value, present) {
			return false
		}
	}
	return s.selectable
}

// IsEverything reports whether s has no requirement and so matches every set.
func (s Selector) IsEverything() bool { return s.selectable && len(s.clauses) == 0 }

// IsNothing reports whether s is Nothing. A selector that merely contradicts
// itself is not; Satisfiable decides that.
func (s Selector) IsNothing() bool { return !s.selectable }

// Len is the number of requirements.
func (s Selector) Len() int { return len(s.clauses) }

// Requirements returns the requirements in printed order: sorted by key. ok is
// false for Nothing, which no list of requirements expresses.
func (s Selector) Requirements() (requirements []Requirement, ok bool) {
	if len(s.clauses) == 0 {
		return nil, s.selectable
	}
	requirements = make([]Requirement, len(s.clauses))
	for i := range s.clauses {
		requirements[s.clauses[i].pos] = s.clauses[i].requirement()
	}
	return requirements, true
}

// String prints the selector so that Parse reads it back: requirements sorted
// by key and joined by commas, "" for Everything and "<nothing>" for Nothing.
func (s Selector) String() string {
	if !s.selectable {
		return nothingText
	}
	requirements, _ := s.Requirements()
	var b strings.Builder
	size := 0
	for _, r := range requirements {
		size += len(r.key) + len(" notin (),")
		for _, v := range r.values {
			size += len(v) + 1
		}
	}
	b.Grow(size)
	for i, r := range requirements {
		if i > 0 {
			b.WriteByte(',')
		}
		r.print(&b)
	}
	return b.String()
}

// RequiresExactMatch returns the value that s demands of the label key, when
// the first requirement on that key demands a single one. Like upstream's, it
// may miss one (a in (1,2),a=1) but never names a wrong one.
func (s Selector) RequiresExactMatch(key string) (value string, found bool) {
	var first *clause
	for i := range s.clauses {
		if c := &s.clauses[i]; c.key == key && (first == nil || c.pos < first.pos) {
			first = c
		}
	}
	if first == nil || first.op != In && first.op != Equals && first.op != DoubleEquals || !first.single {
		return "", false
	}
	return first.label.Value().value, true
}

// Equal reports whether both selectors have the same requirements in the same
// order. Equivalent decides whether they select the same objects.
func (s Selector) Equal(other Selector) bool {
	a, okA := s.Requirements()
	b, okB := other.Requirements()
	return okA == okB && slices.EqualFunc(a, b, Requirement.Equal)
}

// evaluationRanks is one above the highest evaluationRank.
const evaluationRanks = 5

// evaluationRank puts what is selective and cheap first. The order cannot
// change a result: the clauses are pure.
func (o Operator) evaluationRank() int {
	switch o {
	case Equals, DoubleEquals:
		return 0
	case In:
		return 1
	case Exists, DoesNotExist:
		return 2
	case Gt, Lt:
		return 3
	}
	return 4
}

func sortClauses(clauses []clause) {
	if len(clauses) > 12 {
		slices.SortStableFunc(clauses, func(a, b clause) int { return cmp.Compare(a.op.evaluationRank(), b.op.evaluationRank()) })
		return
	}
	for i := 1; i < len(clauses); i++ {
		for j := i; j > 0 && clauses[j].op.evaluationRank() < clauses[j-1].op.evaluationRank(); j-- {
			clauses[j], clauses[j-1] = clauses[j-1], clauses[j]
		}
	}
}
