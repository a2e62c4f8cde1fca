package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The answers in testdata are those of kube-scheduler v1.36.3, key by key.
func TestDecideAsUpstream(t *testing.T) {
	for _, test := range []struct {
		answers string
		opts    options
	}{
		{"testdata/shop.jsonl", options{selection: "first", percent: 100}},
		{"testdata/shop-preempt.jsonl", options{selection: "first", percent: 100, preempt: true}},
	} {
		in, err := os.ReadFile("testdata/shop.json")
		require.NoError(t, err)
		want, err := os.ReadFile(test.answers)
		require.NoError(t, err)
		var out, log bytes.Buffer
		require.NoError(t, run(bytes.NewReader(in), &out, &log, test.opts))
		require.Equal(t, string(want), out.String())
		require.Empty(t, log.String())
	}
}

func TestLines(t *testing.T) {
	one := `{"nodes":[{"metadata":{"name":"a"},"status":{"allocatable":{"pods":"1"}}}],"pods":[{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}]}}]}`
	bad := `{"nodes":[{"metadata":{}}],"pods":[]}`
	var out, log bytes.Buffer
	err := run(strings.NewReader(one+"\n"+bad+"\n"+one+"\n"), &out, &log, options{lines: true, selection: "upstream", percent: 100})
	require.EqualError(t, err, "1 cases could not be decided")
	require.Equal(t, "case 1: node: metadata.name: \"\": want a name\n", log.String())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], `{"caseIndex":0,"pod":"default/p"`)
	require.Contains(t, lines[1], `"caseIndex":2`)
	require.Contains(t, lines[1], `"chosen":"a"`)
}

func TestRefusals(t *testing.T) {
	for in, want := range map[string]string{
		`{"pods":[{"metadata":{"name":"p"},"spec":{"priority":"high"}}]}`: "case 0: json: cannot unmarshal",
		`{"pods":[null]}`:                     "pods[0]: null",
		`{"nodes":[null]}`:                    "node is nil",
		`{"services":[null]}`:                 "entry 0: null",
		`{"deviceClasses":[{"metadata":{}}]}`: "deviceClasses: dynamic resource allocation is not supported",
	} {
		var out, log bytes.Buffer
		require.ErrorContains(t, run(strings.NewReader(in), &out, &log, options{selection: "first"}), want)
	}
	require.EqualError(t, run(nil, nil, nil, options{selection: "best"}), `-select: "best": want first or upstream`)
	var out, log bytes.Buffer
	claims := `{"nodes":[{"metadata":{"name":"a"}}],"pods":[{"metadata":{"name":"p"},"spec":{"resourceClaims":[{"name":"gpu"}]}}]}`
	require.NoError(t, run(strings.NewReader(claims), &out, &log, options{selection: "first", percent: 100}))
	require.Contains(t, out.String(), `"error":"pod default/p: spec.resourceClaims: dynamic resource allocation is not supported"`)
}
