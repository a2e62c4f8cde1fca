package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const services = `"services":[{"metadata":{"namespace":"t","name":"web"},"spec":{"type":"NodePort","externalTrafficPolicy":"Cluster","clusterIP":"172.30.0.10",` +
	`"ports":[{"name":"http","port":80,"protocol":"TCP","nodePort":30080}]}}],"endpointSlices":[{"metadata":{"namespace":"t","name":"web-1",` +
	`"labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4","ports":[{"name":"http","port":8080,"protocol":"TCP"}],` +
	`"endpoints":[{"addresses":["10.0.1.1"]},{"addresses":["10.0.2.1"]}]}],"nodeName":"a","nodeIPs":["192.168.0.2"],"config":{"clusterCIDRs":["10.0.0.0/16"]}`

func answer1(t *testing.T, in string) (string, bool) {
	t.Helper()
	var out bytes.Buffer
	refused, err := run(strings.NewReader(in), &out)
	require.NoError(t, err)
	return out.String(), refused
}

func TestAnswers(t *testing.T) {
	out, refused := answer1(t, `{`+services+`,"family":"IPv4","mode":"iptables","packets":[`+
		`{"protocol":"TCP","sourceIP":"10.0.9.9","sourcePort":4000,"destIP":"172.30.0.10","destPort":80},`+
		`{"protocol":"TCP","sourceIP":"10.0.1.1","sourcePort":4000,"destIP":"172.30.0.10","destPort":80},`+
		`{"protocol":"UDP","sourceIP":"10.0.9.9","sourcePort":4000,"destIP":"172.30.0.10","destPort":80}]}`)
	require.False(t, refused)
	require.Equal(t, strings.Join([]string{
		`{"state":0,"packet":0,"verdict":"DNAT","endpoints":[{"address":"10.0.1.1:8080","probability":0.5},{"address":"10.0.2.1:8080","probability":0.5}],"masquerade":false,"why":["nat KUBE-SERVICES: 172.30.0.10:80 is the clusterIP of t/web:http"]}`,
		`{"state":0,"packet":1,"verdict":"DNAT","endpoints":[{"address":"10.0.1.1:8080","probability":0.5},{"address":"10.0.2.1:8080","probability":0.5,"masquerade":false}],"masquerade":true,"why":["nat KUBE-SERVICES: 172.30.0.10:80 is the clusterIP of t/web:http","hairpin: 10.0.1.1:8080 would be its own client and is masqueraded"]}`,
		`{"state":0,"packet":2,"verdict":"ACCEPT","endpoints":[],"masquerade":false,"why":["no rule applies"]}`,
		"",
	}, "\n"), out)
}

func TestPodsByInterface(t *testing.T) {
	for _, c := range []struct{ config, in, want string }{
		{`"bridgeInterface":"cni0"`, "cni0", `"masquerade":false`}, {`"bridgeInterface":"cni0"`, "eth0", `"masquerade":true`},
		{`"interfaceNamePrefix":"cn"`, "cni7", `"masquerade":false`}, {`"interfaceNamePrefix":"cn"`, "eth0", `"masquerade":true`},
	} {
		out, refused := answer1(t, `{`+strings.Replace(services, `"clusterCIDRs":["10.0.0.0/16"]`, c.config, 1)+`,"packets":[`+
			`{"protocol":"TCP","sourceIP":"10.0.9.9","sourcePort":4000,"destIP":"172.30.0.10","destPort":80,"interface":"`+c.in+`"}]}`)
		require.False(t, refused, out)
		require.Contains(t, out, c.want)
	}
}

func TestRefusals(t *testing.T) {
	for in, want := range map[string]string{
		`{"services":5}`:                      `{"state":0,"error":"json: cannot unmarshal number`,
		`nonsense`:                            `{"state":0,"error":"invalid character`,
		`{"nodeIPs":["x"]}`:                   `{"state":0,"error":"nodeIPs[0]: ParseAddr(\"x\")`,
		`{"config":{"serviceCIDRs":["1.2"]}}`: `{"state":0,"error":"config.serviceCIDRs[0]: `,
		`{"mode":"ipvs"}`:                     `{"state":0,"error":"proxyrules: Config: Mode: \"ipvs\": expected`,
		`{"packets":[{"protocol":"ICMP"}]}`:   `{"state":0,"packet":0,"error":"protocol: \"ICMP\": expected`,
		`{"packets":[{"protocol":"TCP","sourceIP":"10.0.0.1","destIP":"fd00::1"}]}`: `{"state":0,"packet":0,"error":"proxyrules: not a flow`,
		"{\"family\":\"IPv6\"}\n\n{\"family\":\"IPv5\"}":                            `{"state":1,"error":"proxyrules: Config: Family`,
	} {
		out, refused := answer1(t, in)
		require.True(t, refused, in)
		require.True(t, strings.HasPrefix(out, want), "%s\ngave %s", in, out)
	}
}
