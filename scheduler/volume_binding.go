package scheduler

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/orchcore/orchcore/qos/resource"
)

// When a claim gets its volume.
const (
	bindImmediate  = "Immediate"
	bindOnFirstUse = "WaitForFirstConsumer"
)

// volumeBinding keeps pods where their volumes are, and where volumes can be
// found or made for claims that wait for their first pod.
type volumeBinding struct{}

func (volumeBinding) Name() string { return "VolumeBinding" }

// PreFilter sorts the pod's claims into bound ones and those that are bound
// with the pod.
func (volumeBinding) PreFilter(c *Cycle) (map[string]bool, Status) {
	if len(c.Pod.volumeClaims) == 0 {
		return nil, Status{Code: Skip}
	}
	for _, pc := range c.Pod.volumeClaims {
		if text := c.unusable(pc); text != "" {
			return nil, finally(text)
		}
	}
	s, immediate := &c.volumes, false
	for _, pc := range c.Pod.volumeClaims {
		claim := c.claimOf(pc)
		if claim.isBound() {
			s.bound = append(s.bound, claim)
			continue
		}
		delayed, err := c.cache.storage.bindsLate(claim)
		if err != nil {
			return nil, Status{Code: Failed, Err: err}
		}
		if !delayed {
			immediate = true
			continue
		}
		s.delayed = append(s.delayed, claim)
	}
	if immediate {
		return nil, finally("pod has unbound immediate PersistentVolumeClaims")
	}
	if len(s.delayed) > 0 {
		s.offers = make(map[string][]*volumeInfo)
	}
	for _, claim := range s.delayed {
		s.offers[claim.class] = c.cache.storage.volumesOf(claim.class)
	}
	return nil, Status{}
}

// unusable returns why a claim cannot be used, "" when it can.
func (c *Cycle) unusable(pc podClaim) string {
	claim := c.claimOf(pc)
	switch {
	case claim == nil && pc.ephemeral:
		return fmt.Sprintf("waiting for ephemeral volume controller to create the persistentvolumeclaim %q", pc.name)
	case claim == nil:
		return fmt.Sprintf("persistentvolumeclaim %q not found", pc.name)
	case claim.Status.Phase == "Lost":
		return fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", pc.name, claim.Spec.VolumeName)
	case claim.DeletionTimestamp != nil:
		return fmt.Sprintf("persistentvolumeclaim %q is being deleted", pc.name)
	case pc.ephemeral && !c.Pod.owns(claim):
		return notOwned(claim, c.Pod)
	}
	return ""
}

// isBound says that claim and volume are bound to each other, both ways.
func (c *claimInfo) isBound() bool {
	_, completed := c.Annotations[annotationBindCompleted]
	return c.Spec.VolumeName != "" && completed
}

// bindsLate says that the claim gets its volume with its first pod. A claim
// that names a volume already is waited for.
func (s *storageIndex) bindsLate(c *claimInfo) (bool, error) {
	class := s.classes.get(c.class)
	if c.class == "" || class == nil {
		return false, nil
	}
	if class.VolumeBindingMode == nil {
		return false, fmt.Errorf("VolumeBindingMode not set for StorageClass %q", c.class)
	}
	return *class.VolumeBindingMode == bindOnFirstUse && c.Spec.VolumeName == "", nil
}

func (volumeBinding) Filter(c *Cycle, n *NodeInfo) Status {
	_, reasons, err := c.bindingsOn(n)
	if err != nil {
		return Status{Code: Failed, Err: err}
	}
	if reasons != 0 {
		return RejectFinally(reasons)
	}
	return Status{}
}

// PreScore always skips: without StorageCapacityScoring, which is alpha, the
// plugin has no scores by default.
func (volumeBinding) PreScore(*Cycle, []*NodeInfo) Status { return Status{Code: Skip} }

// Score is never called, see PreScore.
func (volumeBinding) Score(*Cycle, *NodeInfo) int64 { return 0 }

// volumeBindings is what placing the pod on a node would do to its claims. A
// claim that the pod names twice takes two volumes (kube-scheduler 1.36).
type volumeBindings struct {
	bind      []volumeBind
	provision []*claimInfo
}

type volumeBind struct {
	claim  *claimInfo
	volume *volumeInfo
}

