package scheduler

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDaemonWanted(t *testing.T) {
	tests := []struct {
		name           string
		template, node string
		run, stay      bool
	}{
		{"any node", `{}`, `{}`, true, true},
		{"cordoned, under pressure, not ready", `{}`,
			`{"spec":{"unschedulable":true,"taints":[{"key":"node.kubernetes.io/unschedulable","effect":"NoSchedule"},
			{"key":"node.kubernetes.io/disk-pressure","effect":"NoSchedule"},{"key":"node.kubernetes.io/not-ready","effect":"NoExecute"}]}}`, true, true},
		{"no network", `{}`, `{"spec":{"taints":[{"key":"node.kubernetes.io/network-unavailable","effect":"NoSchedule"}]}}`, false, true},
		{"no network needed", `{"spec":{"hostNetwork":true}}`,
			`{"spec":{"taints":[{"key":"node.kubernetes.io/network-unavailable","effect":"NoSchedule"}]}}`, true, true},
		{"old daemons stay", `{}`, `{"spec":{"taints":[{"key":"dedicated","effect":"NoSchedule"}]}}`, false, true},
		{"old daemons go", `{}`, `{"spec":{"taints":[{"key":"dedicated","effect":"NoSchedule"},{"key":"broken","effect":"NoExecute"}]}}`, false, false},
		{"preference", `{}`, `{"spec":{"taints":[{"key":"spot","effect":"PreferNoSchedule"}]}}`, true, true},
		{"other label", `{"spec":{"nodeSelector":{"os":"linux"}}}`, `{"metadata":{"labels":{"os":"windows"}}}`, false, false},
		{"label", `{"spec":{"nodeSelector":{"os":"linux"}}}`, `{"metadata":{"labels":{"os":"linux"}}}`, true, true},
		{"other node", `{"spec":{"nodeName":"b"}}`, `{}`, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			node := decodeAs[Node](t, test.node)
			node.Name = "a"
			run, stay := DaemonWanted(decodeAs[Pod](t, test.template), node)
			require.Equal(t, [2]bool{test.run, test.stay}, [2]bool{run, stay})
		})
	}
}

func TestDaemonPod(t *testing.T) {
	template := decodeAs[Pod](t, `{"metadata":{"name":"agent"},"spec":{"containers":[{"name":"c"}],
		"tolerations":[{"key":"mine","operator":"Exists"},{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":30}],
		"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"os","operator":"Exists"}]}]}}}}}`)
	c := NewCache(CacheConfig{})
	for _, n := range []string{`{"metadata":{"name":"a"}, "status":{"allocatable":{"pods":"1"}}}`,
		`{"metadata":{"name":"b"},"spec":{"taints":[{"key":"node.kubernetes.io/not-ready","effect":"NoExecute"}]},"status":{"allocatable":{"pods":"1"}}}`} {
		require.NoError(t, c.AddNode(decodeAs[Node](t, n)))
	}
	p := DaemonPod(template, "b")
	placement, err := newScheduler(t, c).Schedule(p)
	require.NoError(t, err)
	require.Equal(t, "b", placement.Node)
	require.Len(t, p.Spec.Tolerations, 7)
	require.Nil(t, p.Spec.Tolerations[1].TolerationSeconds)
	require.Len(t, template.Spec.Tolerations, 2, "the template is as it was")
	require.NotNil(t, template.Spec.Tolerations[1].TolerationSeconds)
	require.Len(t, template.Spec.Affinity.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions, 1)
}

func TestCheckSkew(t *testing.T) {
	for _, ok := range [][2]string{{"v1.36.3", "v1.36.0"}, {"v1.33.9", "v1.36.0"}, {"1.35", "v1.36.1-gke.2"}, {"v1.36.0-beta.1", "1.36"}} {
		require.NoError(t, CheckSkew(ok[0], ok[1]))
	}
	for _, bad := range [][3]string{
		{"v1.37.0", "v1.36.9", "kubelet v1.37.0 with API server v1.36.9: the kubelet is newer"},
		{"v1.32.0", "v1.36.0", "kubelet v1.32.0 with API server v1.36.0: the kubelet is 4 minor versions older, 3 are allowed"},
		{"v2.36.0", "v1.36.0", "kubelet v2.36.0 with API server v1.36.0: the major versions differ"},
		{"", "v1.36.0", "kubelet  with API server v1.36.0: the kubelet's version is not vMAJOR.MINOR…"},
		{"v1.x", "v1.36.0", "kubelet v1.x with API server v1.36.0: the kubelet's version is not vMAJOR.MINOR…"},
		{"v1.36.0", "unknown", "kubelet v1.36.0 with API server unknown: the API server's version is not vMAJOR.MINOR…"},
	} {
		require.EqualError(t, CheckSkew(bad[0], bad[1]), bad[2])
	}
}

func TestCheckComponentSkew(t *testing.T) {
	for _, test := range []struct{ component, version, want string }{
		{"kubelet", "v1.33.0", ""},
		{"kube-proxy", "v1.33.0", ""},
		{"kube-proxy", "v1.37.0", "kube-proxy v1.37.0 with API server v1.36.3: the kube-proxy is newer"},
		{"kube-scheduler", "v1.35.9", ""},
		{"kube-scheduler", "v1.37.0", "kube-scheduler v1.37.0 with API server v1.36.3: the kube-scheduler is newer"},
		{"kube-controller-manager", "v1.34.0", "kube-controller-manager v1.34.0 with API server v1.36.3: the kube-controller-manager is 2 minor versions older, 1 are allowed"},
		{"kube-apiserver", "v1.37.1", ""},
		{"kubectl", "v1.38.0", "kubectl v1.38.0 with API server v1.36.3: the kubectl is 2 minor versions newer, 1 are allowed"},
		{"etcd", "v3.7.3", "etcd v3.7.3 with API server v1.36.3: the policy knows no such component"},
	} {
		err := CheckComponentSkew(test.component, test.version, "v1.36.3")
		if test.want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, test.want)
	}
}
