package workload

import "fmt"

// firstStart is when the first pods of a cluster started.
const firstStart = 1_700_000_000

// pod draws a pod that is neither placed nor pending yet.
func (g *generator) pod(name string) Object {
	p := Object{
		"metadata": Object{"name": name, "namespace": g.pick("default", "default", "prod", "dev"), "uid": name,
			"labels": Object{"app": g.pick(apps...), "ver": g.pick("1", "2")}},
		"spec": Object{},
	}
	spec := p.child("spec")
	g.containers(spec)
	if g.features.Has(Overhead) && g.chance(8) {
		spec["overhead"] = Object{"cpu": "25m", "memory": "32Mi"}
	}
	if g.features.Has(PodLevelResources) && g.chance(8) {
		if r := g.requests(false); len(r) > 0 {
			if spec["overhead"] != nil {
				integral(r)
			}
			spec["resources"] = Object{"requests": r}
		}
	}
	if g.features.Has(Taints) {
		g.tolerations(spec)
	}
	if g.features.Has(NodeAffinity) {
		g.nodeAffinity(spec)
	}
	if g.features.Has(PodAffinity) && g.chance(4) {
		g.podAffinity(spec)
	}
	if g.features.Has(Spread) && g.chance(4) {
		g.spread(spec)
	}
	if g.features.Has(Priorities) {
		spec["priority"] = 10 * g.IntN(3)
	}
	if g.features.Has(Volumes) && g.claims != nil && g.chance(3) {
		g.volumes(p)
	}
	if g.features.Has(Owners) && g.chance(2) {
		g.own(p.child("metadata"))
	}
	return p
}

// integral writes fractions of binary units as integers. Upstream keeps such a
// fraction behind a pointer and adds the pod's overhead through it, to the pod
// itself, each time that it computes the request: its answer would depend on how
// often it was asked (component-helpers v0.36.3, resource.PodRequests).
func integral(requests Object) {
	for name, quantity := range requests {
		switch quantity {
		case "0.5Gi":
			requests[name] = "512Mi"
		case "1.5Gi":
			requests[name] = "1536Mi"
		}
	}
}

// placed draws a pod that runs on some node.
func (g *generator) placed(name string) Object {
	p := g.pod(name)
	p.child("spec")["nodeName"] = g.pick(g.nodes...)
	started := timestamp(firstStart + g.IntN(1000))
	p.child("metadata")["creationTimestamp"] = started
	status := p.child("status")
	status["phase"], status["startTime"] = "Running", started
	if g.features.Has(Terminating) && g.chance(12) {
		p.child("metadata")["deletionTimestamp"] = timestamp(firstStart + 1000)
	}
	if g.features.Has(Resize) && g.chance(8) {
		g.resizing(p)
	}
	return p
}

// pending draws a pod that waits for a node.
func (g *generator) pending(name string) Object {
	p := g.pod(name)
	spec := p.child("spec")
	if g.features.Has(Gates) && g.chance(15) {
		spec["schedulingGates"] = list{Object{"name": "example.com/hold"}, Object{"name": "example.com/quota"}}[:1+g.IntN(2)]
	}
	if g.features.Has(Priorities) && g.chance(10) {
		spec["preemptionPolicy"] = g.pick("Never", "PreemptLowerPriority")
	}
	if g.features.Has(Nominated) && g.chance(8) {
		p.child("status")["nominatedNodeName"] = g.pick(g.nodes...)
	}
	return p
}

func timestamp(unix int) string {
	s := unix - firstStart
	return fmt.Sprintf("2023-11-14T22:%02d:%02dZ", 13+(20+s)/60, (20+s)%60)
}

func (g *generator) containers(spec Object) {
	containers := list{}
	for i := range 1 + g.IntN(2) {
		containers = append(containers, g.container(fmt.Sprintf("c%d", i)))
	}
	spec["containers"] = containers
	if !g.features.Has(InitContainers) || !g.chance(4) {
		return
	}
	var init list
	for i := range 1 + g.IntN(3) {
		c := g.container(fmt.Sprintf("i%d", i))
		if g.chance(2) {
			c["restartPolicy"] = "Always"
		}
		init = append(init, c)
	}
	spec["initContainers"] = init
}

