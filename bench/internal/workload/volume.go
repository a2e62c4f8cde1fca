package workload

import "fmt"

// The storage that claims and volumes choose from. The class "local" has no
// provisioner: its claims need a volume that exists.
const csiDriver = "csi.example.com"

// claim is a PersistentVolumeClaim that pods can name.
type claim struct{ namespace, name string }

// storage makes classes, volumes, claims and what CSI reports of the nodes.
func (g *generator) storage(c *Cluster) {
	c.StorageClasses = []Object{
		{"metadata": Object{"name": "fast"}, "provisioner": csiDriver, "volumeBindingMode": "WaitForFirstConsumer"},
		{"metadata": Object{"name": "slow"}, "provisioner": csiDriver, "volumeBindingMode": "Immediate"},
		{"metadata": Object{"name": "local"}, "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"},
	}
	if g.chance(2) {
		c.StorageClasses[0]["allowedTopologies"] = list{Object{"matchLabelExpressions": list{
			Object{"key": zoneKey, "values": list{"z1", g.pick("z2", "z3")}}}}}
	}
	// In-tree disks are served by CSI drivers where there are any: such a mix
	// is another matter.
	g.inTree = g.chance(4)
	for _, n := range g.nodes {
		if g.inTree || g.chance(6) {
			continue
		}
		driver := Object{"name": csiDriver, "nodeID": n}
		if !g.chance(4) {
			driver["allocatable"] = Object{"count": 1 + g.IntN(4)}
		}
		c.CSINodes = append(c.CSINodes, Object{"metadata": Object{"name": n}, "spec": Object{"drivers": list{driver}}})
	}
	for i := range 8 {
		c.PVs = append(c.PVs, g.volume(i))
	}
	for i := range 10 {
		c.PVCs = append(c.PVCs, g.claim(i, c.PVs))
	}
}

// volume draws a volume of a size of its own: among equal ones upstream takes
// any.
func (g *generator) volume(i int) Object {
	name := fmt.Sprintf("pv%d", i)
	sizeMi := []int{1 << 10, 5 << 10, 10 << 10}[g.IntN(3)] + i
	v := Object{
		"metadata": Object{"name": name, "uid": name, "labels": Object{"tier": g.pick("a", "b")}},
		"spec": Object{
			"capacity": Object{"storage": fmt.Sprintf("%dMi", sizeMi)}, "accessModes": list{"ReadWriteOnce"},
			"storageClassName": g.pick("fast", "local", "local"),
			"csi":              Object{"driver": csiDriver, "volumeHandle": name},
		},
		"status": Object{"phase": "Available"},
	}
	if g.chance(3) {
		v.child("metadata").child("labels")[zoneKey] = g.pick("z1", "z2", "z1__z3")
	}
	if !g.chance(3) {
		r := Object{"key": zoneKey, "operator": "In", "values": list{g.pick("z1", "z2")}}
		if g.chance(2) {
			r = Object{"key": hostnameKey, "operator": g.pick("In", "NotIn"), "values": list{g.pick(g.nodes...)}}
		}
		v.child("spec").child("nodeAffinity").child("required")["nodeSelectorTerms"] = list{Object{"matchExpressions": list{r}}}
	}
	return v
}

// claim draws a claim that is bound to one of the volumes, or still to be.
func (g *generator) claim(i int, volumes []Object) Object {
	c := claim{g.pick("default", "default", "prod"), fmt.Sprintf("pvc%d", i)}
	g.claims = append(g.claims, c)
	mode := "ReadWriteOnce"
	if g.chance(8) {
		mode = "ReadWriteOncePod"
	}
	o := Object{
		"metadata": Object{"name": c.name, "namespace": c.namespace, "uid": c.name},
		"spec": Object{"accessModes": list{mode}, "storageClassName": g.pick("fast", "slow", "local", "local"),
			"resources": Object{"requests": Object{"storage": g.pick("1Gi", "2Gi", "5Gi", "20Gi")}}},
		"status": Object{"phase": "Pending"},
	}
	switch g.IntN(12) {
	case 0, 1, 2, 3:
		g.bind(o, volumes[g.IntN(len(volumes))])
	case 4:
		o.child("spec")["volumeName"] = "gone"
		o.child("metadata")["annotations"] = Object{"pv.kubernetes.io/bind-completed": "yes"}
		o.child("status")["phase"] = g.pick("Bound", "Lost")
	case 5:
		o.child("metadata")["deletionTimestamp"] = timestamp(firstStart)
	case 6:
		o.child("spec")["selector"] = Object{"matchLabels": Object{"tier": g.pick("a", "b")}}
	case 7:
		o.child("spec")["storageClassName"] = "unknown"
	}
	return o
}

// bind ties claim and volume to each other, unless the volume has a claim.
func (g *generator) bind(claim, volume Object) {
	spec := volume.child("spec")
	if spec["claimRef"] != nil {
		return
	}
	meta := claim.child("metadata")
	spec["claimRef"] = Object{"kind": "PersistentVolumeClaim", "apiVersion": "v1",
		"namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
	volume.child("status")["phase"] = "Bound"
	claim.child("spec")["volumeName"] = name(volume)
	claim.child("spec")["storageClassName"] = spec["storageClassName"]
	claim.child("status")["phase"] = "Bound"
	meta["annotations"] = Object{"pv.kubernetes.io/bind-completed": "yes"}
}

// volumes gives a pod some, and puts it into the namespace of its claims.
func (g *generator) volumes(p Object) {
	var volumes list
	namespace := ""
	for i := range 1 + g.IntN(2) {
		volume := Object{"name": fmt.Sprintf("v%d", i)}
		switch c := g.claims[g.IntN(len(g.claims))]; {
		case g.chance(10):
			volume["emptyDir"] = Object{}
		case g.inTree && g.chance(2):
			volume["gcePersistentDisk"] = Object{"pdName": g.pick("disk-a", "disk-b"), "readOnly": g.chance(2)}
		case g.chance(15):
			volume["persistentVolumeClaim"] = Object{"claimName": "missing"}
		case namespace == "" || namespace == c.namespace:
			namespace = c.namespace
			volume["persistentVolumeClaim"] = Object{"claimName": c.name}
		default:
			volume["emptyDir"] = Object{}
		}
		volumes = append(volumes, volume)
	}
	if namespace != "" {
		p.child("metadata")["namespace"] = namespace
	}
	p.child("spec")["volumes"] = volumes
}
