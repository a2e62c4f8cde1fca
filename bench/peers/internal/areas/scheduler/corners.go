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
	} {
		out = append(out, clusterCase{[]byte(text)})
	}
	return out
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
