package scheduler

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryReasonHasAText(t *testing.T) {
	require.Equal(t, reasonEnd, Reason(1)<<len(reasonTexts))
	seen := make(map[string]bool)
	for r := range (reasonEnd - 1).All() {
		require.NotEmpty(t, r.String())
		require.False(t, seen[r.String()], r.String())
		seen[r.String()] = true
	}
	require.Len(t, seen, len(reasonTexts))
	require.Equal(t, "Insufficient cpu, Insufficient memory", (ReasonMemory | ReasonCPU).String())
	require.Empty(t, Reason(0).String())
	require.Equal(t, "reason 0x8000000000000000", Reason(1<<63).String())
}

func TestStatus(t *testing.T) {
	s := Status{Code: Unschedulable, Reasons: ReasonTooManyPods, Details: []string{"Insufficient example.com/gpu"}}
	require.True(t, s.Rejected())
	require.Equal(t, "Too many pods, Insufficient example.com/gpu", s.Message())
	require.Equal(t, []string{"Too many pods"}, slices.Collect(func(yield func(string) bool) {
		for text := range s.Texts() {
			yield(text)
			return
		}
	}), "the caller may stop early")
	failed := Status{Code: Failed, Err: errors.New("boom")}
	require.False(t, failed.Rejected())
	require.Equal(t, "boom", failed.Message())
	require.Equal(t, "Success Unschedulable UnschedulableAndUnresolvable Skip Error Code(9)",
		Success.String()+" "+Unschedulable.String()+" "+UnschedulableAndUnresolvable.String()+" "+Skip.String()+" "+Failed.String()+" "+Code(9).String())
}

func TestFitError(t *testing.T) {
	e := &FitError{
		Pod: "default/p", NumNodes: 14, Absent: finally("elsewhere"),
		PostFilter: "preemption: none.",
	}
	want := []Rejection{
		{Node: "a", Plugin: "NodeResourcesFit", Status: Status{Code: Unschedulable, Reasons: ReasonCPU | ReasonTooManyPods}},
		{Node: "b", Plugin: "NodeResourcesFit", Status: Reject(ReasonCPU)},
		{Node: "c", Plugin: "TaintToleration", Status: RejectFinally(ReasonTaint)},
	}
	for _, r := range want {
		e.rejected.add(&NodeInfo{Name: r.Node}, r.Plugin, r.Status)
	}
	require.Equal(t, want, slices.Collect(e.Rejections()))
	require.Equal(t, map[string]int{
		"Insufficient cpu": 2, "Too many pods": 1, "node(s) had untolerated taint(s)": 1, "elsewhere": 11,
	}, e.Histogram())
	require.EqualError(t, e, "0/14 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s), 11 elsewhere, 2 Insufficient cpu. preemption: none.")
	v, plugin := e.NodeStatus("c")
	require.Equal(t, "TaintToleration", plugin)
	require.Equal(t, UnschedulableAndUnresolvable, v.Code)
	v, plugin = e.NodeStatus("nowhere")
	require.Empty(t, plugin)
	require.Equal(t, "elsewhere", v.Message())

	require.EqualError(t, &FitError{NumNodes: 3}, "0/3 nodes are available:")
	require.EqualError(t, &FitError{NumNodes: 3, PreFilter: finally("no"), PreFilterPlugin: "X"}, "0/3 nodes are available: no.")
}
