package proxyrules_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

// decode reads services and slices out of JSON written as the API prints it.
func decode(t testing.TB, services, slices string) ([]proxyrules.Service, []proxyrules.EndpointSlice) {
	t.Helper()
	var s []proxyrules.Service
	var e []proxyrules.EndpointSlice
	require.NoError(t, json.Unmarshal([]byte("["+services+"]"), &s))
	require.NoError(t, json.Unmarshal([]byte("["+slices+"]"), &e))
	return s, e
}

var nodeA = proxyrules.Config{
	NodeName:     "node-a",
	NodeIPs:      []netip.Addr{netip.MustParseAddr("192.168.0.2"), netip.MustParseAddr("fd00:1::2")},
	ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("fd00:10::/64")},
}

func addresses(list []proxyrules.Backend) []string {
	out := []string{}
	for _, b := range list {
		out = append(out, b.Address.String())
	}
	return out
}

const webService = `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"172.30.0.10","clusterIPs":["172.30.0.10","fd00:30::a"],
	"ipFamilies":["IPv4","IPv6"],"ports":[{"name":"http","port":80}]}}`

func webSlice(endpoints string) string {
	return `{"metadata":{"namespace":"t","name":"web-1","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4",
		"ports":[{"name":"http","protocol":"TCP","port":8080}],"endpoints":[` + endpoints + `]}`
}

// Which Services a proxy looks at.
func TestServicesThatCount(t *testing.T) {
	for _, c := range []struct {
		name, service string
		family        proxyrules.Family
		want          string // the ClusterIP; "" when it does not count
	}{
		{"dual stack, IPv4", webService, proxyrules.IPv4, "172.30.0.10"},
		{"dual stack, IPv6", webService, proxyrules.IPv6, "fd00:30::a"},
		{"families in the other order", `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"fd00:30::a","clusterIPs":["fd00:30::a","172.30.0.10"],"ipFamilies":["IPv6","IPv4"],"ports":[{"port":80}]}}`, proxyrules.IPv4, "172.30.0.10"},
		{"no ipFamilies", `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"172.30.0.10","ports":[{"port":80}]}}`, proxyrules.IPv4, "172.30.0.10"},
		{"no ipFamilies, other family", `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"172.30.0.10","ports":[{"port":80}]}}`, proxyrules.IPv6, ""},
		{"family without address", `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"172.30.0.10","clusterIPs":["172.30.0.10"],"ipFamilies":["IPv4","IPv6"],"ports":[{"port":80}]}}`, proxyrules.IPv6, ""},
		{"headless", `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"None","ports":[{"port":80}]}}`, proxyrules.IPv4, ""},
		{"no address yet", `{"metadata":{"namespace":"t","name":"web"},"spec":{"ports":[{"port":80}]}}`, proxyrules.IPv4, ""},
		{"ExternalName", `{"metadata":{"namespace":"t","name":"web"},"spec":{"type":"ExternalName","clusterIP":"172.30.0.10","externalName":"x.example","ports":[{"port":80}]}}`, proxyrules.IPv4, ""},
		{"another proxy's", `{"metadata":{"namespace":"t","name":"web","labels":{"service.kubernetes.io/service-proxy-name":""}},"spec":{"clusterIP":"172.30.0.10","ports":[{"port":80}]}}`, proxyrules.IPv4, ""},
		{"leading zeros", `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"172.030.0.010","ports":[{"port":80}]}}`, proxyrules.IPv4, "172.30.0.10"},
		{"IPv4-mapped", `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"::ffff:172.30.0.10","ports":[{"port":80}]}}`, proxyrules.IPv4, "172.30.0.10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			services, _ := decode(t, c.service, "")
			cfg := nodeA
			cfg.Family = c.family
			r, err := proxyrules.Compile(cfg, services, nil)
			require.NoError(t, err)
			if c.want == "" {
				require.Empty(t, r.Policies())
				return
			}
			require.Len(t, r.Policies(), 1)
			require.Equal(t, c.want, r.Policies()[0].ClusterIP.String())
		})
	}
}

