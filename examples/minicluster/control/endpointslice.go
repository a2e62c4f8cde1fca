package control

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/selector"
)

// EndpointSlices lists the pods behind every service that has a selector, with
// the ports that each of them really has.
type EndpointSlices struct{}

// Name implements Controller.
func (c *EndpointSlices) Name() string { return "endpointslice" }

// Kinds implements Controller.
func (c *EndpointSlices) Kinds() []api.Kind {
	return []api.Kind{api.Services, api.EndpointSlices, api.Pods, api.Nodes}
}

const (
	sliceManager = "endpointslice-controller.k8s.io"
	endpointsMax = 100 // per slice, as in kube-controller-manager
)

// Reconcile implements Controller.
func (c *EndpointSlices) Reconcile(view *View, now time.Time) ([]Action, time.Duration, error) {
	mine := map[string][]*Stored[api.EndpointSlice]{}
	for s := range view.Slices.All() {
		meta := &s.Object.Metadata
		if meta.Labels[api.LabelManagedBy] == sliceManager {
			service := api.Services.Key(meta.Namespace, meta.Labels[api.LabelServiceName])
			mine[service] = append(mine[service], s)
		}
	}
	pods := map[string][]*Stored[api.Pod]{}
	for p := range view.Pods.All() {
		pods[p.Object.Metadata.Namespace] = append(pods[p.Object.Metadata.Namespace], p)
	}
	var actions []Action
	for svc := range view.Services.All() {
		if len(svc.Object.Spec.Selector) > 0 && svc.Object.Spec.Type != "ExternalName" && !svc.Object.Metadata.Deleting() {
			want := wantedSlices(view, &svc.Object, pods[svc.Object.Metadata.Namespace])
			more, err := writeSlices(view, &svc.Object, mine[svc.Key], want)
			if err != nil {
				return nil, 0, fmt.Errorf("%s: %w", svc.Key, err)
			}
			actions = append(actions, more...)
			delete(mine, svc.Key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(mine)) { // their service is gone or has no selector now
		for _, s := range mine[key] {
			actions = append(actions, deleteSlice(s))
		}
	}
	return actions, 0, nil
}

func deleteSlice(s *Stored[api.EndpointSlice]) Action {
	m := &s.Object.Metadata
	return Put("delete", api.Title("EndpointSlice", m.Namespace, m.Name), s.Key, s.Revision, nil)
}

// wantedSlices groups a service's endpoints by the ports they resolve to, since a
// slice has one list of ports, and cuts the groups into slices.
func wantedSlices(view *View, svc *api.Service, pods []*Stored[api.Pod]) []api.EndpointSlice {
	choose := selector.FromMap(svc.Spec.Selector)
	groups := map[string]*api.EndpointSlice{}
	for _, p := range pods {
		if !choose.MatchesMap(p.Object.Metadata.Labels) || p.Object.Finished() || p.Object.Status.PodIP == "" ||
			strings.Contains(p.Object.Status.PodIP, ":") {
			continue
		}
		ports := resolvePorts(svc, &p.Object)
		key := fmt.Sprint(ports)
		g := groups[key]
		if g == nil {
			g = &api.EndpointSlice{AddressType: "IPv4", Ports: ports}
			groups[key] = g
		}
		g.Endpoints = append(g.Endpoints, endpointOf(view, svc, &p.Object))
	}
	var out []api.EndpointSlice
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		for chunk := range slices.Chunk(groups[key].Endpoints, endpointsMax) {
			out = append(out, api.EndpointSlice{AddressType: "IPv4", Ports: groups[key].Ports, Endpoints: chunk})
		}
	}
	if len(out) == 0 { // a service without pods still has a slice that says so
		out = append(out, api.EndpointSlice{AddressType: "IPv4", Ports: []api.EndpointPort{}, Endpoints: []api.Endpoint{}})
	}
	return out
}

// resolvePorts turns target ports into numbers. A named port that the pod does
// not declare is left out for that pod.
func resolvePorts(svc *api.Service, p *api.Pod) []api.EndpointPort {
	out := []api.EndpointPort{}
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		if number := TargetPort(p, sp); number != 0 {
			out = append(out, api.EndpointPort{Name: sp.Name, Protocol: protocolOf(sp), Port: number})
		}
	}
	return out
}

func protocolOf(sp *api.ServicePort) string {
	if sp.Protocol == "" {
		return "TCP"
	}
	return sp.Protocol
}

