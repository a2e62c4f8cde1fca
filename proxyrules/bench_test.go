package proxyrules_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
)

// cluster makes services of ten endpoints each, every tenth of them local.
func cluster(services, endpoints int) (proxyrules.Config, []proxyrules.Service, []proxyrules.EndpointSlice) {
	cfg := proxyrules.Config{
		NodeName: "node-a", NodeIPs: []netip.Addr{netip.MustParseAddr("192.168.0.2")},
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")},
	}
	nodes, name, tcp, number := []string{"node-a", "node-b"}, "http", "TCP", int32(8080)
	var svcs []proxyrules.Service
	var slices []proxyrules.EndpointSlice
	n := 0
	for i := range services {
		var s proxyrules.Service
		s.Metadata.Namespace, s.Metadata.Name = "bench", fmt.Sprintf("svc-%05d", i)
		s.Spec.ClusterIP = netip.AddrFrom4([4]byte{172, byte(16 + i>>16), byte(i >> 8), byte(i)}).String()
		s.Spec.Ports = []proxyrules.ServicePort{{Name: name, Port: 80, Protocol: tcp}}
		svcs = append(svcs, s)
		var e proxyrules.EndpointSlice
		e.Metadata.Namespace, e.Metadata.Name = "bench", s.Metadata.Name+"-0"
		e.Metadata.Labels = map[string]string{"kubernetes.io/service-name": s.Metadata.Name}
		e.AddressType = "IPv4"
		e.Ports = []proxyrules.EndpointPort{{Name: &name, Protocol: &tcp, Port: &number}}
		for range endpoints {
			ip := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
			node := &nodes[1]
			if n%10 == 0 {
				node = &nodes[0]
			}
			e.Endpoints = append(e.Endpoints, proxyrules.Endpoint{Addresses: []string{ip.String()}, NodeName: node})
			n++
		}
		slices = append(slices, e)
	}
	return cfg, svcs, slices
}

var sizes = []int{1000, 10000}

