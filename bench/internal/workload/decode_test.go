package workload

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/scheduler"
	"github.com/orchcore/orchcore/selector"
)

// as decodes an object into another package's wire type.
func as[T any](t *testing.T, o Object) *T {
	t.Helper()
	v := new(T)
	require.NoError(t, json.Unmarshal(o.JSON(), v), "%s", o.JSON())
	return v
}

func TestSchedulerAcceptsMixedClusters(t *testing.T) {
	for seed := range uint64(100) {
		c := NewCluster(seeded(seed), ClusterConfig{Features: AllFeatures})
		cache := scheduler.NewCache(scheduler.CacheConfig{})
		for _, n := range c.Nodes {
			require.NoError(t, cache.AddNode(as[scheduler.Node](t, n)), "%s", n.JSON())
		}
		for _, o := range c.Pods {
			p := as[scheduler.Pod](t, o)
			require.NoError(t, scheduler.ValidatePod(p), "%s", o.JSON())
			if p.Spec.NodeName != "" {
				require.NoError(t, cache.AddPod(p), "%s", o.JSON())
			}
		}
	}
}

func TestSchedulerAcceptsNamedWorkloads(t *testing.T) {
	for _, name := range Names() {
		w, err := New(name, 20)
		require.NoError(t, err)
		cache := scheduler.NewCache(scheduler.CacheConfig{})
		c := w.Cluster(10)
		for _, n := range c.Nodes {
			require.NoError(t, cache.AddNode(as[scheduler.Node](t, n)))
		}
		for _, o := range c.Pods {
			if p := as[scheduler.Pod](t, o); p.Spec.NodeName != "" {
				require.NoError(t, cache.AddPod(p))
			} else {
				require.NoError(t, scheduler.ValidatePod(p))
			}
		}
	}
}

func TestQOSDecodesPods(t *testing.T) {
	for seed := range uint64(20) {
		for _, o := range NewCluster(seeded(seed), ClusterConfig{Features: AllFeatures}).Pods {
			_, err := qos.DecodePod(o.JSON())
			require.NoError(t, err, "%s", o.JSON())
		}
	}
}

func TestProxyrulesDecodesServices(t *testing.T) {
	for seed := range uint64(50) {
		s := NewServices(seeded(seed), 30)
		for _, o := range s.Services {
			as[proxyrules.Service](t, o)
		}
		for _, o := range s.EndpointSlices {
			as[proxyrules.EndpointSlice](t, o)
		}
	}
}

func TestSelectorsParse(t *testing.T) {
	r := seeded(1)
	for range 5000 {
		text := SelectorText(r)
		_, err := selector.Parse(text)
		require.NoError(t, err, "%q", text)
		o := LabelSelector(r)
		_, err = selector.Compile(as[selector.LabelSelector](t, o))
		require.NoError(t, err, "%s", o.JSON())
	}
}
