package scheduler

import (
	"fmt"
	"slices"

	"github.com/orchcore/orchcore/selector"
)

// storageIndex holds the objects that decisions about volumes read.
type storageIndex struct {
	claims      table[podKey, *claimInfo]
	volumes     table[string, *volumeInfo]
	classes     table[string, *StorageClass]
	csiNodes    table[string, *CSINode]
	drivers     table[string, *CSIDriver]
	capacities  table[podKey, *storageCapacity]
	attachments table[string, *VolumeAttachment]

	// What assumed pods have decided, until it is observed or undone: the
	// claims that volumes are reserved for, and the nodes chosen for volumes
	// that are still to be made.
	reserved table[string, *ClaimReference]
	chosen   table[podKey, string]
}

// claimInfo is a compiled PersistentVolumeClaim, immutable.
type claimInfo struct {
	*PersistentVolumeClaim
	key    podKey
	class  string
	labels *selector.Selector // of the volumes it accepts; nil: any
	// selected is the node that the annotation names for a volume that is
	// still to be made.
	selected    string
	hasSelected bool
}

// volumeInfo is a compiled PersistentVolume, immutable.
type volumeInfo struct {
	*PersistentVolume
	class    string
	labels   selector.Labels
	affinity selector.NodeMatcher
}

// storageCapacity is a compiled CSIStorageCapacity.
type storageCapacity struct {
	*CSIStorageCapacity
	nodes selector.Selector
}

// The annotations that decisions read.
const (
	annotationSelectedNode  = "volume.kubernetes.io/selected-node"
	annotationBindCompleted = "pv.kubernetes.io/bind-completed"
	annotationClass         = "volume.beta.kubernetes.io/storage-class"
	annotationMigrated      = "storage.alpha.kubernetes.io/migrated-plugins"
)

// classOf returns the storage class that an annotation or the spec names.
func classOf(meta *ObjectMeta, class string) string {
	if c, ok := meta.Annotations[annotationClass]; ok {
		return c
	}
	return class
}

// SetPersistentVolumeClaim adds or replaces a claim. What an assumed pod has
// decided about the claim is forgotten: the object that is observed wins.
func (c *Cache) SetPersistentVolumeClaim(pvc *PersistentVolumeClaim) error {
	if pvc == nil || pvc.Name == "" {
		return nameMissing("persistentvolumeclaim")
	}
	key := keyOf(&pvc.ObjectMeta)
	out := &claimInfo{PersistentVolumeClaim: pvc, key: key}
	if pvc.Spec.StorageClassName != nil {
		out.class = *pvc.Spec.StorageClassName
	}
	out.class = classOf(&pvc.ObjectMeta, out.class)
	if s := pvc.Spec.Selector; s != nil {
		sel, err := selector.Compile(s)
		if err != nil {
			return &InputError{Object: "persistentvolumeclaim " + key.String(), Field: "spec.selector", Err: err}
		}
		out.labels = &sel
	}
	out.selected, out.hasSelected = pvc.Annotations[annotationSelectedNode]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.claims.put(key, out)
	c.storage.chosen.drop(key)
	c.changes.mark(&c.changes.storage)
	return nil
}

// RemovePersistentVolumeClaim removes a claim, if it is there.
func (c *Cache) RemovePersistentVolumeClaim(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := podKey{orDefault(namespace), name}
	c.storage.claims.drop(key)
	c.storage.chosen.drop(key)
	c.changes.mark(&c.changes.storage)
}

// SetPersistentVolume adds or replaces a volume. What an assumed pod has
// decided about the volume is forgotten: the object that is observed wins.
func (c *Cache) SetPersistentVolume(pv *PersistentVolume) error {
	if pv == nil || pv.Name == "" {
		return nameMissing("persistentvolume")
	}
	out := &volumeInfo{
		PersistentVolume: pv,
		class:            classOf(&pv.ObjectMeta, pv.Spec.StorageClassName),
		labels:           selector.NewLabels(pv.Labels),
	}
	var required *selector.NodeSelector
	if pv.Spec.NodeAffinity != nil {
		required = pv.Spec.NodeAffinity.Required
	}
	out.affinity = selector.CompileNodeSelectorLazy(required)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.volumes.put(pv.Name, out)
	c.storage.reserved.drop(pv.Name)
	c.changes.mark(&c.changes.storage)
	return nil
}

// RemovePersistentVolume removes a volume, if it is there.
func (c *Cache) RemovePersistentVolume(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.volumes.drop(name)
	c.storage.reserved.drop(name)
	c.changes.mark(&c.changes.storage)
}

