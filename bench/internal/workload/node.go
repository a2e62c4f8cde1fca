package workload

import "fmt"

// node draws a node. Some lack labels or resources that others have.
func (g *generator) node(i int) Object {
	name := fmt.Sprintf("n%03d", i)
	g.nodes = append(g.nodes, name)
	labels := Object{hostnameKey: name}
	if !g.chance(8) {
		labels[zoneKey] = g.pick("z1", "z2", "z3")
	}
	if g.chance(6) {
		labels[regionKey] = g.pick("r1", "r2")
	}
	if g.chance(2) {
		labels["disk"] = g.pick("ssd", "hdd")
	}
	if g.chance(2) {
		labels["gen"] = g.pick("1", "2", "10", "007", "x", "")
	}
	n := Object{
		"metadata": Object{"name": name, "labels": labels},
		"spec":     Object{},
		"status":   Object{"conditions": list{Object{"type": "Ready", "status": "True"}}},
	}
	total := g.allocatable()
	status := n.child("status")
	status["allocatable"], status["capacity"] = total, total
	if g.features.Has(Taints) {
		g.taint(n.child("spec"))
	}
	if g.features.Has(Images) {
		status["images"] = g.nodeImages()
	}
	return n
}

func (g *generator) allocatable() Object {
	total := Object{
		"cpu":    g.pick("1", "2", "3920m", "4", "6", "8", "0.5"),
		"memory": g.pick("1Gi", "2Gi", "4Gi", "8Gi", "16Gi", "7950Mi", "2e9", "3G"),
		"pods":   fmt.Sprint(3 + g.IntN(20)),
	}
	if g.chance(3) {
		total["ephemeral-storage"] = g.pick("1Gi", "10Gi", "94372Mi", "5G")
	}
	if g.features.Has(Scalars) {
		if g.chance(2) {
			total["example.com/gpu"] = fmt.Sprint(1 + g.IntN(4))
		}
		if g.chance(4) {
			total["hugepages-2Mi"] = g.pick("0", "4Mi", "64Mi")
		}
	}
	switch g.IntN(30) {
	case 0:
		delete(total, "pods")
	case 1:
		delete(total, "memory")
	case 2:
		total["cpu"] = "0"
	}
	return total
}

func (g *generator) taint(spec Object) {
	if g.chance(12) {
		spec["unschedulable"] = true
	}
	var taints list
	for range g.IntN(3) {
		if g.chance(2) {
			continue
		}
		taint := Object{
			"key":    g.pick("dedicated", "spot", "gpu"),
			"effect": g.pick("NoSchedule", "PreferNoSchedule", "PreferNoSchedule", "NoExecute"),
		}
		if value := g.pick("", "a", "b", "7"); value != "" {
			taint["value"] = value
		}
		taints = append(taints, taint)
	}
	if taints != nil {
		spec["taints"] = taints
	}
}

// nodeImages draws images whose size is the same on every node: upstream scores
// with the size that the first node reported.
func (g *generator) nodeImages() list {
	images := list{}
	for _, name := range imageNames {
		if _, known := g.sizes[name]; !known {
			g.sizes[name] = g.IntN(1200) << 20
		}
		if g.chance(3) {
			images = append(images, Object{"names": list{name}, "sizeBytes": g.sizes[name]})
		}
	}
	return images
}
