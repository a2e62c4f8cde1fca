package scheduler

import (
	"reflect"
	"slices"

	"github.com/orchcore/orchcore/qos/resource"
)

// usesClaim says that a volume of the pod is the claim; ephemeral volumes are
// left out unless asked for.
func (p *PodInfo) usesClaim(claim *PersistentVolumeClaim, ephemeral bool) bool {
	return orDefault(claim.Namespace) == p.Namespace &&
		slices.ContainsFunc(p.volumeClaims, func(pc podClaim) bool {
			return pc.name == claim.Name && (ephemeral || !pc.ephemeral)
		})
}

// hintClaim answers yes when it is a claim of the pod, ephemeral or not.
func hintClaim(p *PodInfo, e *Event) (bool, error) {
	_, claim, err := eventObjects[PersistentVolumeClaim](e)
	if err != nil || claim == nil {
		return true, errWrongObject
	}
	return p.usesClaim(claim, true), nil
}

// hintNamedClaim answers yes when it is a claim that the pod names.
func hintNamedClaim(p *PodInfo, e *Event) (bool, error) {
	_, claim, err := eventObjects[PersistentVolumeClaim](e)
	if err != nil || claim == nil {
		return true, errWrongObject
	}
	return p.usesClaim(claim, false), nil
}

// Events: a pod gives a disk or claim back, a node comes, the claim appears.
func (volumeRestrictions) Events() []EventHint {
	return []EventHint{
		{EventPod, EventDelete, hintDiskFreed},
		{EventNode, EventAdd, nil},
		{EventPersistentVolumeClaim, EventAdd, hintNamedClaim},
	}
}

func hintDiskFreed(p *PodInfo, e *Event) (bool, error) {
	if e.OldPod == nil {
		return true, errWrongObject
	}
	if e.OldPod.Namespace != p.Namespace {
		return false, nil
	}
	mine, theirs := p.Pod.Spec.Volumes, e.OldPod.Pod.Spec.Volumes
	for i := range mine {
		for k := range theirs {
			a, b := &mine[i], &theirs[k]
			if restricted(*a) && conflicts(a, b) {
				return true, nil
			}
			x, y := a.PersistentVolumeClaim, b.PersistentVolumeClaim
			if x != nil && y != nil && x.ClaimName == y.ClaimName {
				return true, nil
			}
		}
	}
	return false, nil
}

// Events: drivers come or can attach more, a pod or an attachment goes, the
// claim appears.
func (nodeVolumeLimits) Events() []EventHint {
	return []EventHint{
		{EventCSINode, EventAdd, nil},
		{EventCSINode, EventUpdate, hintLimitRaised},
		{EventPod, EventDelete, hintDetached},
		{EventPersistentVolumeClaim, EventAdd, hintClaim},
		{EventVolumeAttachment, EventDelete, hintAttachment},
	}
}

func hintLimitRaised(_ *PodInfo, e *Event) (bool, error) {
	old, now, err := eventObjects[CSINode](e)
	if err != nil || old == nil || now == nil {
		return true, errWrongObject
	}
	count := func(d *CSINodeDriver) int32 {
		if d.Allocatable == nil || d.Allocatable.Count == nil {
			return 0
		}
		return *d.Allocatable.Count
	}
	before := make(map[string]int32)
	for i := range old.Spec.Drivers {
		before[old.Spec.Drivers[i].Name] = count(&old.Spec.Drivers[i])
	}
	return slices.ContainsFunc(now.Spec.Drivers, func(d CSINodeDriver) bool { return count(&d) > before[d.Name] }), nil
}

func hintDetached(_ *PodInfo, e *Event) (bool, error) {
	if e.OldPod == nil {
		return true, errWrongObject
	}
	return e.OldPod.placed() && (len(e.OldPod.volumeClaims) > 0 || inTreeInline(e.OldPod.Pod)), nil
}

func hintAttachment(p *PodInfo, e *Event) (bool, error) {
	old, _, err := eventObjects[VolumeAttachment](e)
	if err != nil || old == nil {
		return true, errWrongObject
	}
	for i := range p.Pod.Spec.Volumes {
		v := &p.Pod.Spec.Volumes[i]
		if v.PersistentVolumeClaim != nil || old.Spec.Attacher != "" && inlineDriver(v) == old.Spec.Attacher {
			return true, nil
		}
	}
	return false, nil
}

