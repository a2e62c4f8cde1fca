package scheduler

import (
	"iter"
	"strings"
)

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
	nodes     int // that have it
}

func (c *Cache) addImages(n *NodeInfo) {
	for name, size := range n.imagesReported() {
		img, ok := c.images.m[name]
		if !ok {
			img.sizeBytes = size
		}
		img.nodes++
		c.images.put(name, img)
	}
}

func (c *Cache) dropImages(n *NodeInfo) {
	for name := range n.imagesReported() {
		img := c.images.get(name)
		if img.nodes--; img.nodes <= 0 {
			c.images.drop(name)
			continue
		}
		c.images.put(name, img)
	}
}

// imagesReported yields the names of the images on the node, each once, with
// the size that is reported first.
func (n *NodeInfo) imagesReported() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		seen := make(map[string]bool)
		for i := range n.Node.Status.Images {
			img := &n.Node.Status.Images[i]
			for _, name := range img.Names {
				if seen[name] {
					continue
				}
				seen[name] = true
				if !yield(name, img.SizeBytes) {
					return
				}
			}
		}
	}
}

// refreshImages takes over onto the node what the cluster knows of its images.
// It runs only for nodes that have changed, so that the number of nodes having
// an image may be out of date elsewhere, as upstream (kube-scheduler 1.36). The
// map is immutable: a new one is made when something is different.
func (c *Cache) refreshImages(n *NodeInfo) {
	if len(n.Node.Status.Images) == 0 {
		n.images = nil
		return
	}
	if c.imagesFresh(n) {
		return
	}
	n.images = make(map[string]imageState)
	for i := range n.Node.Status.Images {
		for _, name := range n.Node.Status.Images[i].Names {
			if img, ok := c.images.m[name]; ok {
				n.images[name] = imageState(img)
			}
		}
	}
}

// imagesFresh says that the node knows already what refreshImages would tell
// it. A change of the node itself discards what it knows.
func (c *Cache) imagesFresh(n *NodeInfo) bool {
	for name, have := range n.images {
		if img, ok := c.images.m[name]; !ok || imageState(img) != have {
			return false
		}
	}
	return n.images != nil
}
