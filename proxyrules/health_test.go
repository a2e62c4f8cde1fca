package proxyrules_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
)

func TestHealth(t *testing.T) {
	services, slices := decode(t, wholeService, `{"metadata":{"namespace":"t","name":"web-1","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4",
		"ports":[{"name":"http","port":8080},{"name":"dns","port":5353,"protocol":"UDP"}],"endpoints":[
		{"addresses":["10.0.0.1"],"nodeName":"node-a"},{"addresses":["10.0.0.2"],"nodeName":"node-a"},{"addresses":["10.0.0.3"],"nodeName":"node-b"},
		{"addresses":["10.0.0.4"],"nodeName":"node-a","conditions":{"ready":false,"serving":true,"terminating":true}}]}`)
	r, err := proxyrules.Compile(nodeA, services, slices)
	require.NoError(t, err)
	for _, c := range []struct {
		healthy bool
		status  int
	}{{true, 200}, {false, 503}} {
		a, ok := r.Health(31234, c.healthy)
		require.True(t, ok)
		require.Equal(t, c.status, a.Status)
		require.Equal(t, 2, a.LocalEndpoints)
		var body map[string]any
		require.NoError(t, json.Unmarshal([]byte(a.Body), &body))
		require.Equal(t, fmt.Sprintf("map[localEndpoints:2 service:map[name:web namespace:t] serviceProxyHealthy:%t]", c.healthy), fmt.Sprint(body))
	}
	_, ok := r.Health(31235, true)
	require.False(t, ok)
	_, ok = r.Health(0, true)
	require.False(t, ok)

	cfg := nodeA
	cfg.NodeName = "node-z"
	r, err = proxyrules.Compile(cfg, services, slices)
	require.NoError(t, err)
	a, ok := r.Health(31234, true)
	require.True(t, ok)
	require.Equal(t, 503, a.Status)
}