// Which endpoints a service port uses. The node is node-a, its zone z1.
func TestEndpointChoice(t *testing.T) {
	const ready, notReady, draining, gone = `"ready":true`, `"ready":false,"serving":false`,
		`"ready":false,"serving":true,"terminating":true`, `"ready":false,"serving":false,"terminating":true`
	ep := func(ip, node, conditions, hints string) string {
		return `{"addresses":["` + ip + `"],"nodeName":"` + node + `","conditions":{` + conditions + `},"hints":{` + hints + `}}`
	}
	zone := func(z string) string { return `"forZones":[{"name":"` + z + `"}]` }
	node := func(n string) string { return `"forNodes":[{"name":"` + n + `"}]` }
	for _, c := range []struct {
		name           string
		endpoints      []string
		cluster, local []string
		has            bool
		topology       string
	}{
		{"none", nil, []string{}, []string{}, false, ""},
		{"ready only", []string{ep("10.0.0.1", "node-a", ready, ""), ep("10.0.0.2", "node-b", notReady, "")},
			[]string{"10.0.0.1:8080"}, []string{"10.0.0.1:8080"}, true, ""},
		{"unset conditions mean ready", []string{ep("10.0.0.1", "node-b", "", "")}, []string{"10.0.0.1:8080"}, []string{}, true, ""},
		{"sorted as strings", []string{ep("10.0.0.2", "node-b", ready, ""), ep("10.0.0.10", "node-b", ready, "")},
			[]string{"10.0.0.10:8080", "10.0.0.2:8080"}, []string{}, true, ""},
		{"draining when nothing is ready", []string{ep("10.0.0.1", "node-b", draining, ""), ep("10.0.0.2", "node-b", gone, "")},
			[]string{"10.0.0.1:8080"}, []string{}, true, ""},
		{"draining here, ready there", []string{ep("10.0.0.1", "node-a", draining, ""), ep("10.0.0.2", "node-b", ready, "")},
			[]string{"10.0.0.2:8080"}, []string{"10.0.0.1:8080"}, true, ""},
		{"nobody serves", []string{ep("10.0.0.1", "node-a", gone, ""), ep("10.0.0.2", "node-b", notReady, "")}, []string{}, []string{}, false, ""},
		{"zone hints", []string{ep("10.0.0.1", "node-b", ready, zone("z1")), ep("10.0.0.2", "node-b", ready, zone("z2"))},
			[]string{"10.0.0.1:8080"}, []string{}, true, "PreferSameZone"},
		{"one without hint", []string{ep("10.0.0.1", "node-b", ready, zone("z1")), ep("10.0.0.2", "node-b", ready, "")},
			[]string{"10.0.0.1:8080", "10.0.0.2:8080"}, []string{}, true, ""},
		{"one without hint, but not ready", []string{ep("10.0.0.1", "node-b", ready, zone("z1")), ep("10.0.0.2", "node-b", notReady, "")},
			[]string{"10.0.0.1:8080"}, []string{}, true, "PreferSameZone"},
		{"nothing for this zone", []string{ep("10.0.0.1", "node-b", ready, zone("z2"))}, []string{"10.0.0.1:8080"}, []string{}, true, ""},
		{"node hints before zone hints", []string{ep("10.0.0.1", "node-b", ready, zone("z1")+","+node("node-b")), ep("10.0.0.2", "node-b", ready, zone("z1")+","+node("node-a"))},
			[]string{"10.0.0.2:8080"}, []string{}, true, "PreferSameNode"},
		{"node hints for others, zone hints for us", []string{ep("10.0.0.1", "node-b", ready, zone("z1")+","+node("node-b")), ep("10.0.0.2", "node-b", ready, zone("z2")+","+node("node-b"))},
			[]string{"10.0.0.1:8080"}, []string{}, true, "PreferSameZone"},
		{"hints do not touch the local list", []string{ep("10.0.0.1", "node-a", ready, zone("z2")), ep("10.0.0.2", "node-b", ready, zone("z1"))},
			[]string{"10.0.0.2:8080"}, []string{"10.0.0.1:8080"}, true, "PreferSameZone"},
		{"one address twice: who is not terminating", []string{ep("10.0.0.1", "node-b", draining, ""), ep("10.0.0.1", "node-a", ready, "")},
			[]string{"10.0.0.1:8080"}, []string{"10.0.0.1:8080"}, true, ""},
		{"one address twice: terminating later", []string{ep("10.0.0.1", "node-a", ready, ""), ep("10.0.0.1", "node-b", draining, "")},
			[]string{"10.0.0.1:8080"}, []string{"10.0.0.1:8080"}, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			service := strings.Replace(webService, `"spec":{`, `"spec":{"type":"NodePort","externalTrafficPolicy":"Local",`, 1)
			service = strings.Replace(service, `"port":80`, `"port":80,"nodePort":30080`, 1)
			services, slices := decode(t, service, webSlice(strings.Join(c.endpoints, ",")))
			cfg := nodeA
			cfg.NodeLabels = map[string]string{"topology.kubernetes.io/zone": "z1"}
			r, err := proxyrules.Compile(cfg, services, slices)
			require.NoError(t, err)
			p := r.Policies()[0]
			require.Equal(t, c.cluster, addresses(p.Cluster), "cluster")
			require.Equal(t, c.local, addresses(p.Local), "local")
			require.Equal(t, c.has, p.HasEndpoints, "HasEndpoints")
			require.Equal(t, c.topology, p.Topology, "Topology")
		})
	}
}

