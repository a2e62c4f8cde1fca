package scheduler

import (
	"maps"
	"strings"
)

// nodeVolumeLimits keeps nodes from having more volumes of a CSI driver than
// the driver can attach.
type nodeVolumeLimits struct{}

func (nodeVolumeLimits) Name() string { return "NodeVolumeLimits" }

func (nodeVolumeLimits) PreFilter(c *Cycle) (map[string]bool, Status) {
	if len(c.Pod.volumeClaims) > 0 || inTreeInline(c.Pod.Pod) {
		return nil, Status{}
	}
	return nil, Status{Code: Skip}
}

// inTreeInline says that the pod names a disk itself, of a kind that CSI
// drivers serve nowadays.
func inTreeInline(p *Pod) bool {
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.AWSElasticBlockStore != nil || v.GCEPersistentDisk != nil || v.AzureDisk != nil ||
			v.Cinder != nil || v.PortworxVolume != nil {
			return true
		}
	}
	return false
}

// attachable is a volume as a driver counts it.
type attachable struct{ driver, handle string }

func (nodeVolumeLimits) Filter(c *Cycle, n *NodeInfo) Status {
	csiNode := c.cache.storage.csiNodes.get(n.Name)
	added, v := c.attachables(c.Pod, csiNode != nil)
	limits := limitsOf(csiNode)
	if v.Code != Success || len(added) == 0 || len(limits) == 0 {
		return v
	}
	// What a pod on the node uses already is not counted again. What is
	// attached without a pod is (kube-scheduler 1.36).
	inUse := make(map[attachable]bool)
	for _, p := range n.Pods {
		have, v := c.attachables(p, csiNode != nil)
		if v.Code == Failed {
			return v
		}
		maps.Copy(inUse, have)
	}
	wanted := countDrivers(added, inUse)
	for _, a := range c.cache.storage.attachments.m {
		if have, ok := c.cache.storage.attached(a, n.Name); ok {
			inUse[have] = true
		}
	}
	used := countDrivers(inUse, nil)
	for driver, count := range wanted {
		if limit, ok := limits[driver]; ok && used[driver]+count > limit {
			return Reject(ReasonVolumeCount)
		}
	}
	return Status{}
}

// countDrivers counts volumes by driver, leaving some out.
func countDrivers(volumes, without map[attachable]bool) map[string]int {
	counts := make(map[string]int)
	for a := range volumes {
		if !without[a] {
			counts[a.driver]++
		}
	}
	return counts
}

// attached returns what an attachment holds on the node.
func (s *storageIndex) attached(a *VolumeAttachment, node string) (attachable, bool) {
	name := a.Spec.Source.PersistentVolumeName
	if a.Spec.NodeName != node || a.Spec.Attacher == "" || name == nil {
		return attachable{}, false
	}
	pv := s.volumes.get(*name)
	if pv == nil || pv.Spec.CSI == nil {
		return attachable{}, false
	}
	return attachable{a.Spec.Attacher, pv.Spec.CSI.VolumeHandle}, true
}

func limitsOf(n *CSINode) map[string]int {
	if n == nil {
		return nil
	}
	limits := make(map[string]int)
	for _, d := range n.Spec.Drivers {
		if d.Allocatable != nil && d.Allocatable.Count != nil {
			limits[d.Name] = int(*d.Allocatable.Count)
		}
	}
	return limits
}

// attachables returns the volumes that a pod's claims stand for. On nodes with
// CSI drivers in-tree disks are served by a driver; under which handle is not
// decided here.
func (c *Cycle) attachables(p *PodInfo, migrates bool) (map[attachable]bool, Status) {
	if migrates && inTreeInline(p.Pod) {
		return nil, c.unsupportedVolume(p, "an in-tree disk on a node with CSI drivers")
	}
	out := make(map[attachable]bool)
	for _, pc := range p.volumeClaims {
		claim := c.cache.storage.claims.get(podKey{p.Namespace, pc.name})
		switch {
		case pc.name == "":
			return nil, Status{Code: Failed, Err: textError("PersistentVolumeClaim had no name")}
		case claim == nil && p == c.Pod:
			return nil, finally("looking up PVC " + p.Namespace + "/" + pc.name + ": " +
				"persistentvolumeclaim \"" + pc.name + "\" not found")
		case claim == nil:
			continue
		case pc.ephemeral && !p.owns(claim):
			return nil, Status{Code: Failed, Err: textError(notOwned(claim, p))}
		}
		a, inTree := c.cache.storage.attachable(claim)
		if inTree && migrates {
			return nil, c.unsupportedVolume(p, "an in-tree volume on a node with CSI drivers")
		}
		if !inTree && a.driver != "" && a.handle != "" {
			out[a] = true
		}
	}
	return out, Status{}
}

// attachable returns the driver of a claim's volume and what tells it from
// others. A claim without volume counts under its own name.
func (s *storageIndex) attachable(c *claimInfo) (a attachable, inTree bool) {
	if pv := s.volumes.get(c.Spec.VolumeName); c.Spec.VolumeName != "" && pv != nil {
		if pv.Spec.CSI == nil {
			return attachable{}, pv.inTree() != ""
		}
		return attachable{pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle}, false
	}
	class := s.classes.get(c.class)
	if c.class == "" || class == nil {
		return attachable{}, false
	}
	if inTreePlugin(class.Provisioner) {
		return attachable{}, true
	}
	return attachable{class.Provisioner, "claim " + c.key.String()}, false
}

// inTreePlugin says that a provisioner is an in-tree plugin whose volumes a
// CSI driver serves nowadays.
func inTreePlugin(provisioner string) bool {
	switch strings.TrimPrefix(provisioner, "kubernetes.io/") {
	case "aws-ebs", "gce-pd", "azure-disk", "cinder", "portworx-volume":
		return strings.HasPrefix(provisioner, "kubernetes.io/")
	}
	return false
}

func (c *Cycle) unsupportedVolume(p *PodInfo, what string) Status {
	return Status{Code: Failed, Err: &UnsupportedError{Pod: p.Name(), Field: "spec.volumes", What: what}}
}

// textError is an error that is nothing but its text.
type textError string

func (e textError) Error() string { return string(e) }
