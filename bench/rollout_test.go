package bench

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/bench/internal/workload"
	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/orchcore/orchcore/scheduler"
	"github.com/orchcore/orchcore/selector"
)

// rollout is a cluster on its way from JSON to rules.
type rollout struct {
	nodes, services, replicas int

	store     *mvcc.Store
	cache     *scheduler.Cache
	scheduler *scheduler.Scheduler
	pods      []*scheduler.Pod
	classes   map[qos.Class]int
	placed    map[string]string // pod → node
	slices    []proxyrules.EndpointSlice
	rules     *proxyrules.RuleSet
}

// service is the part of a Service that an endpoint controller reads.
type service struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Selector map[string]string `json:"selector"`
	} `json:"spec"`
}

// state writes every object into a new store.
func (r *rollout) state(tb testing.TB) {
	r.store = mvcc.New()
	put := func(kind, name string, o workload.Object) {
		_, err := r.store.Put(&mvcc.PutRequest{Key: []byte("/registry/" + kind + "/" + name), Value: o.JSON()})
		require.NoError(tb, err)
	}
	basic, err := workload.New("basic", r.nodes)
	require.NoError(tb, err)
	for i := range r.nodes {
		put("nodes", fmt.Sprintf("%05d", i), basic.Node(i))
	}
	for i, svc := range workload.NewPlainServices(r.services, 0).Services {
		name := fmt.Sprintf("svc-%05d", i)
		put("services", name, svc)
		for j := range r.replicas {
			pod := basic.PendingPod(i*r.replicas + j)
			pod["metadata"].(workload.Object)["labels"] = workload.Object{"app": name}
			put("pods", fmt.Sprintf("%s-%05d", name, j), pod)
		}
	}
}

// list reads all objects of a kind at one revision.
func list[T any](tb testing.TB, s *mvcc.Store, kind string, revision int64) []T {
	prefix := []byte("/registry/" + kind + "/")
	res, err := s.Range(&mvcc.RangeOptions{Key: prefix, End: mvcc.PrefixEnd(prefix), Revision: revision})
	require.NoError(tb, err)
	out := make([]T, len(res.KVs))
	for i, kv := range res.KVs {
		require.NoError(tb, json.Unmarshal(kv.Value, &out[i]), "%s", kv.Key)
	}
	return out
}

// run takes the stored objects all the way.
func (r *rollout) run(tb testing.TB) {
	revision := r.store.Revision()
	r.cache = scheduler.NewCache(scheduler.CacheConfig{})
	for _, n := range list[*scheduler.Node](tb, r.store, "nodes", revision) {
		require.NoError(tb, r.cache.AddNode(n))
	}
	var err error
	r.scheduler, err = scheduler.New(scheduler.Config{Cache: r.cache})
	require.NoError(tb, err)
	r.classes = map[qos.Class]int{}
	for _, p := range list[*qos.Pod](tb, r.store, "pods", revision) {
		r.classes[qos.ClassOf(p)]++
	}
	r.pods = list[*scheduler.Pod](tb, r.store, "pods", revision)
	r.place(tb)
	r.endpoints(tb, list[service](tb, r.store, "services", revision))
	config := proxyrules.Config{NodeName: "node-00000", NodeIPs: []netip.Addr{netip.MustParseAddr("192.168.0.10")}}
	r.rules, err = proxyrules.Compile(config, list[proxyrules.Service](tb, r.store, "services", revision), r.slices)
	require.NoError(tb, err)
}

func (r *rollout) place(tb testing.TB) {
	r.placed = make(map[string]string, len(r.pods))
	for _, p := range r.pods {
		placement, err := r.scheduler.Schedule(p)
		require.NoError(tb, err)
		require.NoError(tb, r.cache.Assume(p, placement.Node))
		require.NoError(tb, r.cache.Confirm(p.Namespace, p.Name))
		r.placed[p.Name] = placement.Node
	}
}

// endpoints does what an endpoint-slice controller does: a slice per service
// with the pods that its selector matches.
func (r *rollout) endpoints(tb testing.TB, services []service) {
	labels := make([]selector.Labels, len(r.pods))
	for i, p := range r.pods {
		labels[i] = selector.NewLabels(p.Labels)
	}
	r.slices = nil
	for _, svc := range services {
		wanted := selector.FromMap(svc.Spec.Selector)
		var members []any
		for i, p := range r.pods {
			if wanted.Matches(labels[i]) {
				members = append(members, workload.Object{"addresses": []any{podIP(i).String()}, "nodeName": r.placed[p.Name]})
			}
		}
		o := workload.Object{"addressType": "IPv4", "endpoints": members,
			"metadata": workload.Object{"name": svc.Metadata.Name, "namespace": "default",
				"labels": workload.Object{"kubernetes.io/service-name": svc.Metadata.Name}},
			"ports": []any{workload.Object{"name": "http", "protocol": "TCP", "port": 8080}}}
		var slice proxyrules.EndpointSlice
		require.NoError(tb, json.Unmarshal(o.JSON(), &slice))
		r.slices = append(r.slices, slice)
	}
}

func podIP(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 128 + byte(i>>16), byte(i >> 8), byte(i)})
}