// What is refused, and how the error names it.
func TestRefusals(t *testing.T) {
	svc := func(spec string) string {
		return `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"172.30.0.10",` + spec + `}}`
	}
	for _, c := range []struct{ name, service, slice, object, field, value string }{
		{"comment in the name", `{"metadata":{"namespace":"t","name":"x\" -j ACCEPT #"},"spec":{"clusterIP":"172.30.0.10","ports":[{"port":80}]}}`, "", `Service t/x\" -j ACCEPT #`, "metadata.name", `x" -j ACCEPT #`},
		{"newline in the namespace", `{"metadata":{"namespace":"t\n-A INPUT -j ACCEPT","name":"web"},"spec":{"clusterIP":"172.30.0.10","ports":[{"port":80}]}}`, "", `Service t\n-A INPUT -j ACCEPT/web`, "metadata.namespace", "t\n-A INPUT -j ACCEPT"},
		{"no namespace", `{"metadata":{"name":"web"},"spec":{"clusterIP":"172.30.0.10","ports":[{"port":80}]}}`, "", "Service /web", "metadata.namespace", ""},
		{"brace in a port name", svc(`"ports":[{"name":"a}","port":80}]`), "", "Service t/web", "spec.ports[0].name", "a}"},
		{"port 0", svc(`"ports":[{"port":0}]`), "", "Service t/web", "spec.ports[0].port", "0"},
		{"port 65616", svc(`"ports":[{"port":65616}]`), "", "Service t/web", "spec.ports[0].port", "65616"},
		{"node port -1", svc(`"ports":[{"port":80,"nodePort":-1}]`), "", "Service t/web", "spec.ports[0].nodePort", "-1"},
		{"protocol", svc(`"ports":[{"port":80,"protocol":"ICMP"}]`), "", "Service t/web", "spec.ports[0].protocol", "ICMP"},
		{"protocol in lower case", svc(`"ports":[{"port":80,"protocol":"tcp"}]`), "", "Service t/web", "spec.ports[0].protocol", "tcp"},
		{"two ports of one name", svc(`"ports":[{"name":"a","port":80},{"name":"a","port":81}]`), "", "Service t/web", "spec.ports[1].name", "a"},
		{"two ports without name", svc(`"ports":[{"port":80},{"port":81}]`), "", "Service t/web", "spec.ports[1].name", ""},
		{"type", svc(`"type":"Magic","ports":[{"port":80}]`), "", "Service t/web", "spec.type", "Magic"},
		{"affinity", svc(`"sessionAffinity":"Cookie","ports":[{"port":80}]`), "", "Service t/web", "spec.sessionAffinity", "Cookie"},
		{"affinity of 2 days", svc(`"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":172800}},"ports":[{"port":80}]`), "", "Service t/web", "spec.sessionAffinityConfig.clientIP.timeoutSeconds", "172800"},
		{"traffic policy", svc(`"internalTrafficPolicy":"Near","ports":[{"port":80}]`), "", "Service t/web", "spec.internalTrafficPolicy", "Near"},
		{"family", svc(`"ipFamilies":["IPv5"],"ports":[{"port":80}]`), "", "Service t/web", "spec.ipFamilies[0]", "IPv5"},
		{"cluster IP", `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"172.30.0.10; drop","ports":[{"port":80}]}}`, "", "Service t/web", "spec.clusterIP", "172.30.0.10; drop"},
		{"cluster IP with zone", `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"fe80::1%eth0","ports":[{"port":80}]}}`, "", "Service t/web", "spec.clusterIP", "fe80::1%eth0"},
		{"address of a slice", "", webSlice(`{"addresses":["10.0.0.1 ACCEPT"]}`), "EndpointSlice t/web-1", "endpoints[0].addresses[0]", "10.0.0.1 ACCEPT"},
		{"family of an address", "", webSlice(`{"addresses":["fd00::1"]}`), "EndpointSlice t/web-1", "endpoints[0].addresses[0]", "fd00::1"},
		{"address type", "", `{"metadata":{"namespace":"t","name":"s"},"addressType":"IPX","ports":[],"endpoints":[]}`, "EndpointSlice t/s", "addressType", "IPX"},
		{"port of a slice", "", strings.Replace(webSlice(""), "8080", "80808", 1), "EndpointSlice t/web-1", "ports[0].port", "80808"},
		{"protocol of a slice", "", strings.Replace(webSlice(""), `"TCP"`, `"TCP -j ACCEPT"`, 1), "EndpointSlice t/web-1", "ports[0].protocol", "TCP -j ACCEPT"},
		{"one name twice", webService + "," + webService, "", "Service t/web", "metadata.name", "web"},
		{"one slice twice", "", webSlice("") + "," + webSlice(""), "EndpointSlice t/web-1", "metadata.name", "web-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			services, slices := decode(t, c.service, c.slice)
			r, err := proxyrules.Compile(nodeA, services, slices)
			require.Nil(t, r)
			require.ErrorIs(t, err, proxyrules.ErrRefused)
			var in *proxyrules.InputError
			require.True(t, errors.As(err, &in))
			require.Equal(t, []string{c.object, c.field, c.value}, []string{in.Object, in.Field, in.Value})
			require.NotEmpty(t, in.Want)
			require.Contains(t, err.Error(), c.field)

			cfg := nodeA
			cfg.SkipRefused = true
			r, err = proxyrules.Compile(cfg, services, slices)
			require.NoError(t, err)
			require.Equal(t, []*proxyrules.InputError{in}, r.Refused())
		})
	}
}