// SetStorageClass adds or replaces a storage class.
func (c *Cache) SetStorageClass(class *StorageClass) error {
	if class == nil || class.Name == "" {
		return nameMissing("storageclass")
	}
	if mode := class.VolumeBindingMode; mode != nil && !c.config.Unvalidated {
		v := validator{object: "storageclass " + class.Name}
		v.oneOf("volumeBindingMode", *mode, bindImmediate, bindOnFirstUse)
		if err := v.err(); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.classes.put(class.Name, class)
	c.changes.mark(&c.changes.storage)
	return nil
}

// RemoveStorageClass removes a storage class, if it is there.
func (c *Cache) RemoveStorageClass(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.classes.drop(name)
	c.changes.mark(&c.changes.storage)
}

// SetCSINode adds or replaces the drivers of a node.
func (c *Cache) SetCSINode(n *CSINode) error {
	if n == nil || n.Name == "" {
		return nameMissing("csinode")
	}
	for i, d := range n.Spec.Drivers {
		if d.Allocatable != nil && d.Allocatable.Count != nil && *d.Allocatable.Count < 0 && !c.config.Unvalidated {
			return &InputError{
				Object: "csinode " + n.Name, Field: fmt.Sprintf("spec.drivers[%d].allocatable.count", i),
				Value: fmt.Sprint(*d.Allocatable.Count), Want: "0 or more",
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.csiNodes.put(n.Name, n)
	c.changes.mark(&c.changes.storage)
	return nil
}

// RemoveCSINode removes the drivers of a node, if they are there.
func (c *Cache) RemoveCSINode(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.csiNodes.drop(name)
	c.changes.mark(&c.changes.storage)
}

// SetCSIDriver adds or replaces a driver.
func (c *Cache) SetCSIDriver(d *CSIDriver) error {
	if d == nil || d.Name == "" {
		return nameMissing("csidriver")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.drivers.put(d.Name, d)
	c.changes.mark(&c.changes.storage)
	return nil
}

// RemoveCSIDriver removes a driver, if it is there.
func (c *Cache) RemoveCSIDriver(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.drivers.drop(name)
	c.changes.mark(&c.changes.storage)
}

// SetCSIStorageCapacity adds or replaces a capacity.
func (c *Cache) SetCSIStorageCapacity(sc *CSIStorageCapacity) error {
	if sc == nil || sc.Name == "" {
		return nameMissing("csistoragecapacity")
	}
	key := keyOf(&sc.ObjectMeta)
	// A topology that cannot be compiled gives access to no node.
	nodes, err := selector.Compile(sc.NodeTopology)
	if err != nil && !c.config.Unvalidated {
		return &InputError{Object: "csistoragecapacity " + key.String(), Field: "nodeTopology", Err: err}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.capacities.put(key, &storageCapacity{sc, nodes})
	c.changes.mark(&c.changes.storage)
	return nil
}

// RemoveCSIStorageCapacity removes a capacity, if it is there.
func (c *Cache) RemoveCSIStorageCapacity(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.capacities.drop(podKey{orDefault(namespace), name})
	c.changes.mark(&c.changes.storage)
}

// SetVolumeAttachment adds or replaces an attachment.
func (c *Cache) SetVolumeAttachment(a *VolumeAttachment) error {
	if a == nil || a.Name == "" {
		return nameMissing("volumeattachment")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.attachments.put(a.Name, a)
	c.changes.mark(&c.changes.storage)
	return nil
}

// RemoveVolumeAttachment removes an attachment, if it is there.
func (c *Cache) RemoveVolumeAttachment(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.attachments.drop(name)
	c.changes.mark(&c.changes.storage)
}

// volumesOf returns the volumes of a class by name.
func (s *storageIndex) volumesOf(class string) []*volumeInfo {
	var list []*volumeInfo
	for _, v := range s.volumes.m {
		if v.class == class {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b *volumeInfo) int { return cmpKey(podKey{name: a.Name}, podKey{name: b.Name}) })
	return list
}

// claimRef returns the claim that the volume is bound to or reserved for.
func (s *storageIndex) claimRef(v *volumeInfo) *ClaimReference {
	if ref := s.reserved.get(v.Name); ref != nil {
		return ref
	}
	return v.Spec.ClaimRef
}

// chosenNode returns the node that the claim's volume is to be made for, if
// that is decided.
func (s *storageIndex) chosenNode(c *claimInfo) (node string, ok bool) {
	if node, ok := s.chosen.m[c.key]; ok {
		return node, true
	}
	return c.selected, c.hasSelected
}

// refersTo says that a volume with this claimRef belongs to the claim.
func (ref *ClaimReference) refersTo(c *claimInfo) bool {
	return ref != nil && ref.Name == c.Name && ref.Namespace == c.key.namespace &&
		(ref.UID == "" || ref.UID == c.UID)
}

// reaches says that the volume can be used on the node.
func (v *volumeInfo) reaches(n *NodeInfo) bool {
	// Volumes are held against labels alone, not the node's name.
	return v.affinity.Matches("", n.Labels)
}

// inTree returns the name of the in-tree plugin whose volumes a CSI driver
// serves nowadays, "" for other volumes.
func (v *volumeInfo) inTree() string {
	switch s := &v.Spec; {
	case s.AWSElasticBlockStore != nil:
		return "kubernetes.io/aws-ebs"
	case s.GCEPersistentDisk != nil:
		return "kubernetes.io/gce-pd"
	case s.AzureDisk != nil:
		return "kubernetes.io/azure-disk"
	case s.Cinder != nil:
		return "kubernetes.io/cinder"
	case s.PortworxVolume != nil:
		return "kubernetes.io/portworx-volume"
	}
	return ""
}
