package proxyrules_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
)

func TestLint(t *testing.T) {
	service := func(name, ip, more string) string {
		return `{"metadata":{"namespace":"t","name":"` + name + `"},"spec":{"clusterIP":"` + ip + `","ports":[{"name":"http","port":80}]` + more + `}}`
	}
	slice := func(name, port, endpoints string) string {
		return `{"metadata":{"namespace":"t","name":"` + name + `-1","labels":{"kubernetes.io/service-name":"` + name + `"}},"addressType":"IPv4",
			"ports":[{"name":"` + port + `","port":8080}],"endpoints":[` + endpoints + `]}`
	}
	services, slices := decode(t,
		service("a-fine", "172.30.0.1", "")+","+
			service("b-named", "172.30.0.2", "")+","+
			service("c-down", "172.30.0.3", "")+","+
			service("d-alone", "172.30.0.4", "")+","+
			service("e-far", "172.30.0.5", `,"internalTrafficPolicy":"Local","type":"NodePort","externalTrafficPolicy":"Local","externalIPs":["5.6.7.8"]`)+","+
			service("f-loop", "172.30.0.6", "")+","+
			service("g-conflict", "172.30.0.1", ""),
		slice("a-fine", "http", `{"addresses":["10.0.0.1"]}`)+","+
			slice("b-named", "web", `{"addresses":["10.0.0.1"]}`)+","+
			slice("c-down", "http", `{"addresses":["10.0.0.1"],"conditions":{"ready":false}}`)+","+
			slice("e-far", "http", `{"addresses":["10.0.0.1"],"nodeName":"node-b"}`)+","+
			slice("f-loop", "http", `{"addresses":["172.30.0.1"]},{"addresses":["127.0.0.1"]}`)+","+
			slice("g-conflict", "http", `{"addresses":["10.0.0.1"]}`))
	r, err := proxyrules.Compile(nodeA, services, slices)
	require.NoError(t, err)
	require.Equal(t, []proxyrules.Diagnostic{
		{Object: "Service t/b-named", Field: "spec.ports", Value: "http", Message: "port http has no endpoints: the slices of the Service have other ports, web/tcp; names must be the same"},
		{Object: "Service t/c-down", Field: "spec.ports", Value: "http", Message: "port http has no endpoints: none of 1 is ready, or serving while it terminates: connections are refused"},
		{Object: "Service t/d-alone", Field: "spec.ports", Value: "http", Message: "port http has no endpoints: connections are refused"},
		{Object: "Service t/e-far", Field: "spec.externalTrafficPolicy", Value: "Local", Message: "port http has no endpoint on this node: connections from outside to this node are dropped"},
		{Object: "Service t/e-far", Field: "spec.internalTrafficPolicy", Value: "Local", Message: "port http has no endpoint on this node: connections to the clusterIP from this node are dropped"},
		{Object: "Service t/f-loop", Field: "endpoints", Value: "127.0.0.1:8080", Message: "slice f-loop-1: not an address that another machine can have"},
		{Object: "Service t/f-loop", Field: "endpoints", Value: "172.30.0.1:8080", Message: "slice f-loop-1: the backend is a clusterIP, at a port that no Service has"},
		{Object: "Service t/g-conflict", Field: "clusterIP", Value: "172.30.0.1 80/tcp", Message: "already held by Service port t/a-fine:http, which keeps it"},
	}, r.Lint())
}
