package selector_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/orchcore/orchcore/selector"
)

func ExampleParse() {
	s, err := selector.Parse("app in (web, api), !canary, generation > 3")
	if err != nil {
		fmt.Println(err)
		return
	}
	pod := selector.NewLabels(map[string]string{"app": "web", "generation": "12"})
	fmt.Println(s)
	fmt.Println(s.Matches(pod))
	// Output:
	// app in (api,web),!canary,generation>3
	// true
}

func ExampleParseError() {
	_, err := selector.Parse("app in (web api)")
	var fault *selector.ParseError
	if errors.As(err, &fault) {
		fmt.Println(fault.Offset)
		fmt.Println(fault.Msg)
	}
	// Output:
	// 12
	// unable to parse requirement: found 'api', expected: ',' or ')'
}

func ExampleCompile() {
	var deployment struct {
		Spec struct {
			Selector *selector.LabelSelector `json:"selector"`
		} `json:"spec"`
	}
	text := `{"spec":{"selector":{"matchLabels":{"app":"web"},
		"matchExpressions":[{"key":"tier","operator":"NotIn","values":["cache"]}]}}}`
	if err := json.Unmarshal([]byte(text), &deployment); err != nil {
		fmt.Println(err)
		return
	}
	s, err := selector.Compile(deployment.Spec.Selector)
	fmt.Println(s, err)
	fmt.Println(s.MatchesMap(map[string]string{"app": "web", "tier": "front"}))
	// Output:
	// app=web,tier notin (cache) <nil>
	// true
}

func ExampleNewLabels() {
	l := selector.NewLabels(map[string]string{"tier": "front", "app": "web"})
	for key, value := range l.All() {
		fmt.Println(key, value)
	}
	// Output:
	// app web
	// tier front
}

func ExampleCompileNodeSelector() {
	var required selector.NodeSelector
	text := `{"nodeSelectorTerms":[
		{"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["a","b"]}]},
		{"matchFields":[{"key":"metadata.name","operator":"In","values":["spare"]}]}]}`
	if err := json.Unmarshal([]byte(text), &required); err != nil {
		fmt.Println(err)
		return
	}
	m, err := selector.CompileNodeSelector(&required)
	if err != nil {
		fmt.Println(err)
		return
	}
	zoneC := selector.NewLabels(map[string]string{"topology.kubernetes.io/zone": "c"})
	fmt.Println(m.Matches("node-1", zoneC), m.Matches("spare", zoneC))
	// Output: false true
}

func ExampleIndex() {
	var pods selector.Index[string]
	pods.Set("web-1", selector.NewLabels(map[string]string{"app": "web", "version": "3"}))
	pods.Set("web-2", selector.NewLabels(map[string]string{"app": "web", "version": "4"}))
	pods.Set("db-1", selector.NewLabels(map[string]string{"app": "db"}))

	before := pods.Snapshot()
	pods.Delete("web-1")

	web := selector.MustParse("app=web")
	fmt.Println(pods.Count(web), before.Count(web))
	for name := range before.Select(selector.MustParse("version>3")) {
		fmt.Println(name)
	}
	// Output:
	// 1 2
	// web-2
}

func ExampleRegistry() {
	var services selector.Registry[string]
	services.Set("web", selector.MustParse("app=web"))
	services.Set("canaries", selector.MustParse("track=canary"))

	before := selector.NewLabels(map[string]string{"app": "web"})
	after := selector.NewLabels(map[string]string{"app": "api", "track": "canary"})
	fmt.Println(services.AppendMatches(nil, before))
	started, stopped := services.Diff(before, after)
	fmt.Println("started", started, "stopped", stopped)
	// Output:
	// [web]
	// started [canaries] stopped [web]
}

func ExampleOverlap() {
	a := selector.MustParse("app=web,track notin (canary)")
	b := selector.MustParse("tier in (front,edge)")
	witness, ok := selector.Overlap(a, b)
	fmt.Println(ok, witness)
	_, ok = selector.Overlap(a, selector.MustParse("track=canary"))
	fmt.Println(ok)
	// Output:
	// true app=web,tier=edge
	// false
}

func ExampleImplies() {
	// 05 and 005 are integers between 4 and 6 too.
	counterexample, ok := selector.Implies(selector.MustParse("a>4,a<6"), selector.MustParse("a=5"))
	fmt.Println(ok, counterexample)
	// Output: false a=05
}

func ExampleSimplify() {
	fmt.Println(selector.Simplify(selector.MustParse("a in (1,2,3),a!=2,a>1,b,b!=x,b notin (y)")))
	fmt.Println(selector.Simplify(selector.MustParse("a=1,a=2")))
	// Output:
	// a=3,b,b notin (x,y)
	// <nothing>
}

func ExampleSelector_Explain() {
	s := selector.MustParse("app=web,version>3")
	for _, m := range s.Explain(selector.NewLabels(map[string]string{"app": "web", "version": "beta"})) {
		fmt.Println(m)
	}
	// Output: version>3: the label is "beta", which is no integer
}
