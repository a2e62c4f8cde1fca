package proxyrules

// The types in this file are the parts of Kubernetes' v1 objects that a
// service proxy reads. They carry the API's JSON names, so that
// encoding/json decodes real objects into them; fields that the proxy does
// not read are left out and ignored.

// ObjectMeta is the part of metav1.ObjectMeta that a proxy reads.
type ObjectMeta struct {
	Name      string            `json:"name,omitempty"`
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
}

// Service is a v1 Service.
type Service struct {
	Metadata ObjectMeta    `json:"metadata"`
	Spec     ServiceSpec   `json:"spec"`
	Status   ServiceStatus `json:"status"`
}

// ServiceSpec is the part of a v1 ServiceSpec that a proxy reads.
// spec.selector, spec.trafficDistribution and targetPort are absent on
// purpose: controllers turn them into EndpointSlices before a proxy acts.
type ServiceSpec struct {
	Type                     string                 `json:"type,omitempty"`
	ClusterIP                string                 `json:"clusterIP,omitempty"`
	ClusterIPs               []string               `json:"clusterIPs,omitempty"`
	IPFamilies               []Family               `json:"ipFamilies,omitempty"`
	Ports                    []ServicePort          `json:"ports,omitempty"`
	ExternalIPs              []string               `json:"externalIPs,omitempty"`
	ExternalName             string                 `json:"externalName,omitempty"`
	SessionAffinity          string                 `json:"sessionAffinity,omitempty"`
	SessionAffinityConfig    *SessionAffinityConfig `json:"sessionAffinityConfig,omitempty"`
	InternalTrafficPolicy    *string                `json:"internalTrafficPolicy,omitempty"`
	ExternalTrafficPolicy    string                 `json:"externalTrafficPolicy,omitempty"`
	LoadBalancerSourceRanges []string               `json:"loadBalancerSourceRanges,omitempty"`
	HealthCheckNodePort      int32                  `json:"healthCheckNodePort,omitempty"`
}

// ServicePort is one entry of spec.ports. An empty Protocol means TCP.
type ServicePort struct {
	Name     string `json:"name,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	Port     int32  `json:"port"`
	NodePort int32  `json:"nodePort,omitempty"`
}

// SessionAffinityConfig is spec.sessionAffinityConfig.
type SessionAffinityConfig struct {
	ClientIP *ClientIPConfig `json:"clientIP,omitempty"`
}

// ClientIPConfig holds the timeout of ClientIP affinity; nil means 10800 s.
type ClientIPConfig struct {
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`
}

// ServiceStatus is the part of a v1 ServiceStatus that a proxy reads.
type ServiceStatus struct {
	LoadBalancer LoadBalancerStatus `json:"loadBalancer"`
}

// LoadBalancerStatus lists the addresses of a load balancer.
type LoadBalancerStatus struct {
	Ingress []LoadBalancerIngress `json:"ingress,omitempty"`
}

// LoadBalancerIngress is one address of a load balancer. Only entries with an
// IP and with ipMode VIP (or none) are captured by the proxy.
type LoadBalancerIngress struct {
	IP       string  `json:"ip,omitempty"`
	Hostname string  `json:"hostname,omitempty"`
	IPMode   *string `json:"ipMode,omitempty"`
}

// EndpointSlice is a discovery.k8s.io/v1 EndpointSlice.
type EndpointSlice struct {
	Metadata    ObjectMeta     `json:"metadata"`
	AddressType string         `json:"addressType"`
	Endpoints   []Endpoint     `json:"endpoints"`
	Ports       []EndpointPort `json:"ports"`
}

// Endpoint is one backend of a slice; only its first address is used.
type Endpoint struct {
	Addresses  []string           `json:"addresses"`
	Conditions EndpointConditions `json:"conditions"`
	Hostname   *string            `json:"hostname,omitempty"`
	NodeName   *string            `json:"nodeName,omitempty"`
	Zone       *string            `json:"zone,omitempty"`
	Hints      *EndpointHints     `json:"hints,omitempty"`
}

// EndpointConditions are an endpoint's conditions. Unset means ready,
// serving and not terminating.
type EndpointConditions struct {
	Ready       *bool `json:"ready,omitempty"`
	Serving     *bool `json:"serving,omitempty"`
	Terminating *bool `json:"terminating,omitempty"`
}

// EndpointHints say for which zones or nodes an endpoint is meant.
type EndpointHints struct {
	ForZones []Hint `json:"forZones,omitempty"`
	ForNodes []Hint `json:"forNodes,omitempty"`
}

// Hint names a zone or a node.
type Hint struct {
	Name string `json:"name"`
}

// EndpointPort is a port of a slice. Ports without name or number are
// ignored; without protocol they are TCP.
type EndpointPort struct {
	Name     *string `json:"name,omitempty"`
	Protocol *string `json:"protocol,omitempty"`
	Port     *int32  `json:"port,omitempty"`
}

// Labels that decide which objects count and which service a slice serves.
const (
	labelServiceName      = "kubernetes.io/service-name"
	labelServiceProxyName = "service.kubernetes.io/service-proxy-name"
	labelHeadless         = "service.kubernetes.io/headless"
	labelZone             = "topology.kubernetes.io/zone"
)