// Ports of one name are distinct when their protocols are.
func TestPortsByNameAndProtocol(t *testing.T) {
	services, slices := decode(t, `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"172.30.0.10","ports":[{"name":"dns","port":53},{"name":"dns","port":53,"protocol":"UDP"}]}}`,
		strings.Replace(webSlice(`{"addresses":["10.0.0.1"]}`), `"ports":[`, `"ports":[{"name":"dns","port":5353,"protocol":"UDP"},`, 1))
	r, err := proxyrules.Compile(nodeA, services, slices)
	require.NoError(t, err)
	require.Equal(t, proxyrules.Reject, r.Lookup(new(flow("tcp", "10.0.9.9:1", "172.30.0.10:53")), 0).Verdict)
	require.Equal(t, "10.0.0.1:5353", r.Lookup(new(flow("udp", "10.0.9.9:1", "172.30.0.10:53")), 0).Backend.String())
}

func TestConfigRefusals(t *testing.T) {
	for field, cfg := range map[string]proxyrules.Config{
		"Family":               {Family: "IPv5"},
		"Mode":                 {Mode: "ipvs"},
		"MasqueradeBit":        {MasqueradeBit: 32},
		"NodeIPs[0]":           {NodeIPs: []netip.Addr{{}}},
		"ClusterCIDRs[0]":      {ClusterCIDRs: []netip.Prefix{{}}},
		"ServiceCIDRs[0]":      {ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}},
		"NodePortAddresses[0]": {NodePortAddresses: []netip.Prefix{{}}},
		"BridgeInterface":      {BridgeInterface: `cni0" accept comment "`},
		"InterfaceNamePrefix":  {InterfaceNamePrefix: "fifteen-letters"},
		"ClusterCIDRs":         {BridgeInterface: "cni0", ClusterCIDRs: nodeA.ClusterCIDRs},
	} {
		_, err := proxyrules.Compile(cfg, nil, nil)
		var in *proxyrules.InputError
		require.True(t, errors.As(err, &in), field)
		require.Equal(t, "Config", in.Object)
		require.Equal(t, field, in.Field)
	}
}

