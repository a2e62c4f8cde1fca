package node

import (
	"fmt"
	"net/netip"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
)

// addresses gives out pod addresses from the nodes' ranges. It is made anew from
// each view, so there is nothing to keep and nothing to leak.
type addresses struct {
	taken map[netip.Addr]bool
	next  map[string]netip.Addr // where to look on, by node
}

func newAddresses(view *control.View) *addresses {
	a := &addresses{taken: map[netip.Addr]bool{}, next: map[string]netip.Addr{}}
	for p := range view.Pods.All() {
		if ip, err := netip.ParseAddr(p.Object.Status.PodIP); err == nil && !p.Object.Finished() {
			a.taken[ip] = true
		}
	}
	return a
}

// take returns the pod's address: the node's own for pods in the host's network,
// otherwise the lowest free one of the node's range. The network's own address,
// the first host (the node's bridge) and the last address are never given out.
func (a *addresses) take(pod *api.Pod, node *api.Node) (string, error) {
	if pod.Spec.HostNetwork {
		return node.InternalIP(), nil
	}
	prefix, err := netip.ParsePrefix(node.Spec.PodCIDR)
	if err != nil {
		return "", fmt.Errorf("node %s: spec.podCIDR %q: %w", node.Metadata.Name, node.Spec.PodCIDR, err)
	}
	ip, ok := a.next[node.Metadata.Name]
	if !ok {
		ip = prefix.Masked().Addr().Next().Next()
	}
	for a.taken[ip] {
		ip = ip.Next()
	}
	if !prefix.Contains(ip) || !prefix.Contains(ip.Next()) {
		return "", fmt.Errorf("node %s: range %s is used up", node.Metadata.Name, prefix)
	}
	a.taken[ip] = true
	a.next[node.Metadata.Name] = ip.Next()
	return ip.String(), nil
}
