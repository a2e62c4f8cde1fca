package selector

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "<nothing>", "a", "!a", "a=b", "a==b,c!=d", "x in (foo,,baz),y,z notin ()", "a>5,a<07",
		"in in (in,notin)", "a.b/c=d", " a = , b", "a in (,)", "a\x00=b", "a===b", "a>=5", "é=1", strings.Repeat("a,", 40) + "a",
	} {
		f.Add(seed)
	}
	for _, seed := range realLabels() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		s, err := Parse(input)
		if err != nil {
			if pe, ok := err.(*ParseError); !ok || pe.Offset < 0 || pe.Offset > len(input) || pe.Msg == "" {
				t.Fatalf("Parse(%q): bad error %#v", input, err)
			}
			if !s.IsNothing() || s.MatchesMap(map[string]string{"a": "b"}) {
				t.Fatalf("Parse(%q): half a selector with an error", input)
			}
			return
		}
		printed := s.String()
		again, err := Parse(printed)
		if err != nil || !again.Equal(s) {
			t.Fatalf("Parse(%q) prints %q, which reads as %q, %v", input, printed, again, err)
		}
		requirements, _ := s.Requirements()
		labels := map[string]string{"z": "1"}
		for _, r := range requirements {
			if _, err := NewRequirement(r.Key(), r.Operator(), r.Values()...); err != nil {
				t.Fatalf("Parse(%q) accepts %s: %v", input, r, err)
			}
			if values := r.Values(); len(values) > 0 {
				labels[r.Key()] = values[len(values)-1]
			}
		}
		if want := plainMatches(s, labels); s.Matches(NewLabels(labels)) != want || s.MatchesMap(labels) != want {
			t.Fatalf("Parse(%q) on %v: want %v", input, labels, want)
		}
	})
}

// realLabels are the label sets of nodes of real clusters, if they are there.
func realLabels() []string {
	data, err := os.ReadFile(filepath.Join("..", "..", "shared", "data", "troubleshoot", "nodes-7-mixed.json"))
	if err != nil {
		return nil
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Labels map[string]string `json:"labels"`
			} `json:"metadata"`
		} `json:"items"`
	}
	if json.Unmarshal(data, &list) != nil {
		return nil
	}
	var texts []string
	for _, item := range list.Items {
		texts = append(texts, NewLabels(item.Metadata.Labels).String())
	}
	return texts
}

// FuzzReason checks what needs no oracle: witnesses and counterexamples are
// what they claim to be, and simplifying changes nothing.
func FuzzReason(f *testing.F) {
	f.Add("a=1", "a in (1,2),!b")
	f.Add("a>4,a<6", "a notin (5,05)")
	f.Add("a,a!=x,b", "!a")
	f.Add("a>9223372036854775806", "a<1")
	f.Fuzz(func(t *testing.T, textA, textB string) {
		a, errA := Parse(textA)
		b, errB := Parse(textB)
		if errA != nil || errB != nil {
			return
		}
		if witness, ok := Overlap(a, b); ok && !(a.Matches(witness) && b.Matches(witness)) {
			t.Fatalf("%q and %q: witness %q", a, b, witness)
		} else if _, both := Satisfiable(a); ok && !both {
			t.Fatalf("%q overlaps %q and is not satisfiable", a, b)
		}
		if example, ok := Implies(a, b); !ok && (!a.Matches(example) || b.Matches(example)) {
			t.Fatalf("%q implies %q: counterexample %q", a, b, example)
		}
		simple := Simplify(a)
		if example, ok := Equivalent(a, simple); !ok {
			t.Fatalf("%q simplified to %q: they differ on %q", a, simple, example)
		}
		if again := Simplify(simple); !again.Equal(simple) {
			t.Fatalf("%q simplified to %q and then to %q", a, simple, again)
		}
	})
}

func FuzzParseLabels(f *testing.F) {
	for _, seed := range realLabels() {
		f.Add(seed)
	}
	for _, seed := range []string{"", "a=1", "a=1,b=2", " a = 1 ", "a=,b=", "a==1", "a", "=1", "a=1,", "x.y/z=1", "a=1,a=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		labels, err := ParseLabels(input)
		if err != nil {
			if labels.Len() != 0 {
				t.Fatalf("ParseLabels(%q): half a set with an error", input)
			}
			return
		}
		again, err := ParseLabels(labels.String())
		if err != nil || !again.Equal(labels) {
			t.Fatalf("ParseLabels(%q) = %q, which reads as %q, %v", input, labels, again, err)
		}
		if !FromMap(labels.Map()).Matches(labels) {
			t.Fatalf("%q does not match its own labels", labels)
		}
	})
}

func FuzzLabelSelectorJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"matchLabels":{"app":"web"}}`, `{"matchExpressions":[{"key":"a","operator":"In","values":["x",""]}]}`,
		`{"matchExpressions":[{"key":"a","operator":"Gt","values":["1"]}]}`, `{"matchExpressions":[{"key":"a","operator":"Exists","values":["1"]}]}`,
		`{"matchLabels":{"-":"-"}}`, `{"matchLabels":[]}`, `{"unknown":1,"matchLabels":null}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		var ls *LabelSelector
		if json.Unmarshal([]byte(input), &ls) != nil {
			return
		}
		s, err := Compile(ls)
		if err != nil {
			if !s.IsNothing() || err.Error() == "" {
				t.Fatalf("%s: bad error %#v", input, err)
			}
			return
		}
		if again, err := Parse(s.String()); err != nil || again.IsNothing() != (ls == nil) {
			t.Fatalf("%s prints %q: %v", input, s, err)
		}
	})
}

func FuzzNodeSelectorJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"nodeSelectorTerms":[{}]}`,
		`{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Gt","values":["5"]}]}]}`,
		`{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]},{"matchExpressions":[{"key":"-","operator":"?"}]}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		var ns *NodeSelector
		if json.Unmarshal([]byte(input), &ns) != nil {
			return
		}
		eager, err := CompileNodeSelector(ns)
		lazy := CompileNodeSelectorLazy(ns)
		if (err == nil) != (lazy.Err() == nil) {
			t.Fatalf("%s: eager says %v, lazy %v", input, err, lazy.Err())
		}
		labels := map[string]string{"a": "6"}
		got := lazy.Matches("n1", NewLabels(labels))
		if got != lazy.MatchesMap("n1", labels) || err == nil && got != eager.Matches("n1", NewLabels(labels)) {
			t.Fatalf("%s: the forms disagree", input)
		}
		if err != nil && eager.Matches("n1", NewLabels(labels)) {
			t.Fatalf("%s: matches in spite of %v", input, err)
		}
	})
}
