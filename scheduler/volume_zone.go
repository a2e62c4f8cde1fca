package scheduler

import (
	"fmt"
	"slices"
	"strings"
)

// volumeZone keeps a pod in the zone and region that its volumes' labels name.
type volumeZone struct{}

func (volumeZone) Name() string { return "VolumeZone" }

// volumeZoneLabel is one topology label of a volume, with the values it
// allows.
type volumeZoneLabel struct {
	key    string
	values []string
}

var zoneLabels = [...]string{labelZoneBeta, labelRegionBeta, LabelZone, LabelRegion}

func (volumeZone) PreFilter(c *Cycle) (map[string]bool, Status) {
	for _, pc := range c.Pod.volumeClaims {
		if pc.ephemeral {
			continue
		}
		if pc.name == "" {
			return nil, finally("PersistentVolumeClaim had no name")
		}
		claim := c.claimOf(pc)
		if claim == nil {
			return nil, claimNotFound(pc.name)
		}
		if claim.Spec.VolumeName == "" {
			if v := c.waitsForFirstConsumer(claim); v.Code != Success {
				return nil, v
			}
			continue
		}
		pv := c.cache.storage.volumes.get(claim.Spec.VolumeName)
		if pv == nil {
			return nil, finally(fmt.Sprintf("persistentvolume %q not found", claim.Spec.VolumeName))
		}
		c.volumes.zones = append(c.volumes.zones, zonesOf(pv)...)
	}
	if len(c.volumes.zones) == 0 {
		return nil, Status{Code: Skip}
	}
	return nil, Status{}
}

// waitsForFirstConsumer rejects a claim without volume that will not get one
// with the pod.
func (c *Cycle) waitsForFirstConsumer(claim *claimInfo) Status {
	if claim.class == "" {
		return finally("PersistentVolumeClaim had no pv name and storageClass name")
	}
	class := c.cache.storage.classes.get(claim.class)
	switch {
	case class == nil:
		return finally(fmt.Sprintf("storageclass.storage.k8s.io %q not found", claim.class))
	case class.VolumeBindingMode == nil:
		return finally(fmt.Sprintf("VolumeBindingMode not set for StorageClass %q", claim.class))
	case *class.VolumeBindingMode != bindOnFirstUse:
		return finally("PersistentVolume had no name")
	}
	return Status{}
}

// zonesOf returns the topology labels of a volume. Several values are joined
// by "__"; a list with an empty value is ignored.
func zonesOf(pv *volumeInfo) []volumeZoneLabel {
	var list []volumeZoneLabel
	for _, key := range zoneLabels {
		label, ok := pv.Labels[key]
		if !ok {
			continue
		}
		values := strings.Split(label, "__")
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		if !slices.Contains(values, "") {
			list = append(list, volumeZoneLabel{key, values})
		}
	}
	return list
}

// Filter accepts nodes without any zone or region label: they are in a cluster
// of one zone.
func (volumeZone) Filter(c *Cycle, n *NodeInfo) Status {
	labelled := slices.ContainsFunc(zoneLabels[:], func(key string) bool {
		_, ok := n.Labels.Lookup(key)
		return ok
	})
	if !labelled {
		return Status{}
	}
	for _, z := range c.volumes.zones {
		value, ok := n.Labels.Lookup(z.key)
		if !ok {
			value, ok = n.Labels.Lookup(stableLabel(z.key))
		}
		if !ok || !slices.Contains(z.values, value) {
			return RejectFinally(ReasonVolumeZone)
		}
	}
	return Status{}
}

// stableLabel returns today's name of a beta label.
func stableLabel(key string) string {
	switch key {
	case labelZoneBeta:
		return LabelZone
	case labelRegionBeta:
		return LabelRegion
	}
	return key
}
