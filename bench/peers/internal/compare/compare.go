// Package compare feeds generated cases to upstream's code and to ours and
// counts where the two disagree. An Area belongs to one package of orchcore; it
// has suites; a suite makes cases of one Go type and checks one or more parts of
// each. Everything is decided by the seed: the same seed, area and count give
// the same cases on every machine.
package compare

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime/debug"
	"strings"
)

// Area is what one package of orchcore is compared in.
type Area struct {
	Name   string  // the value of -area
	Doc    string  // path, from the root module, of the doc.go whose Differs: lines count as documented
	Suites []Suite // run in this order
}

// Suite is a Cases of any case type.
type Suite interface {
	run(opts Options) []Row
	documented() []string
}

// Cases describes how one kind of case is made, compared and made smaller.
type Cases[C any] struct {
	// Parts names what Compare checks, in the order of the printed rows. The
	// suite goes on until each of them was checked Options.Cases times.
	Parts []string

	// Corners are the hand-made cases; they run before any generated one.
	Corners []C

	// Generate makes one case. It must draw from r alone.
	Generate func(r *rand.Rand) C

	// Compare runs both sides on c and records what each says. A panic in it
	// counts as a difference in the first part. It must leave c as it was.
	Compare func(c C, rec *Record)

	// Shrink yields cases simpler than c, the most drastic ones first. It must
	// not change c. Nil means that the cases are small enough already.
	Shrink func(c C) iter.Seq[C]

	// Documented lists the classes of known, wanted differences.
	Documented []Difference[C]
}

// Difference is a class of differences that the package's doc.go announces.
// Applies sees the case and both answers and must be narrow enough that no
// other difference can hide behind it.
type Difference[C any] struct {
	Differs string // words of the Differs: line in doc.go, as they stand there
	Applies func(c C, d Disagreement) bool
}

// Disagreement is one part of one case in which the two sides gave different answers.
type Disagreement struct {
	Part     string
	Upstream string
	Ours     string
}

// Record collects what Compare observes on one case.
type Record struct {
	counts        map[string]int
	disagreements []Disagreement
	parts         []string
}

// Text records the two answers of one check as texts; different texts disagree.
func (rec *Record) Text(part, upstream, ours string) {
	rec.count(part)
	if upstream != ours {
		rec.disagreements = append(rec.disagreements, Disagreement{part, upstream, ours})
	}
}

// Check records one check whose answers are worth rendering only when they differ.
func (rec *Record) Check(part string, equal bool, show func() (upstream, ours string)) {
	rec.count(part)
	if !equal {
		upstream, ours := show()
		rec.disagreements = append(rec.disagreements, Disagreement{part, upstream, ours})
	}
}

func (rec *Record) count(part string) {
	if _, known := rec.counts[part]; !known {
		panic(fmt.Sprintf("compare: part %q is not one of the suite's parts %q", part, rec.parts))
	}
	rec.counts[part]++
}

// observe runs Compare on one case. An unknown part is the area's own mistake
// and still panics; what the compared code panics with becomes a disagreement.
func (s *Cases[C]) observe(c C) *Record {
	rec := &Record{counts: map[string]int{}, parts: s.Parts}
	for _, p := range s.Parts {
		rec.counts[p] = 0
	}
	func() {
		defer func() {
			if p := recover(); p != nil {
				if text, ok := p.(string); ok && strings.HasPrefix(text, "compare: ") {
					panic(p)
				}
				rec.counts[s.Parts[0]]++
				rec.disagreements = append(rec.disagreements,
					Disagreement{s.Parts[0], "no panic", fmt.Sprintf("panic: %v\n%s", p, debug.Stack())})
			}
		}()
		s.Compare(c, rec)
	}()
	return rec
}

// class returns the index of the documented class that covers d, or -1.
func (s *Cases[C]) class(c C, d Disagreement) int {
	for i := range s.Documented {
		if s.Documented[i].Applies(c, d) {
			return i
		}
	}
	return -1
}

func (s *Cases[C]) documented() []string {
	var out []string
	for _, d := range s.Documented {
		out = append(out, d.Differs)
	}
	return out
}