// Interface names that mean more to nft, iptables or the kernel are refused.
func TestInterfaceNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"cni0": true, "veth-1_a.b": true, "fourteen-chars": true, "x": true,
		"*": false, "cni*": false, "cni+": false, "!": false, "a b": false, "a\nb": false, "@x": false, "$x": false, "a\x00": false,
		"a/b": false, "a:1": false, "-i": false, ".": false, "..": false, "fifteen-letters": false, "é": false,
	} {
		_, err := proxyrules.Compile(proxyrules.Config{InterfaceNamePrefix: name}, nil, nil)
		require.Equal(t, ok, err == nil, "%q: %v", name, err)
	}
	_, err := proxyrules.Compile(proxyrules.Config{BridgeInterface: "fifteen-letters"}, nil, nil)
	require.NoError(t, err)
	_, err = proxyrules.Compile(proxyrules.Config{BridgeInterface: "a", InterfaceNamePrefix: "b"}, nil, nil)
	require.ErrorContains(t, err, "nothing beside BridgeInterface")
}

// The bridge tells a pod from others, whatever their addresses are; what the
// node sends itself has no interface.
func TestPodsByInterface(t *testing.T) {
	services, slices := decode(t, webService, webSlice(`{"addresses":["10.0.1.10"]}`))
	for _, mode := range []proxyrules.Mode{proxyrules.IPTables, proxyrules.NFTables} {
		r, err := proxyrules.Compile(proxyrules.Config{NodeIPs: nodeA.NodeIPs, Mode: mode, BridgeInterface: "cni0"}, services, slices)
		require.NoError(t, err)
		for _, c := range []struct {
			source, in string
			masquerade bool
		}{
			{"8.8.8.8:1", "cni0", false}, {"8.8.8.8:1", "cni1", true}, {"10.0.1.9:1", "", true}, {"192.168.0.2:1", "cni0", true},
		} {
			f := flow("tcp", c.source, services[0].Spec.ClusterIP+":80")
			f.Interface = c.in
			require.Equal(t, c.masquerade, r.Lookup(&f, 0).Masquerade, "%s: %+v", mode, c)
		}
	}
}

// Packets of no connection are dropped, unless the kernel lets them live.
func TestInvalidPackets(t *testing.T) {
	const rule = "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n"
	strict, err := proxyrules.Compile(proxyrules.Config{}, nil, nil)
	require.NoError(t, err)
	liberal, err := proxyrules.Compile(proxyrules.Config{TCPBeLiberal: true}, nil, nil)
	require.NoError(t, err)
	require.Equal(t, strings.Replace(string(strict.AppendIPTables(nil)), rule, "", 1), string(liberal.AppendIPTables(nil)))
	require.Contains(t, string(strict.AppendIPTables(nil)), rule)
	require.Equal(t, strict.AppendNFT(nil), liberal.AppendNFT(nil))
}

// Node ports on localhost are for iptables and IPv4, and only if the ranges
// for node ports include loopback addresses.
func TestLocalhostNodePorts(t *testing.T) {
	service := strings.NewReplacer(`"spec":{`, `"spec":{"type":"NodePort",`, `"port":80`, `"port":80,"nodePort":30080`).Replace(webService)
	services, slices := decode(t, service, webSlice(`{"addresses":["10.0.0.1"]}`))
	prefix := netip.MustParsePrefix
	for _, c := range []struct {
		name      string
		mode      proxyrules.Mode
		on        bool
		ranges    []netip.Prefix
		own, far  proxyrules.Verdict // to 127.0.0.1: from itself, from a stranger
		mitigated bool
	}{
		{"on", proxyrules.IPTables, true, nil, proxyrules.DNAT, proxyrules.DNAT, true},
		{"off", proxyrules.IPTables, false, nil, proxyrules.Accept, proxyrules.Accept, false},
		{"nft", proxyrules.NFTables, true, nil, proxyrules.Accept, proxyrules.Accept, true},
		{"ranges without loopback", proxyrules.IPTables, true, []netip.Prefix{prefix("192.168.0.0/24")}, proxyrules.Accept, proxyrules.Accept, false},
		{"ranges with loopback", proxyrules.IPTables, true, []netip.Prefix{prefix("192.168.0.0/24"), prefix("127.0.0.0/8")}, proxyrules.DNAT, proxyrules.DNAT, true},
		{"a part of loopback", proxyrules.IPTables, true, []netip.Prefix{prefix("127.9.0.0/16")}, proxyrules.Accept, proxyrules.Drop, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := nodeA
			cfg.Mode, cfg.LocalhostNodePorts, cfg.NodePortAddresses = c.mode, c.on, c.ranges
			r, err := proxyrules.Compile(cfg, services, slices)
			require.NoError(t, err)
			require.Equal(t, c.own, r.Lookup(new(flow("tcp", "127.0.0.1:1", "127.0.0.1:30080")), 0).Verdict)
			require.Equal(t, c.far, r.Lookup(new(flow("tcp", "8.8.8.8:1", "127.0.0.1:30080")), 0).Verdict)
			require.Equal(t, c.mitigated, strings.Contains(string(r.AppendIPTables(nil)), "-A KUBE-FIREWALL"))
		})
	}
}

