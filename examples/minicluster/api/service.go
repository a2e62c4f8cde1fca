package api

// LabelServiceName ties an endpoint slice to its service.
const LabelServiceName = "kubernetes.io/service-name"

// LabelManagedBy says which controller writes an endpoint slice.
const LabelManagedBy = "endpointslice.kubernetes.io/managed-by"

// LabelHeadless marks the slices of services that have no cluster IP.
const LabelHeadless = "service.kubernetes.io/headless"

// Service is the view of a service; the rule compiler decodes the rest.
type Service struct {
	TypeMeta
	Metadata ObjectMeta  `json:"metadata"`
	Spec     ServiceSpec `json:"spec,omitzero"`
}

// ServiceSpec is the view of a service's spec.
type ServiceSpec struct {
	Type                     string            `json:"type,omitempty"`
	ClusterIP                string            `json:"clusterIP,omitempty"`
	ClusterIPs               []string          `json:"clusterIPs,omitempty"`
	IPFamilies               []string          `json:"ipFamilies,omitempty"`
	Selector                 map[string]string `json:"selector,omitempty"`
	Ports                    []ServicePort     `json:"ports,omitempty"`
	ExternalName             string            `json:"externalName,omitempty"`
	ExternalTrafficPolicy    string            `json:"externalTrafficPolicy,omitempty"`
	PublishNotReadyAddresses bool              `json:"publishNotReadyAddresses,omitempty"`
	HealthCheckNodePort      int32             `json:"healthCheckNodePort,omitempty"`
	AllocateNodePorts        *bool             `json:"allocateLoadBalancerNodePorts,omitempty"`
}

// ServicePort is one port of a service.
type ServicePort struct {
	Name       string      `json:"name,omitempty"`
	Protocol   string      `json:"protocol,omitempty"`
	Port       int32       `json:"port"`
	TargetPort IntOrString `json:"targetPort,omitzero"`
	NodePort   int32       `json:"nodePort,omitempty"`
}

// Headless services have no virtual IP; names resolve to the pods.
func (s *Service) Headless() bool { return s.Spec.ClusterIP == "None" }

// EndpointSlice lists backends of a service.
type EndpointSlice struct {
	TypeMeta
	Metadata    ObjectMeta     `json:"metadata"`
	AddressType string         `json:"addressType"`
	Endpoints   []Endpoint     `json:"endpoints"`
	Ports       []EndpointPort `json:"ports"`
}

// Endpoint is one backend.
type Endpoint struct {
	Addresses  []string           `json:"addresses"`
	Conditions EndpointConditions `json:"conditions,omitzero"`
	NodeName   string             `json:"nodeName,omitempty"`
	Zone       string             `json:"zone,omitempty"`
	TargetRef  *ObjectReference   `json:"targetRef,omitempty"`
}

// EndpointConditions say whether a backend may get traffic.
type EndpointConditions struct {
	Ready       *bool `json:"ready,omitempty"`
	Serving     *bool `json:"serving,omitempty"`
	Terminating *bool `json:"terminating,omitempty"`
}

// ObjectReference names the pod behind an endpoint.
type ObjectReference struct {
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	UID       string `json:"uid,omitempty"`
}

// EndpointPort is a port of every backend in the slice, already resolved.
type EndpointPort struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	Port     int32  `json:"port"`
}