func (g *generator) container(name string) Object {
	c := Object{"name": name, "image": "img/a:v1"}
	if r := g.requests(true); len(r) > 0 {
		c["resources"] = Object{"requests": r}
	}
	if g.features.Has(Images) {
		c["image"] = g.pick("img/a:v1", "img/b:v1", "img/c", "img/a", "registry.example:5000/d")
	}
	if g.features.Has(HostPorts) && g.chance(6) {
		c["ports"] = g.ports()
	}
	return c
}

// requests draws resource requests in many notations; with scalars also the
// ones that only containers can have.
func (g *generator) requests(scalars bool) Object {
	r := Object{}
	if !g.chance(4) {
		r["cpu"] = g.pick("0", "50m", "100m", "250m", "0.3", "500m", "333m", "1", "1.5", "1e-1", "0.0001", "2")
	}
	if !g.chance(4) {
		r["memory"] = g.pick("0", "64Mi", "128Mi", "256Mi", "0.5Gi", "500M", "1Gi", "1.5Gi", "1e9", "3Gi", "1", "1500m")
	}
	if scalars && g.chance(8) {
		r["ephemeral-storage"] = g.pick("0", "512Mi", "1Gi", "2G")
	}
	if scalars && g.features.Has(Scalars) {
		if g.chance(6) {
			r["example.com/gpu"] = fmt.Sprint(g.IntN(3))
		}
		if g.chance(15) {
			r["hugepages-2Mi"] = g.pick("0", "2Mi", "8Mi")
		}
	}
	return r
}

func (g *generator) ports() list {
	var ports list
	for range 1 + g.IntN(2) {
		port := Object{"containerPort": 80, "hostPort": 8080 + g.IntN(2), "protocol": g.pick("TCP", "UDP")}
		if ip := g.pick("", "0.0.0.0", "127.0.0.1", "10.0.0.1"); ip != "" {
			port["hostIP"] = ip
		}
		if g.chance(6) {
			delete(port, "hostPort")
		}
		ports = append(ports, port)
	}
	return ports
}

// tolerations draws what an API server admits: without a key only Exists.
func (g *generator) tolerations(spec Object) {
	var tolerations list
	for range g.IntN(3) {
		t := Object{}
		if effect := g.pick("", "NoSchedule", "PreferNoSchedule", "NoExecute"); effect != "" {
			t["effect"] = effect
		}
		key, operator := g.pick("dedicated", "spot", "gpu", "node.kubernetes.io/unschedulable", ""), g.pick("", "Equal", "Exists")
		if key == "" {
			operator = "Exists"
		} else {
			t["key"] = key
		}
		if operator != "" {
			t["operator"] = operator
		}
		if value := g.pick("", "a", "b", "7"); operator != "Exists" && value != "" {
			t["value"] = value
		}
		tolerations = append(tolerations, t)
	}
	if tolerations != nil {
		spec["tolerations"] = tolerations
	}
}

// own gives the pod a controlling owner, of a kind that may or may not exist.
func (g *generator) own(metadata Object) {
	kind, version := "ReplicaSet", "apps/v1"
	switch g.IntN(4) {
	case 0:
		kind, version = "ReplicationController", "v1"
	case 1:
		kind = "StatefulSet"
	case 2:
		kind, version = "Job", "batch/v1"
	}
	name := g.pick(apps...)
	metadata["ownerReferences"] = list{Object{"apiVersion": version, "kind": kind, "name": name, "uid": name, "controller": !g.chance(8)}}
}

// resizing gives the first container's status other resources than its spec.
func (g *generator) resizing(p Object) {
	status := p.child("status")
	container := Object{"name": "c0", "resources": Object{"requests": g.requests(false)}}
	if g.chance(2) {
		container["allocatedResources"] = g.requests(false)
	}
	status["containerStatuses"] = list{container}
	if g.chance(3) {
		status["conditions"] = list{Object{"type": "PodResizePending", "status": "True", "reason": g.pick("Infeasible", "Deferred")}}
	}
}
