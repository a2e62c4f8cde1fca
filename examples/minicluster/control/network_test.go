package control_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/viewtest"
)

// pod is a pod of app web with a port named http.
func pod(name, ip string, port int, isReady bool) string {
	status := "False"
	if isReady {
		status = "True"
	}
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: shop, uid: u-%s, labels: {app: web}}
spec: {nodeName: a, containers: [{name: c, ports: [{name: http, containerPort: %d}]}]}
status: {phase: Running, podIP: %s, conditions: [{type: Ready, status: "%s"}]}
`, name, name, port, ip, status)
}

const webService = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, uid: s1}
spec: {clusterIP: 10.96.0.9, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Node
metadata: {name: a, labels: {topology.kubernetes.io/zone: north}}
`

// endpoints lists the endpoints of all slices as "address:port ready/serving/terminating".
func endpoints(view *control.View) (out []string) {
	for s := range view.Slices.All() {
		for _, e := range s.Object.Endpoints {
			for _, p := range s.Object.Ports {
				out = append(out, fmt.Sprintf("%s:%d %t/%t/%t", e.Addresses[0], p.Port, *e.Conditions.Ready, *e.Conditions.Serving, *e.Conditions.Terminating))
			}
		}
	}
	return out
}

func TestEndpointSlicesListThePods(t *testing.T) {
	view := viewtest.New(t, webService+pod("p1", "10.128.0.2", 8080, true)+pod("p2", "10.128.0.3", 8080, false)+pod("p3", "10.128.0.4", 9090, true)+`
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: other, labels: {app: web}}
spec: {containers: [{name: c}]}
status: {podIP: 10.128.0.5}
---
apiVersion: v1
kind: Pod
metadata: {name: waiting, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c}]}
`)
	c := &control.EndpointSlices{}
	rest(t, view, c)
	require.Len(t, view.Slices, 2, "one for each set of ports")
	require.ElementsMatch(t, []string{"10.128.0.2:8080 true/true/false", "10.128.0.3:8080 false/false/false", "10.128.0.4:9090 true/true/false"}, endpoints(view))
	for s := range view.Slices.All() {
		require.Equal(t, "web", s.Object.Metadata.Labels[api.LabelServiceName])
		require.Equal(t, "north", s.Object.Endpoints[0].Zone)
		require.Equal(t, "a", s.Object.Endpoints[0].NodeName)
	}

	setPod(t, view, "/registry/pods/shop/p1", api.Fields{"metadata": api.Fields{"deletionTimestamp": now}})
	rest(t, view, c)
	require.Contains(t, endpoints(view), "10.128.0.2:8080 false/true/true", "it still serves while it ends")

	for _, key := range []string{"p1", "p2", "p3"} {
		viewtest.Write(t, view, control.Write{Key: "/registry/pods/shop/" + key})
	}
	rest(t, view, c)
	require.Len(t, view.Slices, 1, "an empty slice says that nobody serves")
	require.Empty(t, endpoints(view))
	viewtest.Write(t, view, control.Write{Key: "/registry/services/shop/web"})
	rest(t, view, c)
	require.Empty(t, view.Slices)
}

func TestEndpointSlicesOfManyPods(t *testing.T) {
	var text strings.Builder
	text.WriteString(webService)
	for i := range 250 {
		text.WriteString(pod(fmt.Sprintf("p%03d", i), fmt.Sprintf("10.128.1.%d", i), 8080, true))
	}
	view := viewtest.New(t, text.String())
	c := &control.EndpointSlices{}
	rest(t, view, c)
	require.Len(t, view.Slices, 3)
	require.Len(t, endpoints(view), 250)
	for i := range 200 {
		viewtest.Write(t, view, control.Write{Key: fmt.Sprintf("/registry/pods/shop/p%03d", i)})
	}
	rest(t, view, c)
	require.Len(t, view.Slices, 1)
	require.Len(t, endpoints(view), 50)
}

func TestEndpointSlicesOfOthersAreLeftAlone(t *testing.T) {
	view := viewtest.New(t, `
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: outside-1, namespace: shop, labels: {kubernetes.io/service-name: outside}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.1]}]
ports: [{port: 8080}]
`)
	require.Empty(t, reconcile(t, &control.EndpointSlices{}, view))
}

func TestHeadlessAndUnreadyAddresses(t *testing.T) {
	service := strings.Replace(webService, "clusterIP: 10.96.0.9", "clusterIP: None, publishNotReadyAddresses: true", 1)
	view := viewtest.New(t, service+pod("p1", "10.128.0.2", 8080, false))
	rest(t, view, &control.EndpointSlices{})
	require.Equal(t, []string{"10.128.0.2:8080 true/false/false"}, endpoints(view))
	for s := range view.Slices.All() {
		require.Contains(t, s.Object.Metadata.Labels, api.LabelHeadless)
	}
}

func TestTargetPort(t *testing.T) {
	view := viewtest.New(t, pod("p", "10.0.0.1", 8080, true))
	p := &view.Pods["/registry/pods/shop/p"].Object
	for want, sp := range map[int32]api.ServicePort{
		8080: {Port: 80, TargetPort: api.IntOrString{Text: "http"}},
		7070: {Port: 80, TargetPort: api.IntOrString{Int: 7070}},
		80:   {Port: 80},
		0:    {Port: 80, TargetPort: api.IntOrString{Text: "grpc"}},
	} {
		require.Equal(t, want, control.TargetPort(p, &sp))
	}
	require.Zero(t, control.TargetPort(p, &api.ServicePort{Protocol: "UDP", TargetPort: api.IntOrString{Text: "http"}}), "a name counts for its protocol only")
}
