package scheduler

import (
	"encoding/json"
	"errors"
	"testing"
)

// FuzzSchedule decodes a node, a bound pod and a pending pod from whatever
// comes. Nothing may panic, refused objects must leave the cache as it was, and
// what is placed must have passed.
func FuzzSchedule(f *testing.F) {
	f.Add(`{"metadata":{"name":"a","labels":{"topology.kubernetes.io/zone":"z"}},"status":{"allocatable":{"cpu":"4","memory":"8Gi","pods":"10"}}}`,
		`{"metadata":{"name":"p"},"spec":{"nodeName":"a","containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}`,
		`{"metadata":{"name":"q","labels":{"a":"b"}},"spec":{"priority":5,"containers":[{"name":"c","resources":{"requests":{"cpu":"4"}}}],
		"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{}}]}}`)
	f.Add(`{"metadata":{"name":"a"},"spec":{"taints":[{"key":"k","effect":"NoSchedule"}]},"status":{"allocatable":{"pods":"1e3","cpu":"-0"}}}`,
		`{"metadata":{"name":"p"},"spec":{"nodeName":"a","affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"k","labelSelector":{}}]}}}}`,
		`{"metadata":{"name":"q"},"spec":{"tolerations":[{"operator":"Exists"}],"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":[]}]}]}}}}}`)
	f.Add(`{}`, `null`, `{"spec":{"containers":null}}`)
	f.Fuzz(func(t *testing.T, node, bound, pending string) {
		for _, unvalidated := range []bool{false, true} {
			fuzzOnce(t, CacheConfig{Unvalidated: unvalidated, HoldUnknownNodes: unvalidated}, node, bound, pending)
		}
	})
}

func fuzzOnce(t *testing.T, config CacheConfig, node, bound, pending string) {
	c := NewCache(config)
	var n Node
	if json.Unmarshal([]byte(node), &n) == nil {
		before := c.state()
		if err := c.AddNode(&n); err != nil && c.state() != before {
			t.Fatalf("refused node (%v) changed the cache", err)
		}
	}
	var p Pod
	if json.Unmarshal([]byte(bound), &p) == nil {
		before := c.state()
		if err := c.AddPod(&p); err != nil && c.state() != before {
			t.Fatalf("refused pod (%v) changed the cache", err)
		}
	}
	var q Pod
	if json.Unmarshal([]byte(pending), &q) != nil {
		return
	}
	s := newScheduler(t, c)
	placement, err := s.Schedule(&q)
	var fit *FitError
	if errors.As(err, &fit) && fit.Error() == "" {
		t.Fatal("no reason")
	}
	if err != nil {
		return
	}
	// Scoring may fail on an unvalidated pod; a single feasible node is taken
	// without it.
	e, err := s.Explain(&q)
	if e == nil {
		t.Fatal(err)
	}
	for _, n := range e.Nodes {
		if n.Node == placement.Node && n.Status.Code != Success {
			t.Fatalf("placed on %s: %s", n.Node, n.Status.Message())
		}
	}
}