// check holds the result against what can be said without the packages: the
// pods are alike and ask for 100m and 500Mi, the nodes have 4 CPUs, 32 GiB and
// room for 110.
func (r *rollout) check(tb testing.TB) {
	total := r.services * r.replicas
	require.Equal(tb, map[qos.Class]int{qos.Guaranteed: total}, r.classes)
	require.Len(tb, r.placed, total)
	perNode := map[string]int{}
	for _, node := range r.placed {
		perNode[node]++
	}
	each, room := resource.MustParse("100m"), resource.MustParse("4")
	for node, pods := range perNode {
		require.LessOrEqual(tb, pods, 40, "pods on %s", node)
		require.LessOrEqual(tb, each.Mul(int64(pods)).Cmp(room), 0, "cpu of %s", node)
	}
	// Equal nodes and equal pods: the least allocated node is always next.
	counts := slices.Sorted(maps.Values(perNode))
	if total >= r.nodes {
		require.Len(tb, perNode, r.nodes)
		require.LessOrEqual(tb, counts[len(counts)-1]-counts[0], 1, "spread %v", counts)
	}
	r.checkRules(tb)
}

// checkRules asks for every service with as many draws as it has replicas, one
// in each share of the range: each replica must answer once.
func (r *rollout) checkRules(tb testing.TB) {
	client := netip.MustParseAddrPort("10.200.0.1:40000")
	for s := range r.services {
		vip := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, byte(s >> 8), byte(s)}), 80)
		flow := proxyrules.Flow{Protocol: proxyrules.TCP, Source: client, Destination: vip}
		reached := map[netip.AddrPort]bool{}
		for i := range r.replicas {
			share := (uint64(i)*2 + 1) << 31 / uint64(r.replicas)
			d := r.rules.Lookup(&flow, uint32(share))
			require.Equal(tb, proxyrules.DNAT, d.Verdict, "service %d", s)
			reached[d.Backend] = true
		}
		for i := range r.replicas {
			want := netip.AddrPortFrom(podIP(s*r.replicas+i), 8080)
			require.True(tb, reached[want], "service %d never reaches %v, but %v", s, want, slices.Collect(maps.Keys(reached)))
		}
	}
	miss := proxyrules.Flow{Protocol: proxyrules.TCP, Source: client, Destination: netip.MustParseAddrPort("10.97.0.1:80")}
	require.Equal(tb, proxyrules.Accept, r.rules.Lookup(&miss, 0).Verdict)
}

func TestRollout(t *testing.T) {
	r := &rollout{nodes: 30, services: 40, replicas: 5}
	r.state(t)
	r.run(t)
	r.check(t)
}

// The whole way again from the same store must give the same bytes.
func TestRolloutIsDeterministic(t *testing.T) {
	r := &rollout{nodes: 12, services: 15, replicas: 3}
	r.state(t)
	r.run(t)
	placed, ipt, nft := r.placed, r.rules.AppendIPTables(nil), r.rules.AppendNFT(nil)
	r.run(t)
	require.Equal(t, placed, r.placed)
	require.Equal(t, string(ipt), string(r.rules.AppendIPTables(nil)))
	require.Equal(t, string(nft), string(r.rules.AppendNFT(nil)))
}

// A cluster that is too small says so, with upstream's words, and places what
// fits.
func TestRolloutThatDoesNotFit(t *testing.T) {
	r := &rollout{nodes: 2, services: 9, replicas: 9}
	r.state(t)
	revision := r.store.Revision()
	cache := scheduler.NewCache(scheduler.CacheConfig{})
	for _, n := range list[*scheduler.Node](t, r.store, "nodes", revision) {
		require.NoError(t, cache.AddNode(n))
	}
	s, err := scheduler.New(scheduler.Config{Cache: cache})
	require.NoError(t, err)
	fits := 0
	for _, p := range list[*scheduler.Pod](t, r.store, "pods", revision) {
		placement, err := s.Schedule(p)
		if err != nil {
			var unfit *scheduler.FitError
			require.ErrorAs(t, err, &unfit)
			require.ErrorContains(t, err, "0/2 nodes are available: 2 Insufficient cpu.")
			continue
		}
		require.NoError(t, cache.Assume(p, placement.Node))
		fits++
	}
	require.Equal(t, 80, fits, "two nodes of 4 CPUs hold 80 pods of 100m")
}

func BenchmarkRollout(b *testing.B) {
	for _, size := range []struct{ nodes, services, replicas int }{{100, 100, 10}, {1000, 500, 10}} {
		b.Run(fmt.Sprintf("nodes=%d/services=%d/replicas=%d", size.nodes, size.services, size.replicas), func(b *testing.B) {
			r := &rollout{nodes: size.nodes, services: size.services, replicas: size.replicas}
			r.state(b)
			r.run(b)
			r.check(b)
			b.ReportAllocs()
			var text []byte
			for b.Loop() {
				r.run(b)
				text = r.rules.AppendNFT(text[:0])
			}
			pods := float64(len(r.pods)) * float64(b.N)
			b.ReportMetric(pods/b.Elapsed().Seconds(), "pods/s")
			b.ReportMetric(float64(len(text)), "rule-bytes")
		})
	}
}