func BenchmarkCompile(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			cfg, svcs, slices := cluster(n, 10)
			b.ReportAllocs()
			for b.Loop() {
				r, err := proxyrules.Compile(cfg, svcs, slices)
				if err != nil || len(r.Frontends()) != n {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRender(b *testing.B) {
	for _, n := range sizes {
		cfg, svcs, slices := cluster(n, 10)
		r, err := proxyrules.Compile(cfg, svcs, slices)
		require.NoError(b, err)
		for _, mode := range []proxyrules.Mode{proxyrules.IPTables, proxyrules.NFTables} {
			render := r.AppendIPTables
			if mode == proxyrules.NFTables {
				render = r.AppendNFT
			}
			want := len(render(nil))
			b.Run(fmt.Sprintf("mode=%s/services=%d", mode, n), func(b *testing.B) {
				b.ReportAllocs()
				var buf []byte
				for b.Loop() {
					if buf = render(buf[:0]); len(buf) != want {
						b.Fatal("the text changed")
					}
				}
				b.SetBytes(int64(want))
			})
		}
	}
}

// clusterIP is the address of service i of cluster.
func clusterIP(i uint64) netip.Addr {
	return netip.AddrFrom4([4]byte{172, byte(16 + i>>16), byte(i >> 8), byte(i)})
}

// BenchmarkLookup decides about flows to services and backends in random
// order. Flows are made on the way, since reading many of them from memory
// would cost more than deciding.
func BenchmarkLookup(b *testing.B) {
	for _, n := range sizes {
		for _, mode := range []proxyrules.Mode{proxyrules.IPTables, proxyrules.NFTables} {
			b.Run(fmt.Sprintf("mode=%s/services=%d", mode, n), func(b *testing.B) {
				cfg, svcs, slices := cluster(n, 10)
				cfg.Mode = mode
				r, err := proxyrules.Compile(cfg, svcs, slices)
				require.NoError(b, err)
				f := flow("tcp", "10.9.9.9:4000", "172.16.0.0:80")
				for i, p := range r.Policies() {
					f.Destination = netip.AddrPortFrom(clusterIP(uint64(i)), 80)
					require.Equal(b, svcs[i].Metadata.Name, p.Key.Service)
					for k, to := range p.Cluster {
						want := proxyrules.Decision{Verdict: proxyrules.DNAT, Backend: to.Address, Policy: p}
						if d := r.Lookup(&f, uint32(k<<32/10+1)); d != want {
							b.Fatal(f, d, want)
						}
					}
				}
				b.ReportAllocs()
				i, ports, x := 0, 0, uint64(1)
				for b.Loop() {
					x = x*6364136223846793005 + 1442695040888963407 // Knuth's
					f.Destination = netip.AddrPortFrom(clusterIP(x>>32*uint64(n)>>32), 80)
					d := r.Lookup(&f, uint32(x>>16))
					ports += int(d.Backend.Port())
					i++
				}
				require.Equal(b, 8080*i, ports)
			})
		}
	}
}

func BenchmarkCompiler(b *testing.B) {
	for _, n := range sizes {
		for _, mode := range []proxyrules.Mode{proxyrules.IPTables, proxyrules.NFTables} {
			b.Run(fmt.Sprintf("mode=%s/services=%d", mode, n), func(b *testing.B) {
				cfg, svcs, slices := cluster(n, 10)
				c, err := proxyrules.NewCompiler(cfg)
				require.NoError(b, err)
				for i := range svcs {
					require.NoError(b, c.SetService(&svcs[i]))
					require.NoError(b, c.SetEndpointSlice(&slices[i]))
				}
				before := c.RuleSet()
				var buf []byte
				buf = before.AppendIPTables(buf[:0])
				addresses := []string{"10.250.0.1", "10.250.0.2"}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					slice := slices[i*7919%n]
					slice.Endpoints = append([]proxyrules.Endpoint(nil), slice.Endpoints...)
					slice.Endpoints[0].Addresses = addresses[i/n%2 : i/n%2+1]
					if err := c.SetEndpointSlice(&slice); err != nil {
						b.Fatal(err)
					}
					now := c.RuleSet()
					u := proxyrules.Diff(before, now)
					if mode == proxyrules.NFTables {
						buf = u.AppendNFT(buf[:0])
					} else {
						buf = u.AppendIPTables(buf[:0])
					}
					if len(buf) == 0 || len(u.Changed()) != 1 {
						b.Fatal("one service port was to change")
					}
					before = now
					i++
				}
			})
		}
	}
}

func BenchmarkCold(b *testing.B) {
	for _, n := range sizes {
		for _, mode := range []proxyrules.Mode{proxyrules.IPTables, proxyrules.NFTables} {
			b.Run(fmt.Sprintf("mode=%s/services=%d", mode, n), func(b *testing.B) {
				cfg, svcs, slices := cluster(n, 10)
				b.ReportAllocs()
				for b.Loop() {
					r, err := proxyrules.Compile(cfg, svcs, slices)
					if err != nil {
						b.Fatal(err)
					}
					text := r.AppendNFT
					if mode == proxyrules.IPTables {
						text = r.AppendIPTables
					}
					if len(text(nil)) < 100*n {
						b.Fatal("too little text")
					}
				}
			})
		}
	}
}

// BenchmarkLarge is the size at which kube-proxy's syncs are known to take
// minutes: the heap that a RuleSet keeps, and one changed endpoint.
func BenchmarkLarge(b *testing.B) {
	const services, endpoints = 5000, 50
	cfg, svcs, slices := cluster(services, endpoints)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	b.Run("endpoints=250000/compile", func(b *testing.B) {
		start := heap()
		var r *proxyrules.RuleSet
		for b.Loop() {
			var err error
			if r, err = proxyrules.Compile(cfg, svcs, slices); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-start)/(services*endpoints), "heap-bytes/endpoint")
		require.Len(b, r.Policies(), services)
	})
	b.Run("endpoints=250000/change-to-nft", func(b *testing.B) {
		c, err := proxyrules.NewCompiler(cfg)
		require.NoError(b, err)
		for i := range svcs {
			require.NoError(b, c.SetService(&svcs[i]))
			require.NoError(b, c.SetEndpointSlice(&slices[i]))
		}
		before, i := c.RuleSet(), 0
		var buf []byte
		for b.Loop() {
			slice := slices[i*7919%services]
			slice.Endpoints = slice.Endpoints[:endpoints-1-i/services%2]
			if err := c.SetEndpointSlice(&slice); err != nil {
				b.Fatal(err)
			}
			now := c.RuleSet()
			if buf = proxyrules.Diff(before, now).AppendNFT(buf[:0]); len(buf) == 0 {
				b.Fatal("nothing changed")
			}
			before = now
			i++
		}
	})
}
