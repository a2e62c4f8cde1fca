package scheduler

import (
	"maps"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/selector"
)

// NodeInfo is a node with what runs on it, kept up to date by the Cache.
// Plugins read its fields; they must not change them.
type NodeInfo struct {
	// Node is nil while pods are known on a node that is not.
	Node   *Node
	Name   string
	Labels selector.Labels
	// Pods are the pods on the node, assumed ones included, in no particular
	// order.
	Pods []*PodInfo
	// WithAffinity are the pods that have any pod affinity or anti-affinity.
	WithAffinity []*PodInfo
	// WithAntiAffinity are the pods that have required anti-affinity.
	WithAntiAffinity []*PodInfo
	// Allocatable is what the node offers to pods.
	Allocatable Resources
	// Requested is what the pods on the node request together.
	Requested Resources
	// NonZeroCPUMilli and NonZeroMemoryBytes are Requested with a stand-in for
	// containers that request nothing; scores use them.
	NonZeroCPUMilli    int64
	NonZeroMemoryBytes int64

	ports  map[hostPort]struct{}
	claims map[string]int        // uses of persistent volume claims, by namespace/name
	images map[string]imageState // immutable
	// declared are the node's declared features.
	declared map[string]bool
	// dirty: images is older than the node's last change.
	dirty bool
	// slot is the node's number in the Cache, for as long as it is known.
	slot int32
	// generation and redefined are the change clock of the Cache at the last
	// change of the node, and of its Node object.
	generation, redefined uint64
	// epoch is the part of a fork's life in which this copy of the node may be
	// changed; 0 outside forks.
	epoch uint64
}

// imageState is what ImageLocality knows about an image on a node.
type imageState struct {
	sizeBytes int64
	nodes     int // nodes that have the image
}

// setNode takes over what node says.
func (n *NodeInfo) setNode(node *Node) {
	n.Node = node
	n.Labels = selector.NewLabels(node.Labels)
	n.Allocatable = resourcesOf(node.Status.Allocatable)
	n.declared = nil
	for _, f := range node.Status.DeclaredFeatures {
		if n.declared == nil {
			n.declared = make(map[string]bool)
		}
		n.declared[f] = true
	}
	n.images = nil
}

// addPod books the pod on the node.
func (n *NodeInfo) addPod(p *PodInfo) {
	n.Pods = append(n.Pods, p)
	if p.hasAffinity {
		n.WithAffinity = append(n.WithAffinity, p)
	}
	if len(p.requiredAnti) > 0 {
		n.WithAntiAffinity = append(n.WithAntiAffinity, p)
	}
	n.book(p, 1)
}

// removePod takes the pod off the node again; it must be there.
func (n *NodeInfo) removePod(p *PodInfo) {
	n.Pods = dropPod(n.Pods, p)
	if p.hasAffinity {
		n.WithAffinity = dropPod(n.WithAffinity, p)
	}
	if len(p.requiredAnti) > 0 {
		n.WithAntiAffinity = dropPod(n.WithAntiAffinity, p)
	}
	n.book(p, -1)
}

func (n *NodeInfo) book(p *PodInfo, sign int64) {
	n.Requested.add(&p.requested, sign)
	n.NonZeroCPUMilli += sign * p.nonZeroCPUMilli
	n.NonZeroMemoryBytes += sign * p.nonZeroMemoryBytes
	for _, port := range p.hostPorts {
		// A set, not a count: the first of two holders to leave frees the
		// port (kube-scheduler 1.36).
		if sign < 0 {
			delete(n.ports, port)
			continue
		}
		if n.ports == nil {
			n.ports = make(map[hostPort]struct{})
		}
		n.ports[port] = struct{}{}
	}
	for _, claim := range p.claims {
		if n.claims == nil {
			n.claims = make(map[string]int)
		}
		if n.claims[claim] += int(sign); n.claims[claim] <= 0 {
			delete(n.claims, claim)
		}
	}
}

// dropPod removes p, moving the last pod into its place.
func dropPod(pods []*PodInfo, p *PodInfo) []*PodInfo {
	i := slices.Index(pods, p)
	if i < 0 {
		return pods
	}
	last := len(pods) - 1
	pods[i] = pods[last]
	pods[last] = nil
	return pods[:last]
}

// clone returns a copy on which pods can be added and removed without
// touching n.
func (n *NodeInfo) clone() *NodeInfo {
	c := new(NodeInfo)
	n.copyTo(c)
	return c
}

// copyTo is clone into memory that is there.
func (n *NodeInfo) copyTo(c *NodeInfo) {
	pods, affinity, anti, scalars := c.Pods, c.WithAffinity, c.WithAntiAffinity, c.Requested.Scalars
	*c = *n
	c.Pods = append(pods[:0], n.Pods...)
	c.WithAffinity = append(affinity[:0], n.WithAffinity...)
	c.WithAntiAffinity = append(anti[:0], n.WithAntiAffinity...)
	c.Requested.Scalars = append(scalars[:0], n.Requested.Scalars...)
	c.ports = maps.Clone(n.ports)
	c.claims = maps.Clone(n.claims)
}

// zoneKey names the group of nodes that the node order deals out in turn: its
// region and zone. Nodes without either form a group of their own.
func zoneKey(labels map[string]string) string {
	zone, ok := labels[labelZoneBeta]
	if !ok {
		zone = labels[LabelZone]
	}
	region, ok := labels[labelRegionBeta]
	if !ok {
		region = labels[LabelRegion]
	}
	if zone == "" && region == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString(region)
	b.WriteString(":\x00:")
	b.WriteString(zone)
	return b.String()
}
