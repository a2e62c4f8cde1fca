package scheduler

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A node that only nominated pods close says for whom the room is kept.
func TestRoomKeptForNominated(t *testing.T) {
	c := NewCache(CacheConfig{})
	require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"1","pods":"9"}}}`)))
	pod := func(name, priority string) *Pod {
		return decodeAs[Pod](t, `{"metadata":{"name":"`+name+`"},"spec":{"priority":`+priority+`,
			"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}`)
	}
	require.NoError(t, c.Nominate(pod("vip", "9"), "a"))
	require.NoError(t, c.Nominate(pod("minor", "-1"), "a"))
	e, err := newScheduler(t, c).Explain(pod("p", "0"))
	require.NoError(t, err)
	require.Equal(t, []Change{{Plugin: "NodeResourcesFit", Text: "room is kept for default/vip"}}, e.Nodes[0].Changes)
}
