package compare

import (
	"bytes"
	"encoding/json"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// digits is an area over lists of numbers that compares their sum with a sum
// that goes wrong in ways a test chooses.
func digits(wrong func([]int) (int, bool), documented ...Difference[[]int]) Area {
	return Area{Name: "digits", Doc: "doc.go", Suites: []Suite{&Cases[[]int]{
		Parts:   []string{"sum", "long"},
		Corners: [][]int{{}, {1}},
		Generate: func(r *rand.Rand) []int {
			c := make([]int, r.IntN(12))
			for i := range c {
				c[i] = r.IntN(100)
			}
			return c
		},
		Compare: func(c []int, rec *Record) {
			sum := 0
			for _, v := range c {
				sum += v
			}
			ours := sum
			if v, ok := wrong(c); ok {
				ours = v
			}
			rec.Text("sum", strconv.Itoa(sum), strconv.Itoa(ours))
			if len(c) > 5 {
				rec.Check("long", true, nil)
			}
		},
		Shrink: func(c []int) iter.Seq[[]int] {
			return func(yield func([]int) bool) {
				for i := range c {
					if !yield(slices.Delete(slices.Clone(c), i, i+1)) {
						return
					}
				}
			}
		},
		Documented: documented,
	}}}
}

func never([]int) (int, bool) { return 0, false }

func after90(c []int) (int, bool) {
	return -1, slices.ContainsFunc(c, func(v int) bool { return v > 90 })
}

func TestEqualSidesCountEveryPart(t *testing.T) {
	rows := Run(digits(never), Options{Cases: 200, Seed: 3})
	if len(rows) != 2 || rows[0].Part != "sum" || rows[1].Part != "long" {
		t.Fatalf("rows %+v", rows)
	}
	for _, r := range rows {
		if r.Cases < 200 || r.Differences != 0 || r.Example != nil || r.Seed != 3 || r.Area != "digits" {
			t.Errorf("row %+v", r)
		}
	}
}

func TestSameSeedSameRows(t *testing.T) {
	one, _ := json.Marshal(Run(digits(after90), Options{Cases: 300, Seed: 9}))
	two, _ := json.Marshal(Run(digits(after90), Options{Cases: 300, Seed: 9}))
	other, _ := json.Marshal(Run(digits(after90), Options{Cases: 300, Seed: 10}))
	if !bytes.Equal(one, two) {
		t.Errorf("two runs of one seed differ:\n%s\n%s", one, two)
	}
	if bytes.Equal(one, other) {
		t.Error("another seed gives the same rows")
	}
}

func TestMinimiseFindsOneElement(t *testing.T) {
	rows := Run(digits(after90), Options{Cases: 300, Seed: 1, Minimise: true})
	var c []int
	if err := json.Unmarshal(rows[0].Example.Case, &c); err != nil {
		t.Fatal(err)
	}
	if len(c) != 1 || c[0] <= 90 || rows[0].Example.Ours != "-1" || rows[0].Example.Upstream != strconv.Itoa(c[0]) {
		t.Errorf("example %+v of %v", rows[0].Example, c)
	}
}

func TestDocumentedDoesNotHideOthers(t *testing.T) {
	class := Difference[[]int]{Differs: "ninety-nine", Applies: func(c []int, _ Disagreement) bool { return slices.Contains(c, 99) }}
	row := Run(digits(after90, class), Options{Cases: 500, Seed: 1})[0]
	if row.Documented == 0 || row.Differences == 0 || row.Classes["ninety-nine"] != row.Documented {
		t.Errorf("row %+v", row)
	}
}

func TestPanicIsADifference(t *testing.T) {
	row := Run(digits(func(c []int) (int, bool) { return c[2], false }), Options{Cases: 5, Seed: 1})[0]
	if row.Differences == 0 || !strings.Contains(row.Example.Ours, "panic: runtime error: index out of range") {
		t.Errorf("row %+v", row)
	}
}

func TestUnknownPartPanics(t *testing.T) {
	a := Area{Suites: []Suite{&Cases[int]{Parts: []string{"a"}, Generate: func(*rand.Rand) int { return 0 },
		Compare: func(_ int, rec *Record) { rec.Text("b", "", "") }}}}
	defer func() {
		if recover() == nil {
			t.Error("a part that is not declared was accepted")
		}
	}()
	Run(a, Options{Cases: 1})
}

func TestCommand(t *testing.T) {
	areas := []Area{digits(never), {Name: "other"}}
	wrong := []Area{digits(after90)}
	for _, tc := range []struct {
		name           string
		areas          []Area
		args           string
		code           int
		stdout, stderr string
	}{
		{"json", areas, "-area digits -cases 50 -seed 4 -o json", 0, `{"area":"digits","part":"sum","cases":`, ""},
		{"table", areas, "-area digits -cases 50", 0, "differences", ""},
		{"all areas", areas, "-cases 50", 0, "digits", ""},
		{"difference", wrong, "-area digits -cases 50 -minimise", 1, "upstream: ", ""},
		{"unknown area", areas, "-area digit", 2, "", `unknown area "digit": known are digits, other`},
		{"unknown flag", areas, "-areas digits", 2, "", "flag provided but not defined"},
		{"argument", areas, "digits", 2, "", `unexpected argument "digits"`},
		{"no cases", areas, "-cases 0", 2, "", "-cases 0: want at least 1"},
		{"output", areas, "-o yaml", 2, "", `-o "yaml": want table or json`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := Command(tc.areas, strings.Fields(tc.args), &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if !strings.Contains(stdout.String(), tc.stdout) || !strings.Contains(stderr.String(), tc.stderr) {
				t.Errorf("stdout %q\nstderr %q", &stdout, &stderr)
			}
			if tc.stderr == "" && stderr.Len() > 0 {
				t.Errorf("stderr %q", &stderr)
			}
		})
	}
}

func TestJSONIsOneObjectALine(t *testing.T) {
	var stdout, stderr bytes.Buffer
	Command([]Area{digits(after90)}, strings.Fields("-o json -cases 100"), &stdout, &stderr)
	lines := strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines:\n%s", len(lines), &stdout)
	}
	for _, l := range lines {
		var row map[string]any
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			t.Errorf("%v in %q", err, l)
		}
		for _, key := range []string{"area", "part", "cases", "differences", "documented", "seed"} {
			if _, ok := row[key]; !ok {
				t.Errorf("no key %q in %q", key, l)
			}
		}
	}
}

func TestDiffersLines(t *testing.T) {
	got := differsLines("// Text.\n//\n//   - Differs: one thing\n//     goes on here\n//\n// Other.\n// Differs: two\n// Differs: three\n")
	want := []string{"Differs: one thing goes on here", "Differs: two", "Differs: three"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