// bindingsOn finds volumes for the pod's claims on a node.
func (c *Cycle) bindingsOn(n *NodeInfo) (out volumeBindings, reasons Reason, err error) {
	for _, claim := range c.volumes.bound {
		pv := c.cache.storage.volumes.get(claim.Spec.VolumeName)
		if pv == nil {
			reasons |= ReasonVolumeMissing
			break
		}
		if err := c.checkMigration(pv, n); err != nil {
			return out, 0, err
		}
		if !pv.reaches(n) {
			reasons |= ReasonVolumeNodeAffinity
			break
		}
	}
	var match, provision []*claimInfo
	for _, claim := range c.volumes.delayed {
		switch node, chosen := c.cache.storage.chosenNode(claim); {
		case !chosen:
			match = append(match, claim)
		case node != n.Name:
			return out, reasons | ReasonVolumeBinding, nil
		default:
			provision = append(provision, claim)
		}
	}
	provision = append(provision, c.matchClaims(match, n, &out)...)
	for _, claim := range provision {
		ok, room, err := c.canProvision(claim, n)
		switch {
		case err != nil:
			return out, 0, err
		case !ok:
			return out, reasons | ReasonVolumeBinding, nil
		case !room:
			return out, reasons | ReasonVolumeSpace, nil
		}
	}
	out.provision = provision
	return out, reasons, nil
}

// checkMigration refuses in-tree volumes on nodes where a CSI driver has taken
// over: their topology labels would have to be translated.
func (c *Cycle) checkMigration(pv *volumeInfo, n *NodeInfo) error {
	plugin := pv.inTree()
	node := c.cache.storage.csiNodes.get(n.Name)
	if plugin == "" || node == nil || !slices.Contains(strings.Split(node.Annotations[annotationMigrated], ","), plugin) {
		return nil
	}
	return &UnsupportedError{Pod: c.Pod.Name(), Field: "spec.volumes", What: "volume " + pv.Name + " of the migrated plugin " + plugin}
}

// matchClaims gives each claim, small ones first, the smallest volume that
// suits it. It returns the claims for which there is none.
func (c *Cycle) matchClaims(claims []*claimInfo, n *NodeInfo, out *volumeBindings) (rest []*claimInfo) {
	claims = slices.Clone(claims)
	sort.SliceStable(claims, func(i, j int) bool { return claims[i].size().Cmp(claims[j].size()) < 0 })
	taken := make(map[*volumeInfo]bool)
	for _, claim := range claims {
		pv := c.cache.storage.bestVolume(claim, c.volumes.offers[claim.class], n, taken)
		if pv == nil {
			rest = append(rest, claim)
			continue
		}
		taken[pv] = true
		out.bind = append(out.bind, volumeBind{claim, pv})
	}
	return rest
}

func (c *claimInfo) size() resource.Quantity { return c.Spec.Resources.Requests["storage"] }

// bestVolume returns the volume that is reserved for the claim, or else the
// smallest that suits it; of equal ones the first by name.
func (s *storageIndex) bestVolume(c *claimInfo, offers []*volumeInfo, n *NodeInfo, taken map[*volumeInfo]bool) *volumeInfo {
	var best *volumeInfo
	for _, v := range offers {
		ref := s.claimRef(v)
		if taken[v] || ref != nil && !ref.refersTo(c) || !v.couldServe(c) {
			continue
		}
		if ref != nil {
			if !v.reaches(n) {
				return nil
			}
			return v
		}
		if v.isFreeFor(c, n) && (best == nil || v.size().Cmp(best.size()) < 0) {
			best = v
		}
	}
	return best
}

func (v *volumeInfo) size() resource.Quantity { return v.Spec.Capacity["storage"] }

// couldServe checks what even a reserved volume must have.
func (v *volumeInfo) couldServe(c *claimInfo) bool {
	return v.size().Cmp(c.size()) >= 0 &&
		modeOf(v.Spec.VolumeMode) == modeOf(c.Spec.VolumeMode) &&
		deref(v.Spec.VolumeAttributesClassName) == deref(c.Spec.VolumeAttributesClassName) &&
		v.DeletionTimestamp == nil
}

// isFreeFor checks what a volume that nobody has must have for the claim.
func (v *volumeInfo) isFreeFor(c *claimInfo, n *NodeInfo) bool {
	if v.Status.Phase != "Available" || c.labels != nil && !c.labels.Matches(v.labels) || !v.reaches(n) {
		return false
	}
	for _, mode := range c.Spec.AccessModes {
		if !slices.Contains(v.Spec.AccessModes, mode) {
			return false
		}
	}
	return true
}

