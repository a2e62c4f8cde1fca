package scheduler

// compileVolumes notes the claims that the pod uses.
func (p *PodInfo) compileVolumes() {
	for i := range p.Pod.Spec.Volumes {
		if claim := p.Pod.Spec.Volumes[i].PersistentVolumeClaim; claim != nil {
			p.claims = append(p.claims, p.Namespace+"/"+claim.ClaimName)
		}
	}
}

// unsupportedVolume names the first volume that could restrict where the pod
// runs, which this package does not decide about yet.
func unsupportedVolume(p *Pod) (kind string, at int) {
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		switch {
		case v.PersistentVolumeClaim != nil:
			return "persistentVolumeClaim", i
		case v.Ephemeral != nil:
			return "ephemeral", i
		case v.GCEPersistentDisk != nil:
			return "gcePersistentDisk", i
		case v.AWSElasticBlockStore != nil:
			return "awsElasticBlockStore", i
		case v.ISCSI != nil:
			return "iscsi", i
		case v.RBD != nil:
			return "rbd", i
		case v.CSI != nil:
			return "csi", i
		case v.AzureDisk != nil:
			return "azureDisk", i
		case v.Cinder != nil:
			return "cinder", i
		case v.PortworxVolume != nil:
			return "portworxVolume", i
		case v.VsphereVolume != nil:
			return "vsphereVolume", i
		}
	}
	return "", -1
}
