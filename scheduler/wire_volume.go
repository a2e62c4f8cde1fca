package scheduler

import (
	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/selector"
)

// Volume is one volume of a pod. Only the sources that can restrict where the
// pod runs are decoded, and emptyDir, which a drain asks a consent for.
type Volume struct {
	Name                  string                       `json:"name"`
	PersistentVolumeClaim *PersistentVolumeClaimSource `json:"persistentVolumeClaim,omitempty"`
	Ephemeral             *EphemeralVolumeSource       `json:"ephemeral,omitempty"`
	EmptyDir              *qos.EmptyDirVolume          `json:"emptyDir,omitempty"`
	Image                 *ImageVolumeSource           `json:"image,omitempty"`
	GCEPersistentDisk     *GCEPersistentDisk           `json:"gcePersistentDisk,omitempty"`
	AWSElasticBlockStore  *AWSElasticBlockStore        `json:"awsElasticBlockStore,omitempty"`
	ISCSI                 *ISCSIVolume                 `json:"iscsi,omitempty"`
	RBD                   *RBDVolume                   `json:"rbd,omitempty"`
	CSI                   *CSIVolumeSource             `json:"csi,omitempty"`
	AzureDisk             *AzureDisk                   `json:"azureDisk,omitempty"`
	Cinder                *Cinder                      `json:"cinder,omitempty"`
	PortworxVolume        *PortworxVolume              `json:"portworxVolume,omitempty"`
}

// PersistentVolumeClaimSource names a claim in the pod's namespace.
type PersistentVolumeClaimSource struct {
	ClaimName string `json:"claimName"`
	ReadOnly  bool   `json:"readOnly,omitempty"`
}

// EphemeralVolumeSource stands for a claim that is made for the pod alone.
type EphemeralVolumeSource struct{}

// ImageVolumeSource mounts an OCI artifact (KEP-4639).
type ImageVolumeSource struct {
	Reference string `json:"reference,omitempty"`
}

// GCEPersistentDisk is an in-tree Google disk.
type GCEPersistentDisk struct {
	PDName   string `json:"pdName"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// AWSElasticBlockStore is an in-tree Amazon disk.
type AWSElasticBlockStore struct {
	VolumeID string `json:"volumeID"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// ISCSIVolume is an iSCSI disk.
type ISCSIVolume struct {
	TargetPortal string `json:"targetPortal"`
	IQN          string `json:"iqn"`
	Lun          int32  `json:"lun"`
	ReadOnly     bool   `json:"readOnly,omitempty"`
}

// RBDVolume is a Ceph block device.
type RBDVolume struct {
	Monitors []string `json:"monitors"`
	Image    string   `json:"image"`
	Pool     string   `json:"pool,omitempty"`
	ReadOnly bool     `json:"readOnly,omitempty"`
}

// CSIVolumeSource is an inline volume of a CSI driver.
type CSIVolumeSource struct {
	Driver string `json:"driver"`
}

// AzureDisk is an in-tree Azure disk, served by a CSI driver since 1.27.
type AzureDisk struct {
	DiskName string `json:"diskName"`
}

// Cinder is an in-tree OpenStack disk, served by a CSI driver since 1.26.
type Cinder struct {
	VolumeID string `json:"volumeID"`
}

// PortworxVolume is an in-tree Portworx volume, served by a CSI driver.
type PortworxVolume struct {
	VolumeID string `json:"volumeID"`
}

// PersistentVolumeClaim is a Kubernetes v1 PersistentVolumeClaim.
type PersistentVolumeClaim struct {
	ObjectMeta `json:"metadata"`
	Spec       PersistentVolumeClaimSpec   `json:"spec,omitzero"`
	Status     PersistentVolumeClaimStatus `json:"status,omitzero"`
}

// PersistentVolumeClaimSpec is what the claim asks for, and the volume it has.
type PersistentVolumeClaimSpec struct {
	AccessModes               []string                `json:"accessModes,omitempty"`
	Selector                  *selector.LabelSelector `json:"selector,omitempty"`
	Resources                 ResourceRequirements    `json:"resources,omitzero"`
	VolumeName                string                  `json:"volumeName,omitempty"`
	StorageClassName          *string                 `json:"storageClassName,omitempty"`
	VolumeMode                *string                 `json:"volumeMode,omitempty"`
	VolumeAttributesClassName *string                 `json:"volumeAttributesClassName,omitempty"`
}

// PersistentVolumeClaimStatus says whether the claim is bound or lost.
type PersistentVolumeClaimStatus struct {
	Phase string `json:"phase,omitempty"`
}

// PersistentVolume is a Kubernetes v1 PersistentVolume.
type PersistentVolume struct {
	ObjectMeta `json:"metadata"`
	Spec       PersistentVolumeSpec   `json:"spec,omitzero"`
	Status     PersistentVolumeStatus `json:"status,omitzero"`
}

// PersistentVolumeSpec is what the volume offers, and to whom it belongs.
type PersistentVolumeSpec struct {
	Capacity                  resource.List         `json:"capacity,omitempty"`
	AccessModes               []string              `json:"accessModes,omitempty"`
	ClaimRef                  *ClaimReference       `json:"claimRef,omitempty"`
	StorageClassName          string                `json:"storageClassName,omitempty"`
	VolumeMode                *string               `json:"volumeMode,omitempty"`
	NodeAffinity              *VolumeNodeAffinity   `json:"nodeAffinity,omitempty"`
	VolumeAttributesClassName *string               `json:"volumeAttributesClassName,omitempty"`
	CSI                       *CSIPersistentVolume  `json:"csi,omitempty"`
	GCEPersistentDisk         *GCEPersistentDisk    `json:"gcePersistentDisk,omitempty"`
	AWSElasticBlockStore      *AWSElasticBlockStore `json:"awsElasticBlockStore,omitempty"`
	AzureDisk                 *AzureDisk            `json:"azureDisk,omitempty"`
	Cinder                    *Cinder               `json:"cinder,omitempty"`
	PortworxVolume            *PortworxVolume       `json:"portworxVolume,omitempty"`
}

// PersistentVolumeStatus says whether the volume can be bound.
type PersistentVolumeStatus struct {
	Phase string `json:"phase,omitempty"`
}

// ClaimReference names the claim a volume is bound to or reserved for.
type ClaimReference struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	UID       string `json:"uid,omitempty"`
}