func modeOf(mode *string) string {
	if mode == nil {
		return "Filesystem"
	}
	return *mode
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// canProvision says that a volume can be made for the claim on the node, and
// that there is room for it.
func (c *Cycle) canProvision(claim *claimInfo, n *NodeInfo) (ok, room bool, err error) {
	if claim.class == "" {
		return false, false, fmt.Errorf("no class for claim %q", claim.key)
	}
	class := c.cache.storage.classes.get(claim.class)
	if class == nil {
		return false, false, fmt.Errorf("failed to find storage class %q", claim.class)
	}
	if class.Provisioner == "" || class.Provisioner == "kubernetes.io/no-provisioner" {
		return false, true, nil
	}
	if !topologyAllows(class.AllowedTopologies, n) {
		return false, true, nil
	}
	return true, c.hasRoom(claim, class, n), nil
}

// topologyAllows says that one of the terms matches the node. No terms allow
// every node; a term without expressions matches none.
func topologyAllows(terms []TopologySelectorTerm, n *NodeInfo) bool {
	if len(terms) == 0 {
		return true
	}
	return slices.ContainsFunc(terms, func(t TopologySelectorTerm) bool {
		for _, e := range t.MatchLabelExpressions {
			value, ok := n.Labels.Lookup(e.Key)
			if !ok || !slices.Contains(e.Values, value) {
				return false
			}
		}
		return len(t.MatchLabelExpressions) > 0
	})
}

// hasRoom holds the claim's size against the capacities that its driver
// reports, if it does (KEP-1472).
func (c *Cycle) hasRoom(claim *claimInfo, class *StorageClass, n *NodeInfo) bool {
	size, ok := claim.Spec.Resources.Requests["storage"]
	if !ok {
		return true
	}
	driver := c.cache.storage.drivers.get(class.Provisioner)
	if driver == nil || driver.Spec.StorageCapacity == nil || !*driver.Spec.StorageCapacity {
		return true
	}
	for _, sc := range c.cache.storage.capacities.m {
		limit := sc.MaximumVolumeSize
		if limit == nil {
			limit = sc.Capacity
		}
		if sc.StorageClassName == class.Name && limit != nil && limit.Value() >= size.Value() && sc.nodes.Matches(n.Labels) {
			return true
		}
	}
	return false
}

// reservation is what an assumed pod has decided about its claims.
type reservation struct {
	volumes []string // reserved
	claims  []podKey // with a node chosen
}

// reserveVolumes notes what placing the pod on the node decides about its
// claims, so that the next pod does not take the same volume. It returns nil
// when that is nothing.
func (c *Cache) reserveVolumes(p *PodInfo, n *NodeInfo) *reservation {
	if len(p.volumeClaims) == 0 {
		return nil
	}
	var cycle Cycle
	cycle.Pod, cycle.cache = p, c
	if _, v := (volumeBinding{}).PreFilter(&cycle); v.Code != Success || len(cycle.volumes.delayed) == 0 {
		return nil
	}
	bindings, reasons, err := cycle.bindingsOn(n)
	if err != nil || reasons != 0 {
		return nil
	}
	r := new(reservation)
	c.changes.mark(&c.changes.storage)
	for _, b := range bindings.bind {
		ref := &ClaimReference{Namespace: b.claim.key.namespace, Name: b.claim.Name, UID: b.claim.UID}
		c.storage.reserved.put(b.volume.Name, ref)
		r.volumes = append(r.volumes, b.volume.Name)
	}
	for _, claim := range bindings.provision {
		c.storage.chosen.put(claim.key, n.Name)
		r.claims = append(r.claims, claim.key)
	}
	return r
}

// releaseVolumes undoes reserveVolumes: volumes and claims are again as they
// were observed, even where another assumed pod shares them (kube-scheduler
// 1.36).
func (c *Cache) releaseVolumes(r *reservation) {
	if r == nil {
		return
	}
	c.changes.mark(&c.changes.storage)
	for _, name := range r.volumes {
		c.storage.reserved.drop(name)
	}
	for _, key := range r.claims {
		c.storage.chosen.drop(key)
	}
}
