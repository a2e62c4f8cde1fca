package admit_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/admit"
	"github.com/orchcore/orchcore/examples/minicluster/api"
)

func TestAllocatorIsStable(t *testing.T) {
	one, other := admit.NewAllocator(), admit.NewAllocator()
	a, err := one.ClusterIP("shop/web")
	require.NoError(t, err)
	_, err = other.ClusterIP("shop/api")
	require.NoError(t, err)
	b, err := other.ClusterIP("shop/web")
	require.NoError(t, err)
	require.Equal(t, a, b, "an address depends on the name, not on who else is there")
}

func TestAllocatorRunsOutWithAnError(t *testing.T) {
	a := admit.NewAllocator()
	seen := map[int32]bool{}
	for i := range 2768 {
		p, err := a.NodePort("s", fmt.Sprint(i))
		require.NoError(t, err)
		require.False(t, seen[p])
		require.True(t, p >= 30000 && p <= 32767)
		seen[p] = true
	}
	_, err := a.NodePort("s", "one more")
	require.ErrorIs(t, err, admit.ErrExhausted)
}

func TestClaims(t *testing.T) {
	a := admit.NewAllocator()
	require.NoError(t, a.ClaimClusterIP("10.96.0.10", "x"))
	require.NoError(t, a.ClaimClusterIP("10.96.0.10", "x"), "again by its holder")
	require.ErrorContains(t, a.ClaimClusterIP("10.96.0.10", "y"), "x has it")
	require.NoError(t, a.ClaimClusterIP("172.30.0.1", "x"), "a dump's cluster had another range")
	require.ErrorContains(t, a.ClaimClusterIP("172.30.0.1", "y"), "x has it")
	require.NoError(t, a.ClaimClusterIP("fd00::1", "x"))
	require.Error(t, a.ClaimClusterIP("nonsense", "x"))
	require.NoError(t, a.ClaimNodePort(30000, "x"))
	require.ErrorContains(t, a.ClaimNodePort(30000, "y"), "x has it")
	require.ErrorContains(t, a.ClaimNodePort(0, "y"), "want 30000")
}

func TestPriorities(t *testing.T) {
	p := admit.Priorities{}
	resolve := func(name string) int32 {
		v, _, _ := p.Resolve(name)
		return v
	}
	require.Zero(t, resolve(""))
	require.EqualValues(t, 2_000_001_000, resolve("system-node-critical"))
	p.Add(&api.PriorityClass{Metadata: api.ObjectMeta{Name: "b"}, Value: 20, GlobalDefault: true, PreemptionPolicy: "Never"})
	p.Add(&api.PriorityClass{Metadata: api.ObjectMeta{Name: "a"}, Value: 30, GlobalDefault: true})
	v, policy, ok := p.Resolve("")
	require.True(t, ok)
	require.EqualValues(t, 20, v, "the smaller of two defaults")
	require.Equal(t, "Never", policy)
	_, _, ok = p.Resolve("c")
	require.False(t, ok)
}

func TestPodRefusesWhatIsNoPod(t *testing.T) {
	for _, pod := range []api.Fields{
		{}, {"spec": "x"}, {"spec": api.Fields{"containers": []any{"x"}}},
		{"spec": api.Fields{"tolerations": []any{api.Fields{"key": 3}}}},
	} {
		require.Error(t, admit.Pod(pod, nil), pod)
	}
}

// What a user has set is never changed.
func TestPodKeepsWhatIsSet(t *testing.T) {
	pod := api.Fields{"spec": api.Fields{
		"priority": 7, "restartPolicy": "Never", "schedulerName": "mine", "terminationGracePeriodSeconds": 0,
		"tolerations": []any{api.Fields{"operator": "Exists"}},
		"containers": []any{api.Fields{"name": "c", "resources": api.Fields{
			"limits": api.Fields{"cpu": "2"}, "requests": api.Fields{"cpu": "1"},
		}}},
	}}
	want := fmt.Sprint(pod)
	require.NoError(t, admit.Pod(pod, nil))
	require.Equal(t, want, fmt.Sprint(pod))
}