// inlineDriver returns the CSI driver that serves a disk which the pod names
// itself, "" when it is no such disk.
func inlineDriver(v *Volume) string {
	switch {
	case v.AWSElasticBlockStore != nil:
		return "ebs.csi.aws.com"
	case v.GCEPersistentDisk != nil:
		return "pd.csi.storage.gke.io"
	case v.AzureDisk != nil:
		return "disk.csi.azure.com"
	case v.Cinder != nil:
		return "cinder.csi.openstack.org"
	case v.PortworxVolume != nil:
		return "pxd.portworx.com"
	}
	return ""
}

// Events: anything that volumes are found, made or reached by changes.
func (volumeBinding) Events() []EventHint {
	return []EventHint{
		{EventStorageClass, EventAdd | EventUpdate, hintTopologies},
		{EventPersistentVolumeClaim, EventAdd | EventUpdate, hintClaim},
		{EventPersistentVolume, EventAdd | EventUpdate, nil},
		{EventNode, EventAdd | EventNodeLabel, nil},
		{EventCSINode, EventAdd | EventUpdate, hintMigrated},
		{EventCSIDriver, EventUpdate, hintCapacityOff},
		{EventCSIStorageCapacity, EventAdd | EventUpdate, hintCapacity},
	}
}

func hintTopologies(_ *PodInfo, e *Event) (bool, error) {
	old, now, err := eventObjects[StorageClass](e)
	if err != nil || now == nil {
		return true, errWrongObject
	}
	if old == nil {
		return true, nil
	}
	same := len(old.AllowedTopologies) == len(now.AllowedTopologies) &&
		(len(old.AllowedTopologies) == 0 || reflect.DeepEqual(old.AllowedTopologies, now.AllowedTopologies))
	return !same, nil
}

func hintMigrated(_ *PodInfo, e *Event) (bool, error) {
	if e.Old == nil {
		return true, nil
	}
	old, now, err := eventObjects[CSINode](e)
	if err != nil || now == nil {
		return true, errWrongObject
	}
	return old.Annotations[annotationMigrated] != now.Annotations[annotationMigrated], nil
}

func hintCapacityOff(p *PodInfo, e *Event) (bool, error) {
	old, now, err := eventObjects[CSIDriver](e)
	if err != nil || old == nil || now == nil {
		return true, errWrongObject
	}
	on := func(d *CSIDriver) bool { return d.Spec.StorageCapacity != nil && *d.Spec.StorageCapacity }
	uses := slices.ContainsFunc(p.Pod.Spec.Volumes, func(v Volume) bool {
		return v.CSI != nil && v.CSI.Driver == now.Name
	})
	return uses && on(old) && !on(now), nil
}

func hintCapacity(_ *PodInfo, e *Event) (bool, error) {
	old, now, err := eventObjects[CSIStorageCapacity](e)
	if err != nil || now == nil {
		return true, errWrongObject
	}
	if old == nil {
		return true, nil
	}
	limit := func(c *CSIStorageCapacity) *resource.Quantity {
		if c.MaximumVolumeSize != nil {
			return c.MaximumVolumeSize
		}
		return c.Capacity
	}
	was, is := limit(old), limit(now)
	return is != nil && (was == nil || is.Value() > was.Value()), nil
}

// Events: a class that waits for its first consumer, a node, the claim, or a
// volume in another zone.
func (volumeZone) Events() []EventHint {
	return []EventHint{
		{EventStorageClass, EventAdd, hintWaitingClass},
		{EventNode, EventAdd | EventNodeLabel, nil},
		{EventPersistentVolumeClaim, EventAdd | EventUpdate, hintNamedClaim},
		{EventPersistentVolume, EventAdd | EventUpdate, hintZonesChanged},
	}
}

func hintWaitingClass(_ *PodInfo, e *Event) (bool, error) {
	_, now, err := eventObjects[StorageClass](e)
	if err != nil || now == nil {
		return true, errWrongObject
	}
	return now.VolumeBindingMode != nil && *now.VolumeBindingMode == bindOnFirstUse, nil
}

// hintZonesChanged compares the zones as sets.
func hintZonesChanged(_ *PodInfo, e *Event) (bool, error) {
	old, now, err := eventObjects[PersistentVolume](e)
	if err != nil || now == nil {
		return true, errWrongObject
	}
	if old == nil {
		return true, nil
	}
	return !reflect.DeepEqual(zoneSets(old), zoneSets(now)), nil
}

func zoneSets(pv *PersistentVolume) []volumeZoneLabel {
	list := zonesOf(&volumeInfo{PersistentVolume: pv})
	for i := range list {
		slices.Sort(list[i].values)
		list[i].values = slices.Compact(list[i].values)
	}
	return list
}
