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
