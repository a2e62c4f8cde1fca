package proxyrules_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"strings"

	"github.com/orchcore/orchcore/proxyrules"
)

// A Service and its slice, as kubectl get -o json prints them, shortened.
const shop = `{
  "services": [{"metadata": {"namespace": "shop", "name": "web"}, "spec": {"type": "NodePort", "clusterIP": "172.30.0.10",
    "externalTrafficPolicy": "Local", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]}}],
  "slices": [{"metadata": {"namespace": "shop", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
    "ports": [{"name": "http", "port": 8080}],
    "endpoints": [{"addresses": ["10.0.1.10"], "nodeName": "node-a"}, {"addresses": ["10.0.2.10"], "nodeName": "node-b"}]}]
}`

func compileShop(mode proxyrules.Mode) *proxyrules.RuleSet {
	var in struct {
		Services []proxyrules.Service
		Slices   []proxyrules.EndpointSlice
	}
	if err := json.Unmarshal([]byte(shop), &in); err != nil {
		log.Fatal(err)
	}
	rules, err := proxyrules.Compile(proxyrules.Config{
		NodeName:     "node-a",
		NodeIPs:      []netip.Addr{netip.MustParseAddr("192.168.0.2")},
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
		Mode:         mode,
	}, in.Services, in.Slices)
	if err != nil {
		log.Fatal(err)
	}
	return rules
}

func ExampleCompile() {
	rules := compileShop(proxyrules.IPTables)
	for _, f := range rules.Frontends() {
		fmt.Println(f.Kind, f.Policy.Key, "cluster:", len(f.Policy.Cluster), "local:", len(f.Policy.Local))
	}
	for line := range strings.Lines(string(rules.AppendIPTables(nil))) {
		if strings.HasPrefix(line, "-A KUBE-SVC") {
			fmt.Print(line)
		}
	}
	// Output:
	// clusterIP shop/web:http cluster: 2 local: 1
	// nodePort shop/web:http cluster: 2 local: 1
	// -A KUBE-SVC-67NZLRHBNDSAWJRO -m comment --comment "shop/web:http cluster IP" -m tcp -p tcp -d 172.30.0.10 --dport 80 ! -s 10.0.0.0/16 -j KUBE-MARK-MASQ
	// -A KUBE-SVC-67NZLRHBNDSAWJRO -m comment --comment "shop/web:http -> 10.0.1.10:8080" -m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-R5C4OB5QTUN5GL4Y
	// -A KUBE-SVC-67NZLRHBNDSAWJRO -m comment --comment "shop/web:http -> 10.0.2.10:8080" -j KUBE-SEP-LXDYYXXT3YA2BHY5
}

func ExampleRuleSet_Lookup() {
	rules := compileShop(proxyrules.NFTables)
	pod := netip.MustParseAddrPort("10.0.1.99:40000")
	for _, random := range []uint32{0, 1 << 31} {
		d := rules.Lookup(&proxyrules.Flow{Protocol: proxyrules.TCP, Source: pod, Destination: netip.MustParseAddrPort("172.30.0.10:80")}, random)
		fmt.Println(d.Verdict, d.Backend, "masquerade:", d.Masquerade)
	}
	// Output:
	// DNAT 10.0.1.10:8080 masquerade: false
	// DNAT 10.0.2.10:8080 masquerade: false
}

func ExampleRuleSet_Trace() {
	rules := compileShop(proxyrules.IPTables)
	trace, err := rules.Trace(proxyrules.Flow{
		Protocol:    proxyrules.TCP,
		Source:      netip.MustParseAddrPort("203.0.113.5:40000"),
		Destination: netip.MustParseAddrPort("192.168.0.2:30080"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(trace.Verdict, trace.Choices[0].Backend.Address, "masquerade:", trace.Masquerade)
	fmt.Println(strings.Join(trace.Why, "\n"))
	// Output:
	// DNAT 10.0.1.10:8080 masquerade: false
	// nat KUBE-NODEPORTS: node port 30080 of shop/web:http
	// externalTrafficPolicy Local: backends of this node, source kept
	// not 10.0.2.10:8080 of slice web-x: not on this node
}

func ExampleParseNFT() {
	program, err := proxyrules.ParseNFT(string(compileShop(proxyrules.NFTables).AppendNFT(nil)))
	if err != nil {
		log.Fatal(err)
	}
	ends, err := program.Run(proxyrules.Flow{
		Protocol:    proxyrules.TCP,
		Source:      netip.MustParseAddrPort("203.0.113.5:40000"),
		Destination: netip.MustParseAddrPort("172.30.0.10:80"),
	}, proxyrules.Environment{})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range ends {
		fmt.Println(e.Verdict, e.Backend, "masquerade:", e.Masquerade, "probability:", e.Probability)
	}
	// Output:
	// DNAT 10.0.1.10:8080 masquerade: true probability: 0.5
	// DNAT 10.0.2.10:8080 masquerade: true probability: 0.5
}

func ExampleCompiler() {
	var in struct {
		Services []proxyrules.Service
		Slices   []proxyrules.EndpointSlice
	}
	if err := json.Unmarshal([]byte(shop), &in); err != nil {
		log.Fatal(err)
	}
	compiler, err := proxyrules.NewCompiler(proxyrules.Config{NodeName: "node-b"})
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(compiler.SetService(&in.Services[0]), compiler.SetEndpointSlice(&in.Slices[0])); err != nil {
		log.Fatal(err)
	}
	before := compiler.RuleSet()

	// A pod is replaced by one with another address.
	in.Slices[0].Endpoints[1].Addresses = []string{"10.0.2.77"}
	if err := compiler.SetEndpointSlice(&in.Slices[0]); err != nil {
		log.Fatal(err)
	}
	update := proxyrules.Diff(before, compiler.RuleSet())
	fmt.Println(update.Changed())
	fmt.Print(string(update.AppendNFT(nil)))
	// Output:
	// [shop/web:http]
	// delete element ip kube-proxy hairpin-connections { 10.0.2.10 . 10.0.2.10 . tcp . 8080 }
	// delete element ip kube-proxy endpoints-tcp-05 { 1483848673 }
	// delete element ip kube-proxy endpoints-tcp-77 { 610970501 }
	// add element ip kube-proxy hairpin-connections { 10.0.2.77 . 10.0.2.77 . tcp . 8080 }
	// add element ip kube-proxy endpoints-tcp-05 { 1483848673 : 10.0.2.77 . 8080 }
	// add element ip kube-proxy endpoints-tcp-77 { 610970501 : 10.0.2.77 . 8080 }
}

func ExampleEquivalent() {
	text := string(compileShop(proxyrules.NFTables).AppendNFT(nil))
	a, err := proxyrules.ParseNFT(text)
	if err != nil {
		log.Fatal(err)
	}
	b, err := proxyrules.ParseNFT(strings.Replace(text, "10.0.2.10", "10.0.2.99", 1))
	if err != nil {
		log.Fatal(err)
	}
	w, err := proxyrules.Equivalent(a, b, proxyrules.Environment{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Flow.Destination, w.A[1].Backend, w.B[1].Backend)
	// Output: 172.30.0.10:80 10.0.2.10:8080 10.0.2.99:8080
}