// TargetPort is the port of a pod that a service port stands for: the number given,
// the container port of that name (0 if the pod has none), or the port itself.
func TargetPort(p *api.Pod, sp *api.ServicePort) int32 {
	switch {
	case sp.TargetPort.Text != "":
		return namedPort(p, sp.TargetPort.Text, protocolOf(sp))
	case sp.TargetPort.Int != 0:
		return int32(sp.TargetPort.Int)
	}
	return sp.Port
}

func namedPort(p *api.Pod, name, protocol string) int32 {
	containers := slices.Clone(p.Spec.Containers)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy == "Always" {
			containers = append(containers, c)
		}
	}
	for _, c := range containers {
		for _, port := range c.Ports {
			if port.Name == name && (port.Protocol == protocol || port.Protocol == "" && protocol == "TCP") {
				return port.ContainerPort
			}
		}
	}
	return 0
}

func endpointOf(view *View, svc *api.Service, p *api.Pod) api.Endpoint {
	serving := p.Ready()
	terminating := p.Metadata.Deleting()
	ready := svc.Spec.PublishNotReadyAddresses || serving && !terminating
	e := api.Endpoint{
		Addresses:  []string{p.Status.PodIP},
		Conditions: api.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		NodeName:   p.Spec.NodeName,
		TargetRef: &api.ObjectReference{
			Kind: "Pod", Namespace: p.Metadata.Namespace, Name: p.Metadata.Name, UID: p.Metadata.UID,
		},
	}
	if n := view.Nodes[api.Nodes.Key("", p.Spec.NodeName)]; n != nil {
		e.Zone = n.Object.Metadata.Labels[api.LabelZone]
	}
	return e
}

// writeSlices makes the service's slices hold what is wanted, reusing those that
// exist in their order.
func writeSlices(view *View, svc *api.Service, have []*Stored[api.EndpointSlice], want []api.EndpointSlice) ([]Action, error) {
	var actions []Action
	labels := map[string]string{api.LabelServiceName: svc.Metadata.Name, api.LabelManagedBy: sliceManager}
	if svc.Headless() {
		labels[api.LabelHeadless] = ""
	}
	number := 0
	for i, w := range want {
		if i < len(have) {
			a, changed, err := updateSlice(have[i], w, labels)
			if err != nil {
				return nil, err
			}
			if changed {
				actions = append(actions, a)
			}
			continue
		}
		name := ""
		for name == "" || view.Slices[api.EndpointSlices.Key(svc.Metadata.Namespace, name)] != nil {
			name = childName(svc.Metadata.Name, Suffix(5, 0, svc.Metadata.Namespace, svc.Metadata.Name, strconv.Itoa(number)))
			number++
		}
		w.TypeMeta = api.TypeMeta{APIVersion: api.EndpointSlices.APIVersion, Kind: api.EndpointSlices.Name}
		w.Metadata = api.ObjectMeta{
			Name: name, Namespace: svc.Metadata.Namespace, UID: UID(0, svc.Metadata.UID, name),
			Labels: labels, OwnerReferences: api.OwnedBy(api.Services, &svc.Metadata),
		}
		a, err := Created(api.Title("EndpointSlice", w.Metadata.Namespace, name), api.EndpointSlices.Key(w.Metadata.Namespace, name), w)
		if err != nil {
			return nil, err
		}
		actions = append(actions, a)
	}
	for _, s := range have[min(len(have), len(want)):] {
		actions = append(actions, deleteSlice(s))
	}
	return actions, nil
}

func updateSlice(s *Stored[api.EndpointSlice], want api.EndpointSlice, labels map[string]string) (Action, bool, error) {
	before, err := json.Marshal([]any{s.Object.Endpoints, s.Object.Ports, s.Object.Metadata.Labels})
	if err != nil {
		return Action{}, false, err
	}
	merged := maps.Clone(s.Object.Metadata.Labels)
	maps.Copy(merged, labels)
	after, err := json.Marshal([]any{want.Endpoints, want.Ports, merged})
	if err != nil || string(before) == string(after) {
		return Action{}, false, err
	}
	m := &s.Object.Metadata
	a, err := Patched("update", api.Title("EndpointSlice", m.Namespace, m.Name), s, api.Fields{
		"metadata": api.Fields{"labels": merged}, "endpoints": want.Endpoints, "ports": want.Ports,
	})
	return a, true, err
}
