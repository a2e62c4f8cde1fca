package scheduler

import (
	"fmt"
	"slices"
)

// podClaim is a claim that a pod uses.
type podClaim struct {
	name string
	// ephemeral: the claim is made for the pod alone and must belong to it.
	ephemeral bool
}

// compileVolumes notes the claims that the pod uses.
func (p *PodInfo) compileVolumes() {
	for i := range p.Pod.Spec.Volumes {
		v := &p.Pod.Spec.Volumes[i]
		switch {
		case v.PersistentVolumeClaim != nil:
			p.volumeClaims = append(p.volumeClaims, podClaim{name: v.PersistentVolumeClaim.ClaimName})
			p.claims = append(p.claims, p.Namespace+"/"+v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			p.volumeClaims = append(p.volumeClaims, podClaim{p.Pod.Name + "-" + v.Name, true})
		}
	}
}

// volumeState is what the volume plugins know within a cycle.
type volumeState struct {
	exclusive []string // claims of the pod with mode ReadWriteOncePod
	inUse     int      // uses of those by running pods

	zones []volumeZoneLabel

	bound   []*claimInfo
	delayed []*claimInfo // bound when the pod is
	offers  map[string][]*volumeInfo
}

// claimOf finds a claim of the pod.
func (c *Cycle) claimOf(pc podClaim) *claimInfo {
	return c.cache.storage.claims.get(podKey{c.Pod.Namespace, pc.name})
}

// owns says that the claim of an ephemeral volume was made for the pod.
func (p *PodInfo) owns(c *claimInfo) bool {
	owner := c.controller()
	return owner != nil && owner.UID == p.Pod.UID
}

func notOwned(c *claimInfo, p *PodInfo) string {
	return fmt.Sprintf("PVC %s was not created for pod %s (pod is not owner)", c.key, p.key)
}

func claimNotFound(name string) Status {
	return finally(fmt.Sprintf("persistentvolumeclaim %q not found", name))
}

// finally rejects the pod for good with a text.
func finally(text string) Status {
	return Status{Code: UnschedulableAndUnresolvable, Details: []string{text}}
}

// volumeRestrictions keeps disks that only one node or pod can use to one.
type volumeRestrictions struct{}

func (volumeRestrictions) Name() string { return "VolumeRestrictions" }

func (volumeRestrictions) PreFilter(c *Cycle) (map[string]bool, Status) {
	s := &c.volumes
	for _, pc := range c.Pod.volumeClaims {
		if pc.ephemeral {
			continue
		}
		claim := c.claimOf(pc)
		if claim == nil {
			return nil, claimNotFound(pc.name)
		}
		if !slices.Contains(claim.Spec.AccessModes, "ReadWriteOncePod") || slices.Contains(s.exclusive, pc.name) {
			continue
		}
		s.exclusive = append(s.exclusive, pc.name)
		key := claim.key.String()
		if slices.ContainsFunc(c.Nodes, func(n *NodeInfo) bool { return n.claims[key] > 0 }) {
			s.inUse++
		}
	}
	if s.inUse == 0 && !slices.ContainsFunc(c.Pod.Pod.Spec.Volumes, restricted) {
		return nil, Status{Code: Skip}
	}
	return nil, Status{}
}

// restricted says that the volume is of a kind that nodes or pods exclude each
// other from.
func restricted(v Volume) bool {
	return v.GCEPersistentDisk != nil || v.AWSElasticBlockStore != nil || v.RBD != nil || v.ISCSI != nil
}

func (volumeRestrictions) AddPod(c *Cycle, p *PodInfo, _ *NodeInfo) {
	c.volumes.inUse += c.volumes.exclusiveUses(p)
}

func (volumeRestrictions) RemovePod(c *Cycle, p *PodInfo, _ *NodeInfo) {
	c.volumes.inUse -= c.volumes.exclusiveUses(p)
}

// exclusiveUses counts by the claims' names alone, whatever the namespace
// (kube-scheduler 1.36).
func (s *volumeState) exclusiveUses(p *PodInfo) int {
	uses := 0
	for _, pc := range p.volumeClaims {
		if !pc.ephemeral && slices.Contains(s.exclusive, pc.name) {
			uses++
		}
	}
	return uses
}

func (volumeRestrictions) Filter(c *Cycle, n *NodeInfo) Status {
	for i := range c.Pod.Pod.Spec.Volumes {
		v := &c.Pod.Pod.Spec.Volumes[i]
		if !restricted(*v) {
			continue
		}
		for _, p := range n.Pods {
			for k := range p.Pod.Spec.Volumes {
				if conflicts(v, &p.Pod.Spec.Volumes[k]) {
					return Reject(ReasonDiskConflict)
				}
			}
		}
	}
	if c.volumes.inUse > 0 {
		return Reject(ReasonReadWriteOncePod)
	}
	return Status{}
}

// conflicts says that two volumes are the same disk, and cannot be used by two
// pods: never for EBS, and for the others unless both only read.
func conflicts(a, b *Volume) bool {
	if x, y := a.GCEPersistentDisk, b.GCEPersistentDisk; x != nil && y != nil &&
		x.PDName == y.PDName && !(x.ReadOnly && y.ReadOnly) {
		return true
	}
	if x, y := a.AWSElasticBlockStore, b.AWSElasticBlockStore; x != nil && y != nil && x.VolumeID == y.VolumeID {
		return true
	}
	if x, y := a.ISCSI, b.ISCSI; x != nil && y != nil && x.IQN == y.IQN && !(x.ReadOnly && y.ReadOnly) {
		return true
	}
	x, y := a.RBD, b.RBD
	return x != nil && y != nil && x.Pool == y.Pool && x.Image == y.Image && !(x.ReadOnly && y.ReadOnly) &&
		slices.ContainsFunc(x.Monitors, func(m string) bool { return slices.Contains(y.Monitors, m) })
}
