package workload

func (g *generator) nodeAffinity(spec Object) {
	if g.chance(8) {
		spec["nodeSelector"] = Object{"disk": g.pick("ssd", "hdd")}
	}
	if !g.chance(3) {
		return
	}
	affinity := spec.child("affinity").child("nodeAffinity")
	if g.chance(2) {
		terms := list{}
		for range 1 + g.IntN(2) {
			terms = append(terms, g.nodeTerm())
		}
		affinity.child("requiredDuringSchedulingIgnoredDuringExecution")["nodeSelectorTerms"] = terms
	}
	var preferred list
	for range g.IntN(3) {
		preferred = append(preferred, Object{"weight": 1 + g.IntN(100),
			"preference": Object{"matchExpressions": list{g.nodeRequirement()}}})
	}
	if preferred != nil {
		affinity["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
	}
}

// nodeTerm may be empty, which matches no node, and may name nodes that do not
// exist.
func (g *generator) nodeTerm() Object {
	term := Object{}
	var expressions list
	for range g.IntN(3) {
		expressions = append(expressions, g.nodeRequirement())
	}
	if expressions != nil {
		term["matchExpressions"] = expressions
	}
	if g.chance(5) {
		name := g.pick(g.nodes...)
		if g.chance(10) {
			name = "elsewhere"
		}
		term["matchFields"] = list{Object{"key": "metadata.name", "operator": g.pick("In", "In", "NotIn"), "values": list{name}}}
	}
	return term
}

func (g *generator) nodeRequirement() Object {
	key := g.pick("disk", "gen", zoneKey)
	switch g.IntN(6) {
	case 0, 1:
		return Object{"key": "disk", "operator": g.pick("In", "NotIn"), "values": list{g.pick("ssd", "hdd")}}
	case 2:
		return Object{"key": zoneKey, "operator": g.pick("In", "NotIn"), "values": list{"z1", g.pick("z2", "z3")}}
	case 3:
		return Object{"key": key, "operator": "Exists"}
	case 4:
		return Object{"key": key, "operator": "DoesNotExist"}
	}
	return Object{"key": "gen", "operator": g.pick("Gt", "Lt"), "values": list{g.pick("0", "1", "5", "9")}}
}

func (g *generator) podAffinity(spec Object) {
	for _, kind := range []string{"podAffinity", "podAntiAffinity"} {
		if g.chance(3) {
			continue
		}
		affinity := Object{}
		if g.chance(3) {
			affinity["requiredDuringSchedulingIgnoredDuringExecution"] = g.podTerms(1 + g.IntN(2))
		}
		if g.chance(2) {
			var preferred list
			for _, term := range g.podTerms(1 + g.IntN(2)) {
				preferred = append(preferred, Object{"weight": 1 + g.IntN(100), "podAffinityTerm": term})
			}
			affinity["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
		}
		spec.child("affinity")[kind] = affinity
	}
}

func (g *generator) podTerms(n int) list {
	var terms list
	for range n {
		terms = append(terms, g.podTerm())
	}
	return terms
}

// podTerm reaches all four combinations of absent and empty selectors.
func (g *generator) podTerm() Object {
	term := Object{"topologyKey": g.pick(hostnameKey, zoneKey, zoneKey, "disk")}
	switch g.IntN(8) {
	case 0:
	case 1:
		term["labelSelector"] = Object{}
	default:
		term["labelSelector"] = g.labelSelector()
	}
	switch g.IntN(7) {
	case 0:
		term["namespaces"] = list{g.pick(namespaces...)}
	case 1:
		term["namespaceSelector"] = Object{}
	case 2:
		term["namespaceSelector"] = Object{"matchLabels": Object{"tier": g.pick("a", "b")}}
	case 3:
		term["namespaceSelector"] = Object{"matchExpressions": list{
			Object{"key": g.pick("tier", "nokey"), "operator": g.pick("In", "NotIn"), "values": list{"a"}}}}
	case 4:
		term["namespaces"] = list{"prod"}
		term["namespaceSelector"] = Object{"matchLabels": Object{"tier": "a"}}
	}
	return term
}

func (g *generator) labelSelector() Object {
	switch g.IntN(5) {
	case 0:
		return Object{"matchExpressions": list{Object{"key": "app", "operator": g.pick("In", "NotIn"), "values": list{"web", g.pick("db", "cache")}}}}
	case 1:
		return Object{"matchExpressions": list{Object{"key": "ver", "operator": g.pick("Exists", "DoesNotExist")}}}
	}
	return Object{"matchLabels": Object{"app": g.pick(apps...)}}
}

func (g *generator) spread(spec Object) {
	var constraints list
	for _, key := range []string{hostnameKey, zoneKey, "disk"} {
		if !g.chance(2) {
			continue
		}
		c := Object{"maxSkew": 1 + g.IntN(3), "topologyKey": key, "whenUnsatisfiable": g.pick("DoNotSchedule", "ScheduleAnyway")}
		switch g.IntN(10) {
		case 0:
		case 1:
			c["labelSelector"] = Object{}
		default:
			c["labelSelector"] = g.labelSelector()
		}
		if _, ok := c["labelSelector"]; ok && g.chance(3) {
			c["matchLabelKeys"] = list{g.pick("ver", "absent")}
		}
		if c["whenUnsatisfiable"] == "DoNotSchedule" && g.chance(3) {
			c["minDomains"] = 1 + g.IntN(4)
		}
		if g.chance(3) {
			c["nodeAffinityPolicy"] = g.pick("Honor", "Ignore")
		}
		if g.chance(3) {
			c["nodeTaintsPolicy"] = g.pick("Honor", "Ignore")
		}
		constraints = append(constraints, c)
	}
	if constraints != nil {
		spec["topologySpreadConstraints"] = constraints
	}
}
