package compare

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// Options says how much to compare.
type Options struct {
	Cases    int    // checks per part, at least
	Seed     uint64 // the source of every generated case
	Minimise bool   // shrink the example of a part that differs
}

// Row is the result of one part, as the parity command prints it.
type Row struct {
	Area        string         `json:"area"`
	Part        string         `json:"part"`
	Cases       int            `json:"cases"`
	Differences int            `json:"differences"`
	Documented  int            `json:"documented"`
	Seed        uint64         `json:"seed"`
	Classes     map[string]int `json:"classes,omitempty"` // documented cases by class
	Example     *Example       `json:"example,omitempty"` // the smallest differing case found
}

// Example is one differing case.
type Example struct {
	Index    int             `json:"index"` // corners first, then generated cases
	Case     json.RawMessage `json:"case"`
	Upstream string          `json:"upstream"`
	Ours     string          `json:"ours"`
}

const (
	// casesFactorMax bounds how many cases are made per wanted check, for parts
	// that only some cases reach.
	casesFactorMax = 50

	// shrinkStepsMax bounds the candidates that one minimisation tries.
	shrinkStepsMax = 5000
)

// Run compares an area and returns a row per part.
func Run(a Area, opts Options) []Row {
	var rows []Row
	for _, s := range a.Suites {
		for _, row := range s.run(opts) {
			row.Area, row.Seed = a.Name, opts.Seed
			rows = append(rows, row)
		}
	}
	return rows
}

// Differences adds up the undocumented differences of rows.
func Differences(rows []Row) int {
	n := 0
	for _, r := range rows {
		n += r.Differences
	}
	return n
}

// progress is the state of one run of a suite.
type progress[C any] struct {
	suite *Cases[C]
	rows  map[string]*Row
	worst map[string]found[C] // per part, the smallest differing case so far
}

type found[C any] struct {
	c     C
	index int
	size  int
	at    Disagreement
}

func (s *Cases[C]) run(opts Options) []Row {
	p := &progress[C]{suite: s, rows: map[string]*Row{}, worst: map[string]found[C]{}}
	for _, part := range s.Parts {
		p.rows[part] = &Row{Part: part}
	}
	index := 0
	for _, c := range s.Corners {
		p.add(c, index)
		index++
	}
	for made := 0; made < opts.Cases*casesFactorMax && !p.done(opts.Cases); made++ {
		// Each case has a generator of its own, so that a case can be made
		// again without making those before it.
		p.add(s.Generate(rand.New(rand.NewPCG(opts.Seed, uint64(made)))), index)
		index++
	}
	out := make([]Row, 0, len(s.Parts))
	for _, part := range s.Parts {
		if f, ok := p.worst[part]; ok {
			if opts.Minimise {
				f = p.minimise(f)
			}
			p.rows[part].Example = f.example()
		}
		out = append(out, *p.rows[part])
	}
	return out
}

func (p *progress[C]) done(want int) bool {
	for _, r := range p.rows {
		if r.Cases < want {
			return false
		}
	}
	return true
}

// add observes one case and books what it shows.
func (p *progress[C]) add(c C, index int) {
	rec := p.suite.observe(c)
	for part, n := range rec.counts {
		p.rows[part].Cases += n
	}
	size := -1
	for _, d := range rec.disagreements {
		row := p.rows[d.Part]
		if class := p.suite.class(c, d); class >= 0 {
			row.Documented++
			if row.Classes == nil {
				row.Classes = map[string]int{}
			}
			row.Classes[p.suite.Documented[class].Differs]++
			continue
		}
		row.Differences++
		if size < 0 {
			size = len(encode(c))
		}
		if old, ok := p.worst[d.Part]; !ok || size < old.size {
			p.worst[d.Part] = found[C]{c, index, size, d}
		}
	}
}

// minimise walks from f to ever simpler cases that still differ in f's part.
func (p *progress[C]) minimise(f found[C]) found[C] {
	if p.suite.Shrink == nil {
		return f
	}
	steps := 0
	for smaller := true; smaller; {
		smaller = false
		for c := range p.suite.Shrink(f.c) {
			if steps++; steps > shrinkStepsMax {
				return f
			}
			if d, ok := p.differs(c, f.at.Part); ok {
				f = found[C]{c, f.index, len(encode(c)), d}
				smaller = true
				break
			}
		}
	}
	return f
}

// differs reports an undocumented disagreement of c in part.
func (p *progress[C]) differs(c C, part string) (Disagreement, bool) {
	for _, d := range p.suite.observe(c).disagreements {
		if d.Part == part && p.suite.class(c, d) < 0 {
			return d, true
		}
	}
	return Disagreement{}, false
}

func (f found[C]) example() *Example {
	return &Example{Index: f.index, Case: encode(f.c), Upstream: f.at.Upstream, Ours: f.at.Ours}
}

// encode renders a case for people and for size comparison. A case that JSON
// cannot hold is shown as Go would print it.
func encode(c any) json.RawMessage {
	b, err := json.Marshal(c)
	if err != nil {
		b, _ = json.Marshal(fmt.Sprintf("%+v", c))
	}
	return b
}
