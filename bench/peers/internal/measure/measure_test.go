package measure

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// fixed is a row whose sides give the listed values in turn.
func fixed(name, unit string, ours, peer []float64, check func() error) Row {
	side := func(values []float64) Side {
		i := -1
		return func() (Sample, error) {
			i++
			return Sample{Value: values[i], Allocs: float64(i)}, nil
		}
	}
	return Row{Name: name, Unit: unit, Open: func() (*Pair, error) {
		return &Pair{Ours: side(ours), Peer: side(peer), Check: check}, nil
	}}
}

func same() error { return nil }

func TestRunDropsTheFirstPairAndTakesMedians(t *testing.T) {
	row := fixed("r", "ns/op", []float64{900, 10, 30, 20}, []float64{1, 200, 100, 400}, same)
	got, err := Run("a", row, Options{Count: 3})
	want := Result{Area: "a", Row: "r", Unit: "ns/op", Ours: 20, Peer: 200, Ratio: 10, OursAllocs: 2, PeerAllocs: 2, Count: 3}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRatioOfARateIsOursOverPeer(t *testing.T) {
	got, err := Run("a", fixed("r", "pods/s", []float64{0, 300}, []float64{0, 100}, same), Options{Count: 1})
	if err != nil || got.Ratio != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRunRefuses(t *testing.T) {
	broken := errors.New("broken")
	one := []float64{1, 1}
	for name, row := range map[string]Row{
		"no check that both sides":  fixed("r", "ns/op", one, one, nil),
		"the answers differ":        fixed("r", "ns/op", one, one, func() error { return broken }),
		"area a, row r: not opened": {Name: "r", Open: func() (*Pair, error) { return nil, errors.New("not opened") }},
		"peer: broken": {Name: "r", Open: func() (*Pair, error) {
			ok := func() (Sample, error) { return Sample{}, nil }
			return &Pair{Ours: ok, Peer: func() (Sample, error) { return Sample{}, broken }, Check: same}, nil
		}},
	} {
		if _, err := Run("a", row, Options{Count: 1}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
	}
}

func TestCloseRunsAfterAnError(t *testing.T) {
	closed := false
	row := Row{Open: func() (*Pair, error) { return &Pair{Close: func() { closed = true }}, nil }}
	if _, err := Run("a", row, Options{Count: 1}); err == nil || !closed {
		t.Errorf("err %v, closed %v", err, closed)
	}
}

var sink []byte

func TestLoopCountsOperationsAndAllocations(t *testing.T) {
	total := 0
	side := Loop(func(n int) {
		for range n {
			total++
			sink = make([]byte, 512)
		}
	})
	s, err := side()
	if err != nil || total == 0 {
		t.Fatalf("%v after %d operations", err, total)
	}
	if s.Value <= 0 || s.Allocs < 1 || s.Allocs > 2 || s.Bytes < 512 || s.Bytes > 600 {
		t.Errorf("sample %+v", s)
	}
}

func TestTimedRefusesNoOperations(t *testing.T) {
	if _, err := Timed(func() (int, error) { return 0, nil }, Rate); err == nil {
		t.Error("no error")
	}
}

func TestMeterAddsUpStretches(t *testing.T) {
	var m Meter
	for range 3 {
		m.Start()
		for range 10 {
			sink = make([]byte, 512)
		}
		m.Stop(10)
		sink = make([]byte, 1<<20) // between stretches: not counted
	}
	s, err := m.Sample(Rate)
	if err != nil || m.Elapsed() <= 0 || s.Value <= 0 || s.Allocs < 1 || s.Bytes > 2000 {
		t.Errorf("sample %+v, %v", s, err)
	}
}

func TestValues(t *testing.T) {
	if v := PerOp(time.Second, 1000); v != 1e6 {
		t.Errorf("PerOp %v", v)
	}
	if v := Rate(2*time.Second, 1000); v != 500 {
		t.Errorf("Rate %v", v)
	}
}

func TestCommand(t *testing.T) {
	v := []float64{4, 4, 4, 4, 4, 4}
	areas := []Area{
		{Name: "one", Rows: []Row{fixed("match/reqs=1", "ns/op", v, v, same), fixed("match/reqs=3", "ns/op", v, v, same)}},
		{Name: "bad", Rows: []Row{fixed("x", "ns/op", v, v, func() error { return errors.New("unequal") })}},
	}
	for _, tc := range []struct {
		name, args     string
		code           int
		stdout, stderr string
	}{
		{"json", "-area one -rows reqs=1$ -o json", 0, `{"area":"one","row":"match/reqs=1","unit":"ns/op","ours":4,"peer":4,"ratio":1,`, ""},
		{"table", "-area one", 0, "match/reqs=3", ""},
		{"unequal", "-area bad", 1, "", "area bad, row x: the answers differ: unequal"},
		{"unknown area", "-area two", 2, "", `unknown area "two": known are one, bad`},
		{"no row", "-area one -rows nothing", 2, "", `-rows "nothing" matches no row: known are one:match/reqs=1`},
		{"bad pattern", "-rows (", 2, "", `-rows "("`},
		{"no pairs", "-count 0", 2, "", "-count 0: want at least 1"},
		{"argument", "x", 2, "", `unexpected argument "x"`},
		{"output", "-o csv", 2, "", `-o "csv": want table or json`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := Command(areas, strings.Fields(tc.args), &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if !strings.Contains(stdout.String(), tc.stdout) || !strings.Contains(stderr.String(), tc.stderr) {
				t.Errorf("stdout %q\nstderr %q", &stdout, &stderr)
			}
		})
	}
}

func TestJSONIsOneObjectALine(t *testing.T) {
	v := []float64{4, 4}
	var stdout, stderr bytes.Buffer
	Command([]Area{{Name: "one", Rows: []Row{fixed("a", "ns/op", v, v, same), fixed("b", "ns/op", v, v, same)}}},
		strings.Fields("-count 1 -o json"), &stdout, &stderr)
	lines := strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines:\n%s", len(lines), &stdout)
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Errorf("not JSON: %q", l)
		}
	}
}
