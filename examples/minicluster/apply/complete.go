package apply

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/admit"
	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/load"
)

// claim reserves every address and port that somebody has already: objects in the
// store first, then those that the input names itself.
func (p *planner) claim(objects []load.Object) error {
	for n := range p.view.Nodes.All() {
		p.alloc.ClaimNode(n.Object.Metadata.Name, n.Object.InternalIP(), n.Object.Spec.PodCIDR)
	}
	for s := range p.view.Services.All() {
		if _, field, err := p.claimService(&s.Object); err != nil {
			return fmt.Errorf("stored object %s: %s: %w", s.Key, field, err)
		}
	}
	for c := range p.view.PriorityClasses.All() {
		p.classes.Add(&c.Object)
	}
	for i := range objects {
		o := &objects[i]
		text, err := json.Marshal(o.Tree)
		if err != nil {
			return err
		}
		switch o.Kind {
		case api.Nodes:
			var n api.Node
			err = json.Unmarshal(text, &n)
			p.alloc.ClaimNode(n.Metadata.Name, n.InternalIP(), n.Spec.PodCIDR)
		case api.PriorityClasses:
			var c api.PriorityClass
			err = json.Unmarshal(text, &c)
			p.classes.Add(&c)
		case api.Services:
			var s api.Service
			if err = json.Unmarshal(text, &s); err != nil {
				break
			}
			if value, field, err := p.claimService(&s); err != nil {
				return &load.Error{Origin: o.Origin, Object: o.Title(), Field: field, Value: value, Want: err.Error()}
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", o.Origin, o.Title(), err)
		}
	}
	return nil
}

// claimService returns the value and the field that cannot be had.
func (p *planner) claimService(s *api.Service) (value, field string, err error) {
	name := s.Metadata.Namespace + "/" + s.Metadata.Name
	if ip := s.Spec.ClusterIP; ip != "" && ip != "None" && s.Spec.Type != "ExternalName" {
		if err := p.alloc.ClaimClusterIP(ip, name); err != nil {
			return strconv.Quote(ip), "spec.clusterIP", err
		}
	}
	for i, port := range s.Spec.Ports {
		if port.NodePort == 0 {
			continue
		}
		if err := p.alloc.ClaimNodePort(port.NodePort, name); err != nil {
			return strconv.Itoa(int(port.NodePort)), fmt.Sprintf("spec.ports[%d].nodePort", i), err
		}
	}
	return "", "", nil
}

// keep carries over what the cluster has set in the stored object and what the
// manifest says nothing about.
func keep(kind api.Kind, wanted api.Fields, raw []byte) error {
	old, err := api.Tree(raw)
	if err != nil {
		return err
	}
	oldMeta, _ := old["metadata"].(api.Fields)
	meta, _ := wanted["metadata"].(api.Fields)
	for _, field := range []string{"uid", "creationTimestamp", "ownerReferences"} {
		inherit(meta, oldMeta, field)
	}
	generation, _ := oldMeta["generation"].(json.Number)
	n, _ := generation.Int64()
	meta["generation"] = n + 1
	oldNotes, _ := oldMeta["annotations"].(api.Fields)
	for name, value := range oldNotes {
		if strings.HasPrefix(name, "minicluster.orchcore/") && name != AnnotationApplied {
			notes := fieldsOf(meta, "annotations")
			inherit(notes, api.Fields{name: value}, name)
		}
	}
	// What a node has to offer comes from its manifest; any other status is the cluster's.
	oldStatus, _ := old["status"].(api.Fields)
	if kind != api.Nodes {
		delete(wanted, "status")
	}
	for field := range oldStatus {
		inherit(fieldsOf(wanted, "status"), oldStatus, field)
	}
	oldSpec, _ := old["spec"].(api.Fields)
	switch kind {
	case api.Services:
		spec := fieldsOf(wanted, "spec")
		inherit(spec, oldSpec, "clusterIP")
		inherit(spec, oldSpec, "clusterIPs")
		keepNodePorts(spec, oldSpec)
	case api.Nodes:
		spec := fieldsOf(wanted, "spec")
		inherit(spec, oldSpec, "podCIDR")
		inherit(spec, oldSpec, "unschedulable")
	case api.Pods:
		inherit(fieldsOf(wanted, "spec"), oldSpec, "nodeName")
	}
	return nil
}

func inherit(to, from api.Fields, field string) {
	if to[field] == nil && from[field] != nil {
		to[field] = from[field]
	}
}

func fieldsOf(parent api.Fields, field string) api.Fields {
	child, ok := parent[field].(api.Fields)
	if !ok {
		child = api.Fields{}
		parent[field] = child
	}
	return child
}

// keepNodePorts matches ports by name and number.
func keepNodePorts(spec, old api.Fields) {
	before := map[string]any{}
	list, _ := old["ports"].([]any)
	for _, item := range list {
		if port, ok := item.(api.Fields); ok {
			before[fmt.Sprint(port["name"], port["port"])] = port["nodePort"]
		}
	}
	if kind := spec["type"]; kind != "NodePort" && kind != "LoadBalancer" {
		return
	}
	list, _ = spec["ports"].([]any)
	for _, item := range list {
		if port, ok := item.(api.Fields); ok {
			inherit(port, api.Fields{"nodePort": before[fmt.Sprint(port["name"], port["port"])]}, "nodePort")
		}
	}
}

// complete does what admission does to an object of each kind.
func (p *planner) complete(o *load.Object, tree api.Fields, applied string) error {
	meta := fieldsOf(tree, "metadata")
	for _, field := range []string{"resourceVersion", "selfLink", "managedFields"} {
		delete(meta, field)
	}
	// A view's time cannot be null.
	if meta["creationTimestamp"] == nil {
		meta["creationTimestamp"] = p.config.Now.UTC().Truncate(time.Second)
	}
	if meta["uid"] == nil || meta["uid"] == "" {
		meta["uid"] = control.UID(p.config.Seed, o.Key())
	}
	if meta["generation"] == nil {
		meta["generation"] = 1
	}
	fieldsOf(meta, "annotations")[AnnotationApplied] = applied
	switch o.Kind {
	case api.Namespaces:
		fieldsOf(meta, "labels")["kubernetes.io/metadata.name"] = o.Meta.Name
	case api.Nodes:
		return p.node(o.Meta.Name, tree)
	case api.Services:
		return p.service(o, tree)
	case api.Pods:
		p.checkClass(o, fieldsOf(tree, "spec"))
		if err := admit.Pod(tree, p.classes); err != nil {
			return err
		}
		if status := fieldsOf(tree, "status"); status["phase"] == nil {
			status["phase"] = api.PodPending
		}
	case api.StatefulSets:
		if claims, _ := fieldsOf(tree, "spec")["volumeClaimTemplates"].([]any); len(claims) > 0 {
			p.note("%s: volumeClaimTemplates: volumes are not simulated, its pods run without them", o.Title())
		}
		fallthrough
	case api.Deployments, api.DaemonSets, api.ReplicaSets:
		p.checkClass(o, fieldsOf(fieldsOf(fieldsOf(tree, "spec"), "template"), "spec"))
	}
	return nil
}

// checkClass says so when a pod names a priority class that is nowhere to be found.
func (p *planner) checkClass(o *load.Object, spec api.Fields) {
	class, _ := spec["priorityClassName"].(string)
	if _, _, ok := p.classes.Resolve(class); !ok && spec["priority"] == nil {
		p.note("%s: priorityClassName %q is not in the input, priority 0 assumed", o.Title(), class)
	}
}

func (p *planner) node(name string, tree api.Fields) error {
	var n api.Node
	text, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	labels := fieldsOf(fieldsOf(tree, "metadata"), "labels")
	inherit(labels, api.Fields{api.LabelHostname: name}, api.LabelHostname)
	spec, status := fieldsOf(tree, "spec"), fieldsOf(tree, "status")
	if r, bad := netip.ParsePrefix(n.Spec.PodCIDR); bad != nil || !r.Addr().Is4() {
		given, err := p.alloc.PodRange(name)
		if err != nil {
			return fmt.Errorf("spec.podCIDR: %w", err)
		}
		if n.Spec.PodCIDR != "" {
			p.note("Node %s: spec.podCIDR %q is no IPv4 range: %s in its place", name, n.Spec.PodCIDR, given)
		}
		spec["podCIDR"], spec["podCIDRs"] = given, []any{given}
	}
	if n.InternalIP() == "" {
		ip, err := p.alloc.NodeIP(name)
		if err != nil {
			return fmt.Errorf("status.addresses: %w", err)
		}
		addresses, _ := status["addresses"].([]any)
		status["addresses"] = append(addresses, api.NodeAddress{Type: "InternalIP", Address: ip})
	}
	if status["allocatable"] == nil && status["capacity"] != nil {
		status["allocatable"] = status["capacity"]
	}
	if status["allocatable"] == nil {
		p.note("Node %s: status.allocatable is missing, so no pod fits on it", name)
	}
	return nil
}

// service gives a service its addresses and ports.
func (p *planner) service(o *load.Object, tree api.Fields) error {
	spec := fieldsOf(tree, "spec")
	name := o.Meta.Namespace + "/" + o.Meta.Name
	kind, _ := spec["type"].(string)
	if kind == "" {
		kind = "ClusterIP"
		spec["type"] = kind
	}
	if kind == "ExternalName" {
		return nil
	}
	families, _ := spec["ipFamilies"].([]any)
	if len(families) > 0 && families[0] == "IPv6" {
		p.note("%s: ipFamilies begins with IPv6: the example gives out IPv4 addresses only, the service gets none", o.Title())
		return nil
	}
	var err error
	if ip, _ := spec["clusterIP"].(string); ip == "" {
		if spec["clusterIP"], err = p.alloc.ClusterIP(name); err != nil {
			return fmt.Errorf("spec.clusterIP: %w", err)
		}
		delete(spec, "clusterIPs")
	}
	if spec["clusterIPs"] == nil {
		spec["clusterIPs"] = []any{spec["clusterIP"]}
	}
	if spec["clusterIP"] != "None" && len(families) == 0 {
		spec["ipFamilies"] = []any{"IPv4"}
	}
	if kind == "LoadBalancer" {
		p.note("%s: type LoadBalancer: there is no load balancer, its node ports serve", o.Title())
		if spec["allocateLoadBalancerNodePorts"] == false {
			return nil
		}
	}
	ports, _ := spec["ports"].([]any)
	for i, item := range ports {
		port, ok := item.(api.Fields)
		if !ok {
			return fmt.Errorf("spec.ports[%d]: want an object", i)
		}
		if port["protocol"] == nil {
			port["protocol"] = "TCP"
		}
		if number, set := port["nodePort"].(json.Number); (set && number != "0") || kind == "ClusterIP" {
			continue
		}
		if port["nodePort"], err = p.alloc.NodePort(name, fmt.Sprint(port["port"], port["protocol"])); err != nil {
			return fmt.Errorf("spec.ports[%d].nodePort: %w", i, err)
		}
	}
	return nil
}
