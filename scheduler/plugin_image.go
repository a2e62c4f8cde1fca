package scheduler

import "strings"

// Image sizes between which ImageLocality tells nodes apart; the upper bound
// is per container.
const (
	imageMinBytes = 23 << 20
	imageMaxBytes = 1000 << 20
)

// imageLocality prefers nodes that have the pod's images already, weighing
// large images, and images that many nodes have, more.
type imageLocality struct{}

func (imageLocality) Name() string { return "ImageLocality" }

func (imageLocality) Score(c *Cycle, n *NodeInfo) int64 {
	var sum int64
	for _, name := range c.Pod.images {
		if img, ok := n.images[name]; ok {
			spread := float64(img.nodes) / float64(len(c.Nodes))
			sum += int64(float64(img.sizeBytes) * spread)
		}
	}
	spec := &c.Pod.Pod.Spec
	top := int64(imageMaxBytes) * int64(len(spec.InitContainers)+len(spec.Containers))
	if sum < imageMinBytes {
		sum = imageMinBytes
	} else if sum > top {
		sum = top
	}
	return MaxNodeScore * (sum - imageMinBytes) / (top - imageMinBytes)
}

// imagesOf returns the image names of init containers, containers and image
// volumes, one entry per use.
func imagesOf(p *Pod) []string {
	var names []string
	for i := range p.Spec.InitContainers {
		names = append(names, imageName(p.Spec.InitContainers[i].Image))
	}
	for i := range p.Spec.Containers {
		names = append(names, imageName(p.Spec.Containers[i].Image))
	}
	for i := range p.Spec.Volumes {
		if v := p.Spec.Volumes[i].Image; v != nil {
			names = append(names, imageName(v.Reference))
		}
	}
	return names
}

// imageName adds the tag that is meant when there is none.
func imageName(name string) string {
	if strings.LastIndexByte(name, ':') <= strings.LastIndexByte(name, '/') {
		return name + ":latest"
	}
	return name
}

// clusterImage is an image as the whole cluster has it. Its size is the one
// that the first node to have it has reported.
type clusterImage struct {
	sizeBytes int64
	nodes     map[string]struct{}
}

func (c *Cache) addImages(n *NodeInfo) {
	for i := range n.Node.Status.Images {
		img := &n.Node.Status.Images[i]
		for _, name := range img.Names {
			state := c.images[name]
			if state == nil {
				state = &clusterImage{sizeBytes: img.SizeBytes, nodes: make(map[string]struct{})}
				c.images[name] = state
			}
			state.nodes[n.Name] = struct{}{}
		}
	}
}

func (c *Cache) dropImages(n *NodeInfo) {
	for i := range n.Node.Status.Images {
		for _, name := range n.Node.Status.Images[i].Names {
			if state := c.images[name]; state != nil {
				delete(state.nodes, n.Name)
				if len(state.nodes) == 0 {
					delete(c.images, name)
				}
			}
		}
	}
}

// refreshImages copies onto the node what the cluster knows of its images. It
// runs only for nodes that have changed, so that the number of nodes having an
// image may be out of date elsewhere, as upstream (kube-scheduler 1.36).
func (c *Cache) refreshImages(n *NodeInfo) {
	if len(n.Node.Status.Images) == 0 {
		n.images = nil
		return
	}
	if n.images == nil {
		n.images = make(map[string]imageState)
	}
	clear(n.images)
	for i := range n.Node.Status.Images {
		for _, name := range n.Node.Status.Images[i].Names {
			if state := c.images[name]; state != nil {
				n.images[name] = imageState{state.sizeBytes, len(state.nodes)}
			}
		}
	}
}
