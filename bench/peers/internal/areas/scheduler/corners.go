package scheduler

// corners are hand-made clusters: what random ones reach seldom.
func corners() []clusterCase {
	var out []clusterCase
	for _, text := range []string{
		// An empty node selector term matches no node, also beside a good one.
		`{"nodes":[{"metadata":{"name":"a","labels":{"disk":"ssd"}},"status":{"allocatable":{"cpu":"1","pods":"5"}}}],
		"pods":[{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}],"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
		{"nodeSelectorTerms":[{}]}}}}}]}`,
		// Terms that name different nodes: no node is left before any is looked at.
		`{"nodes":[{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"1","pods":"5"}}},{"metadata":{"name":"b"},"status":{"allocatable":{"cpu":"1","pods":"5"}}}],
		"pods":[{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}],"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
		{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["a"]},{"key":"metadata.name","operator":"In","values":["b"]}]}]}}}}}]}`,
		// The named node does not exist.
		`{"nodes":[{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"1","pods":"5"}}}],
		"pods":[{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}],"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
		{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["gone"]}]}]}}}}}]}`,
		// An overcommitted node takes a pod that asks for nothing, and no other.
		`{"nodes":[{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"1","memory":"1Gi","pods":"5"}}}],
		"pods":[{"metadata":{"name":"r"},"spec":{"nodeName":"a","containers":[{"name":"c","resources":{"requests":{"cpu":"3"}}}]}},
		{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}]}},
		{"metadata":{"name":"q"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1m"}}}]}}]}`,
		// More than the node will ever have: preemption cannot help.
		`{"nodes":[{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"1","memory":"1Gi","pods":"0"}}}],
		"pods":[{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"2","memory":"2Gi","example.com/gpu":"1"}}}]}}]}`,
		// Twelve nodes with two reasons: "10 x" sorts before "2 y".
		`{"nodes":[` + nodes("abcdefghij", `"spec":{"unschedulable":true}`) + `,` + nodes("kl", `"spec":{"taints":[{"key":"k","effect":"NoExecute"}]}`) + `],
		"pods":[{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}]}}]}`,
		// The promise made to a more important pod counts, but not its
		// anti-affinity: the plugin skips this pod and so never hears of it.
		`{"namespaces":[{"metadata":{"name":"default"}}],"nodes":[` + host("a", "2") + `,` + host("b", "2") + `],
		"pods":[{"metadata":{"name":"small","labels":{"app":"x"}},"spec":{"containers":[` + asks("100m") + `]}},
		{"metadata":{"name":"large"},"spec":{"containers":[` + asks("1500m") + `]}},
		{"metadata":{"name":"promised"},"status":{"nominatedNodeName":"a"},"spec":{"priority":10,"containers":[` + asks("1") + `],
		"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"kubernetes.io/hostname",
		"labelSelector":{"matchLabels":{"app":"x"}}}]}}}}]}`,
		// Only the first of pods that want each other's company may come alone,
		// and only if it wants its own; a node without the label admits neither.
		`{"namespaces":[{"metadata":{"name":"default"}}],"nodes":[{"metadata":{"name":"bare"},"status":{"allocatable":{"cpu":"2","pods":"9"}}},` + host("a", "2") + `,` + host("b", "2") + `],
		"pods":[` + wants("stranger", "other", "self") + `,` + wants("first", "self", "self") + `,` + wants("second", "self", "self") + `]}`,
		// NotIn holds for namespaces without the label.
		`{"namespaces":[{"metadata":{"name":"default"}},{"metadata":{"name":"prod","labels":{"tier":"a"}}}],"nodes":[` + host("a", "2") + `,` + host("b", "2") + `],
		"pods":[{"metadata":{"name":"r","namespace":"prod","labels":{"app":"x"}},"spec":{"nodeName":"a","containers":[` + asks("1") + `]}},
		{"metadata":{"name":"q","namespace":"default","labels":{"app":"x"}},"spec":{"nodeName":"b","containers":[` + asks("1") + `]}},
		{"metadata":{"name":"p"},"spec":{"containers":[` + asks("1") + `],"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[
		{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"x"}},"namespaceSelector":{"matchExpressions":[{"key":"tier","operator":"NotIn","values":["a"]}]}}]}}}}]}`,
		// A budget without room is violated only where nothing else helps.
		`{"pdbs":[{"metadata":{"name":"b","namespace":"default"},"spec":{"selector":{"matchLabels":{"app":"x"}}},"status":{"disruptionsAllowed":0}}],
		"nodes":[` + host("a", "2") + `,` + host("b", "2") + `,` + host("c", "1") + `],
		"pods":[{"metadata":{"name":"kept","labels":{"app":"x"}},"status":{"startTime":"2024-01-01T00:00:00Z"},"spec":{"nodeName":"a","containers":[` + asks("1") + `]}},
		{"metadata":{"name":"lost"},"status":{"startTime":"2024-01-02T00:00:00Z"},"spec":{"nodeName":"a","containers":[` + asks("1") + `]}},
		{"metadata":{"name":"also"},"status":{"startTime":"2024-01-01T00:00:00Z"},"spec":{"nodeName":"b","containers":[` + asks("2") + `]}},
		{"metadata":{"name":"urgent"},"spec":{"priority":5,"containers":[` + asks("1500m") + `]}},
		{"metadata":{"name":"meek"},"spec":{"priority":9,"preemptionPolicy":"Never","containers":[` + asks("1500m") + `]}}]}`,
		// Fewer domains than minDomains: the emptiest counts as empty.
		`{"nodes":[` + host("a", "2") + `,` + host("b", "2") + `],"pods":[
		{"metadata":{"name":"r","labels":{"app":"x"}},"spec":{"nodeName":"a","containers":[` + asks("1") + `]}},
		{"metadata":{"name":"q","labels":{"app":"x"}},"spec":{"nodeName":"b","containers":[` + asks("1") + `]}},
		{"metadata":{"name":"p","labels":{"app":"x"}},"spec":{"containers":[` + asks("1") + `],"topologySpreadConstraints":[{"maxSkew":1,"minDomains":3,
		"topologyKey":"kubernetes.io/hostname","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"x"}}}]}}]}`,
	} {
		out = append(out, clusterCase{[]byte(text)})
	}
	return out
}

// host writes a node with its hostname label.
func host(name, cpu string) string {
	return `{"metadata":{"name":"` + name + `","labels":{"kubernetes.io/hostname":"` + name + `"}},"status":{"allocatable":{"cpu":"` + cpu + `","memory":"8Gi","pods":"9"}}}`
}

// asks writes a container that requests cpu.
func asks(cpu string) string {
	return `{"name":"c","resources":{"requests":{"cpu":"` + cpu + `"}}}`
}

// wants writes a pod labelled app=own that requires pods
// labelled app=other on its host.
func wants(name, own, other string) string {
	return `{"metadata":{"name":"` + name + `","labels":{"app":"` + own + `"}},"spec":{"containers":[` + asks("100m") + `],
	"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"` + other + `"}}}]}}}}`
}

// nodes writes a node per letter with the given member.
func nodes(names, member string) string {
	text := ""
	for _, n := range names {
		if text != "" {
			text += ","
		}
		text += `{"metadata":{"name":"` + string(n) + `"},` + member + `,"status":{"allocatable":{"cpu":"1","pods":"5"}}}`
	}
	return text
}
