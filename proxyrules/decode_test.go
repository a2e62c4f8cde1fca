package proxyrules_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
)

// A Service as kubectl get -o json prints it, whole.
const wholeService = `{
  "apiVersion": "v1", "kind": "Service",
  "metadata": {
    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"apiVersion\":\"v1\"}\n"},
    "creationTimestamp": "2026-01-02T03:04:05Z", "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
    "labels": {"app": "web"}, "name": "web", "namespace": "t", "resourceVersion": "123456", "uid": "0d3c2a1b-0000-4000-8000-000000000000",
    "managedFields": [{"apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:ports": {"k:{\"port\":80}": {".": {}}}}}, "manager": "kubectl", "operation": "Apply", "time": "2026-01-02T03:04:05Z"}]},
  "spec": {
    "allocateLoadBalancerNodePorts": true, "clusterIP": "172.30.0.10", "clusterIPs": ["172.30.0.10"], "externalTrafficPolicy": "Local",
    "healthCheckNodePort": 31234, "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
    "loadBalancerSourceRanges": ["192.168.0.0/24"], "trafficDistribution": "PreferClose",
    "ports": [{"appProtocol": "http", "name": "http", "nodePort": 30080, "port": 80, "protocol": "TCP", "targetPort": "web"},
              {"name": "dns", "nodePort": 30053, "port": 53, "protocol": "UDP", "targetPort": 5353}],
    "publishNotReadyAddresses": false, "selector": {"app": "web"}, "sessionAffinity": "ClientIP",
    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}, "type": "LoadBalancer"},
  "status": {"conditions": [], "loadBalancer": {"ingress": [{"ip": "203.0.113.8", "ipMode": "VIP", "ports": [{"port": 80, "protocol": "TCP"}]}, {"hostname": "lb.example"}]}}
}`

const wholeSlice = `{
  "addressType": "IPv4", "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
  "endpoints": [
    {"addresses": ["10.0.1.10"], "conditions": {"ready": true, "serving": true, "terminating": false}, "hints": {"forZones": [{"name": "z1"}], "forNodes": [{"name": "node-a"}]},
     "nodeName": "node-a", "targetRef": {"kind": "Pod", "name": "web-0", "namespace": "t", "uid": "1"}, "zone": "z1", "hostname": "web-0", "deprecatedTopology": {"x": "y"}},
    {"addresses": ["10.0.2.10"], "conditions": {}, "nodeName": "node-b"}],
  "metadata": {"annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z"}, "generateName": "web-", "generation": 7,
    "labels": {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "kubernetes.io/service-name": "web"},
    "name": "web-x7k2p", "namespace": "t", "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "0"}]},
  "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "dns", "port": 5353, "protocol": "UDP", "appProtocol": null}]
}`

func TestWholeObjects(t *testing.T) {
	services, slices := decode(t, wholeService, wholeSlice)
	r, err := proxyrules.Compile(nodeA, services, slices)
	require.NoError(t, err)
	require.Empty(t, r.Diagnostics())
	require.Len(t, r.Policies(), 2)
	p := r.Policies()[1]
	require.Equal(t, "t/web:http", p.Key.String())
	require.Equal(t, "10m0s", p.Affinity.String())
	require.Equal(t, []string{"10.0.1.10:8080", "10.0.2.10:8080"}, addresses(p.Cluster))
	require.Equal(t, []string{"10.0.1.10:8080"}, addresses(p.Local))
	require.Equal(t, uint16(31234), p.HealthCheckNodePort)
	require.Len(t, r.Frontends(), 6)
}

// Wrong types are errors that name the field.
func TestWrongTypes(t *testing.T) {
	for field, text := range map[string]string{
		"spec.ports.port":     `{"spec":{"ports":[{"port":"80"}]}}`,
		"spec.ports.nodePort": `{"spec":{"ports":[{"nodePort":1.5}]}}`,
		"spec.clusterIPs":     `{"spec":{"clusterIPs":"1.2.3.4"}}`,
		"metadata.labels":     `{"metadata":{"labels":{"a":1}}}`,
		"spec.sessionAffinityConfig.clientIP.timeoutSeconds": `{"spec":{"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":1e12}}}}`,
	} {
		var s proxyrules.Service
		var wrong *json.UnmarshalTypeError
		require.ErrorAs(t, json.Unmarshal([]byte(text), &s), &wrong, text)
		require.Contains(t, wrong.Field, field)
	}
}