// Two Services that claim one address: the first by name keeps it, and the
// conflict is reported.
func TestConflicts(t *testing.T) {
	other := strings.NewReplacer(`"web"`, `"aaa"`, `"fd00:30::a"`, `"fd00:30::b"`).Replace(webService)
	services, slices := decode(t, webService+","+other, webSlice(`{"addresses":["10.0.0.1"]}`))
	r, err := proxyrules.Compile(nodeA, services, slices)
	require.NoError(t, err)
	require.Equal(t, []proxyrules.Diagnostic{{
		Object: "Service t/web", Field: "clusterIP", Value: "172.30.0.10 80/tcp",
		Message: "already held by Service port t/aaa:http, which keeps it",
	}}, r.Diagnostics())
	d := r.Lookup(new(flow("tcp", "8.8.8.8:1", "172.30.0.10:80")), 0)
	require.Equal(t, proxyrules.Reject, d.Verdict, "aaa has no endpoints")
	require.Equal(t, "t/aaa:http", d.Policy.Key.String())
}

// Values that upstream skips are skipped and reported.
func TestSkippedValues(t *testing.T) {
	services, slices := decode(t, `{"metadata":{"namespace":"t","name":"web"},"spec":{"type":"LoadBalancer","clusterIP":"172.30.0.10",
		"externalIPs":["1.2.3.4 -j ACCEPT"],"loadBalancerSourceRanges":["10.0.0.0/33","fd00::/8"],"ports":[{"port":80}]},
		"status":{"loadBalancer":{"ingress":[{"ip":"x"},{"hostname":"y"}]}}}`,
		`{"metadata":{"namespace":"t","name":"s","labels":{"kubernetes.io/service-name":"UPPER"}},"addressType":"IPv4","ports":[],"endpoints":[]},`+
			`{"metadata":{"namespace":"t","name":"u","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4","ports":[{"port":80},{"name":""}],"endpoints":[{"addresses":[]}]}`)
	r, err := proxyrules.Compile(nodeA, services, slices)
	require.NoError(t, err)
	var fields []string
	for _, d := range r.Diagnostics() {
		fields = append(fields, d.Field)
	}
	require.Equal(t, []string{
		"metadata.labels[kubernetes.io/service-name]", "endpoints[0].addresses", "ports[0]", "ports[1]",
		"spec.externalIPs[0]", "spec.loadBalancerSourceRanges", "spec.loadBalancerSourceRanges[0]", "status.loadBalancer.ingress[0].ip",
	}, fields)
}

// The order of objects, and how endpoints are cut into slices, leave no trace
// in the output.
func TestOrderAndSlicingDoNotMatter(t *testing.T) {
	eachWorld(t, 60, func(t *testing.T, seed uint64, s ruletest.State) {
		want := compile(t, s)
		rng := rand.New(rand.NewPCG(seed, 1))
		other := s
		other.Services = slices.Clone(s.Services)
		rng.Shuffle(len(other.Services), func(i, j int) {
			other.Services[i], other.Services[j] = other.Services[j], other.Services[i]
		})
		other.Slices = nil
		for _, e := range s.Slices {
			cut := 0
			if n := len(e.Endpoints); n > 0 {
				cut = rng.IntN(n)
			}
			head, tail := e, e
			head.Metadata.Name, tail.Metadata.Name = e.Metadata.Name+"-a", e.Metadata.Name+"-b"
			head.Endpoints, tail.Endpoints = e.Endpoints[:cut], e.Endpoints[cut:]
			other.Slices = append(other.Slices, tail, head)
		}
		rng.Shuffle(len(other.Slices), func(i, j int) { other.Slices[i], other.Slices[j] = other.Slices[j], other.Slices[i] })
		got := compile(t, other)
		require.Equal(t, string(want.AppendIPTables(nil)), string(got.AppendIPTables(nil)), "seed %d", seed)
		require.Equal(t, string(want.AppendNFT(nil)), string(got.AppendNFT(nil)), "seed %d", seed)
	})
}

