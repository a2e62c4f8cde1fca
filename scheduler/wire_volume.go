package scheduler

// Volume is one volume of a pod. Only the sources that can restrict where the
// pod runs are decoded.
type Volume struct {
	Name                  string                       `json:"name"`
	PersistentVolumeClaim *PersistentVolumeClaimSource `json:"persistentVolumeClaim,omitempty"`
	Ephemeral             *EphemeralVolumeSource       `json:"ephemeral,omitempty"`
	Image                 *ImageVolumeSource           `json:"image,omitempty"`
	GCEPersistentDisk     *GCEPersistentDisk           `json:"gcePersistentDisk,omitempty"`
	AWSElasticBlockStore  *AWSElasticBlockStore        `json:"awsElasticBlockStore,omitempty"`
	ISCSI                 *ISCSIVolume                 `json:"iscsi,omitempty"`
	RBD                   *RBDVolume                   `json:"rbd,omitempty"`
	CSI                   *CSIVolumeSource             `json:"csi,omitempty"`
	AzureDisk             *AzureDisk                   `json:"azureDisk,omitempty"`
	Cinder                *Cinder                      `json:"cinder,omitempty"`
	PortworxVolume        *PortworxVolume              `json:"portworxVolume,omitempty"`
	VsphereVolume         *VsphereVolume               `json:"vsphereVolume,omitempty"`
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

// VsphereVolume is an in-tree vSphere disk, served by a CSI driver.
type VsphereVolume struct {
	VolumePath string `json:"volumePath"`
}
