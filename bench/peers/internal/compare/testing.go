package compare

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Test compares an area as a test does: it fails on any difference, with the
// minimised example, and when a documented class is not in the area's doc.go.
// root is the path of the root module.
func Test(t *testing.T, a Area, root string, opts Options) {
	t.Helper()
	opts.Minimise = true
	checkDocumented(t, a, root)
	for _, r := range Run(a, opts) {
		t.Logf("%s/%s: %d cases, %d differences, %d documented, seed %d",
			r.Area, r.Part, r.Cases, r.Differences, r.Documented, r.Seed)
		if r.Cases == 0 {
			t.Errorf("%s/%s: nothing was compared", r.Area, r.Part)
		}
		if e := r.Example; e != nil {
			t.Errorf("%s/%s differs, case number %d of seed %d:\n%s\nupstream: %s\nours:     %s",
				r.Area, r.Part, e.Index, r.Seed, e.Case, e.Upstream, e.Ours)
		}
	}
}

// checkDocumented holds the classes of known differences against the Differs:
// paragraphs of the package documentation.
func checkDocumented(t *testing.T, a Area, root string) {
	t.Helper()
	var classes []string
	for _, s := range a.Suites {
		classes = append(classes, s.documented()...)
	}
	if len(classes) == 0 {
		return
	}
	text, err := os.ReadFile(filepath.Join(root, a.Doc))
	if err != nil {
		t.Fatalf("the documentation that has the Differs: lines of area %s: %v", a.Name, err)
	}
	listed := differsLines(string(text))
	for _, c := range classes {
		if !slices.ContainsFunc(listed, func(line string) bool { return strings.Contains(line, c) }) {
			t.Errorf("area %s counts %q as documented, but no Differs: line of %s says so", a.Name, c, a.Doc)
		}
	}
}

// differsLines returns the paragraphs of a doc comment that begin with
// Differs:, each as one line without comment marks.
func differsLines(source string) []string {
	var out []string
	open := false
	for line := range strings.Lines(source) {
		text := strings.TrimLeft(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "//")), "-• ")
		switch {
		case strings.HasPrefix(text, "Differs:"):
			out = append(out, text)
			open = true
		case text == "":
			open = false
		case open:
			out[len(out)-1] += " " + text
		}
	}
	return out
}