func flow(proto, src, dst string) proxyrules.Flow {
	p, ok := proxyrules.ParseProtocol(proto)
	if !ok {
		panic(proto)
	}
	return proxyrules.Flow{Protocol: p, Source: netip.MustParseAddrPort(src), Destination: netip.MustParseAddrPort(dst)}
}

// A backend that is itself the address of a Service without endpoints:
// packets reach the filter with that destination. iptables accepts those
// marked for masquerading before it looks.
func TestBackendsThatAreServices(t *testing.T) {
	empty := strings.NewReplacer(`"web"`, `"empty"`, "172.30.0.10", "172.30.0.20", "fd00:30::a", "fd00:30::b").Replace(webService)
	services, slices := decode(t, webService+","+empty, strings.Replace(webSlice(`{"addresses":["172.30.0.20"]}`), "8080", "80", 1))
	for _, c := range []struct {
		mode       proxyrules.Mode
		pod, other proxyrules.Verdict
	}{
		{proxyrules.IPTables, proxyrules.Reject, proxyrules.DNAT},
		{proxyrules.NFTables, proxyrules.Reject, proxyrules.Reject},
	} {
		cfg := nodeA
		cfg.Mode = c.mode
		r, err := proxyrules.Compile(cfg, services, slices)
		require.NoError(t, err)
		p := program(t, ruletest.State{Config: cfg}, r)
		for src, want := range map[string]proxyrules.Verdict{"10.0.9.9:1": c.pod, "8.8.8.8:1": c.other} {
			f := flow("tcp", src, "172.30.0.10:80")
			require.Equal(t, want, r.Lookup(&f, 0).Verdict, "%s from %s", c.mode, src)
			trace, err := r.Trace(f)
			require.NoError(t, err)
			require.Equal(t, want, trace.Verdict)
			ends, err := p.Run(f, proxyrules.Environment{Local: cfg.NodeIPs})
			require.NoError(t, err)
			require.NoError(t, sameEnds(trace, ends))
		}
	}
}

// Objects that are large, or make much out of little, are refused or dealt
// with in reasonable time.
func TestManyPortsAndAddresses(t *testing.T) {
	services, slices := decode(t, webService, webSlice(`{"addresses":["10.0.0.1"]}`))
	name, number := "http", int32(1)
	slices[0].Ports, slices[0].Endpoints = nil, nil
	for i := range 20_000 {
		slices[0].Ports = append(slices[0].Ports, proxyrules.EndpointPort{Name: &name, Port: &number})
		if i < 1000 {
			ip := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
			slices[0].Endpoints = append(slices[0].Endpoints, proxyrules.Endpoint{Addresses: []string{ip.String()}})
		}
	}
	_, err := proxyrules.Compile(nodeA, services, slices)
	require.ErrorContains(t, err, `EndpointSlice t/web-1: ports × endpoints: "20000000"`)

	for i := range 100_000 {
		services[0].Spec.ExternalIPs = append(services[0].Spec.ExternalIPs, netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)}).String())
	}
	r, err := proxyrules.Compile(nodeA, services, nil)
	require.NoError(t, err)
	require.Len(t, r.Frontends(), 100_001)
	require.Equal(t, proxyrules.Reject, r.Lookup(new(flow("tcp", "8.8.8.8:1", "20.1.134.159:80")), 0).Verdict)

	for i := range 20 {
		services[0].Spec.Ports = append(services[0].Spec.Ports, proxyrules.ServicePort{Name: "p" + strconv.Itoa(i), Port: int32(i + 1)})
	}
	_, err = proxyrules.Compile(nodeA, services, nil)
	require.ErrorContains(t, err, `Service t/web: spec.ports × addresses: "2100021"`)

	services[0].Spec.ExternalIPs, services[0].Spec.Ports = nil, nil
	for i := range 65_535 {
		services[0].Spec.Ports = append(services[0].Spec.Ports, proxyrules.ServicePort{Name: "p" + strconv.Itoa(i), Port: int32(i + 1)})
	}
	r, err = proxyrules.Compile(nodeA, services, nil)
	require.NoError(t, err)
	require.Len(t, r.Policies(), 65_535)
	require.Equal(t, proxyrules.Reject, r.Lookup(new(flow("tcp", "8.8.8.8:1", "172.30.0.10:65535")), 0).Verdict)
}