// VolumeNodeAffinity says on which nodes a volume can be used.
type VolumeNodeAffinity struct {
	Required *selector.NodeSelector `json:"required,omitempty"`
}

// CSIPersistentVolume is a volume of a CSI driver.
type CSIPersistentVolume struct {
	Driver       string `json:"driver"`
	VolumeHandle string `json:"volumeHandle"`
}

// StorageClass is a storage.k8s.io/v1 StorageClass.
type StorageClass struct {
	ObjectMeta        `json:"metadata"`
	Provisioner       string                 `json:"provisioner"`
	VolumeBindingMode *string                `json:"volumeBindingMode,omitempty"`
	AllowedTopologies []TopologySelectorTerm `json:"allowedTopologies,omitempty"`
}

// TopologySelectorTerm is one alternative of a class's topologies.
type TopologySelectorTerm struct {
	MatchLabelExpressions []TopologySelectorRequirement `json:"matchLabelExpressions,omitempty"`
}

// TopologySelectorRequirement asks for one of several values of a label.
type TopologySelectorRequirement struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// CSINode is a storage.k8s.io/v1 CSINode: the drivers on the node of the same
// name.
type CSINode struct {
	ObjectMeta `json:"metadata"`
	Spec       CSINodeSpec `json:"spec,omitzero"`
}

// CSINodeSpec lists the drivers.
type CSINodeSpec struct {
	Drivers []CSINodeDriver `json:"drivers,omitempty"`
}

// CSINodeDriver is one driver, with how many volumes it can attach.
type CSINodeDriver struct {
	Name        string               `json:"name"`
	Allocatable *VolumeNodeResources `json:"allocatable,omitempty"`
}

// VolumeNodeResources holds the limit on volumes; nil is no limit.
type VolumeNodeResources struct {
	Count *int32 `json:"count,omitempty"`
}

// CSIDriver is a storage.k8s.io/v1 CSIDriver.
type CSIDriver struct {
	ObjectMeta `json:"metadata"`
	Spec       CSIDriverSpec `json:"spec,omitzero"`
}

// CSIDriverSpec says whether the driver reports capacities.
type CSIDriverSpec struct {
	StorageCapacity *bool `json:"storageCapacity,omitempty"`
}

// CSIStorageCapacity is a storage.k8s.io/v1 CSIStorageCapacity: how much room
// there is for new volumes of a class in a part of the cluster.
type CSIStorageCapacity struct {
	ObjectMeta        `json:"metadata"`
	StorageClassName  string                  `json:"storageClassName"`
	NodeTopology      *selector.LabelSelector `json:"nodeTopology,omitempty"`
	Capacity          *resource.Quantity      `json:"capacity,omitempty"`
	MaximumVolumeSize *resource.Quantity      `json:"maximumVolumeSize,omitempty"`
}

// VolumeAttachment is a storage.k8s.io/v1 VolumeAttachment.
type VolumeAttachment struct {
	ObjectMeta `json:"metadata"`
	Spec       VolumeAttachmentSpec `json:"spec,omitzero"`
}

// VolumeAttachmentSpec names driver, node and volume.
type VolumeAttachmentSpec struct {
	Attacher string                 `json:"attacher"`
	NodeName string                 `json:"nodeName"`
	Source   VolumeAttachmentSource `json:"source"`
}

// VolumeAttachmentSource names the volume.
type VolumeAttachmentSource struct {
	PersistentVolumeName *string `json:"persistentVolumeName,omitempty"`
}
