package raftstore

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	simMutants = flag.Bool("sim.mutants", false, "put each known fault back in and see that a test finds it")
	simMutant  = flag.String("sim.mutant", "", "with -sim.mutants: only the mutants whose name or rule matches")
	simTable   = flag.String("sim.table", "", "with -sim.mutants: file to write the table of what caught whom to")
)

// rule is something that a replicated log must get right, and that some system has got
// wrong. Each has mutants: the fault put back in, as a change of the production code,
// which has no switch for it. A mutant that no test finds means that the rule is not
// tested.
type rule struct {
	name string
	// source is where the fault was seen, or who demands the rule.
	source  string
	mutants []mutant
}

// mutant is a fault as a change of one file.
type mutant struct {
	name, file string
	// old is replaced by new; more are further pairs.
	old, new string
	more     []string
	// by are tests that are tried before the simulator: a package and a pattern.
	by []string
}

// rules are all rules: of the log and the snapshots on disk, of the use of Raft, and of
// the state.
func rules() []rule { return slices.Concat(diskRules, raftRules, stateRules) }

func (m mutant) edits() [][2]string {
	edits := [][2]string{{m.old, m.new}}
	for i := 0; i < len(m.more); i += 2 {
		edits = append(edits, [2]string{m.more[i], m.more[i+1]})
	}
	return edits
}

// apply returns the file's path and its changed text.
func (m mutant) apply() (path, text string, err error) {
	path, err = filepath.Abs(m.file)
	if err != nil {
		return "", "", err
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	text = string(source)
	for _, edit := range m.edits() {
		if n := strings.Count(text, edit[0]); n != 1 {
			return "", "", fmt.Errorf("%s: %q is there %d times, expected once: the mutant must follow", m.file, edit[0], n)
		}
		text = strings.Replace(text, edit[0], edit[1], 1)
	}
	return path, text, nil
}

// TestMutantsFollowTheCode sees that every rule has mutants and that every mutant still
// changes what it is meant to.
func TestMutantsFollowTheCode(t *testing.T) {
	names := map[string]bool{}
	for _, r := range rules() {
		require.NotEmpty(t, r.mutants, "%s", r.name)
		require.NotEmpty(t, r.source, "%s", r.name)
		for _, m := range r.mutants {
			require.False(t, names[m.name], "two mutants are called %q", m.name)
			names[m.name] = true
			_, _, err := m.apply()
			require.NoError(t, err, "%s", m.name)
		}
	}
}

// TestMutants runs the tests on every mutant. It takes minutes and is meant to be asked
// for:
//
//	go test ./raftstore -run Mutants -sim.mutants -v -timeout 2h [-sim.mutant=PATTERN]
func TestMutants(t *testing.T) {
	if !*simMutants {
		t.Skip("needs -sim.mutants: it compiles and tests every mutant")
	}
	wanted := regexp.MustCompile(*simMutant)
	table := &strings.Builder{}
	for _, r := range rules() {
		fmt.Fprintf(table, "\n%s (%s)\n", r.name, r.source)
		for _, m := range r.mutants {
			if !wanted.MatchString(r.name) && !wanted.MatchString(m.name) {
				continue
			}
			t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
				begun := time.Now()
				finding := m.hunt(t)
				fmt.Fprintf(table, "  %s\n    %s\n", m.name, strings.ReplaceAll(finding, "\n", "\n    "))
				t.Logf("%v: %s", time.Since(begun).Round(time.Second), finding)
				if finding == survives {
					t.Error(survives)
				}
			})
		}
	}
	if *simTable != "" {
		require.NoError(t, os.WriteFile(*simTable, []byte(table.String()), 0o600))
	}
}

const survives = "SURVIVES"

// simRounds are what is tried in turn, each up to a last seed: most mutants do not live
// long.
var simRounds = []struct {
	tests string
	last  uint64
}{{"^TestSim", 40}, {"^TestSim", 200}, {"^TestSim$", 1500}}

// hunt returns what finds the mutant.
func (m mutant) hunt(t *testing.T) string {
	path, text, err := m.apply()
	require.NoError(t, err)
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(changed, []byte(text), 0o600))
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, list, 0o600))
	for _, by := range m.by {
		where, pattern, _ := strings.Cut(by, " ")
		p := compileTest(t, overlay, where, filepath.Join(dir, "direct.test"))
		if finding := p.run("-test.run=^("+pattern+")", "-test.timeout=120s"); finding != "" {
			return finding
		}
	}
	p := compileTest(t, overlay, ".", filepath.Join(dir, "sim.test"))
	from := *simSeed
	for _, round := range simRounds {
		finding := p.run("-test.run="+round.tests, "-test.timeout=30m", fmt.Sprintf("-sim.seed=%d", from), fmt.Sprintf("-sim.seeds=%d", *simSeed+round.last-from))
		if finding != "" {
			return finding
		}
		from = *simSeed + round.last
	}
	return survives
}

// program is a test binary of a mutant.
type program struct{ file, dir string }

func compileTest(t *testing.T, overlay, where, file string) program {
	t.Helper()
	out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay="+overlay, "-o", file, where).CombinedOutput()
	require.NoError(t, err, "the mutant does not compile:\n%s", out)
	return program{file, where}
}

var (
	simFinding  = regexp.MustCompile(`seed (\d+) at [^\n]*`)
	testFinding = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	lastWords   = regexp.MustCompile(`(?m)^(panic: [^\n]*|fatal error: [^\n]*)`)
)

// run returns what fails, or nothing.
func (p program) run(args ...string) string {
	cmd := exec.Command(p.file, append(args, "-test.failfast")...)
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	test := ""
	for _, found := range testFinding.FindAllSubmatch(out, -1) {
		test = string(found[1]) // the innermost one comes last
	}
	finding := string(simFinding.Find(out))
	if finding == "" {
		finding = string(lastWords.Find(out))
	}
	if len(finding) > 200 {
		finding = finding[:200] + " …"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s", test, finding))
}
