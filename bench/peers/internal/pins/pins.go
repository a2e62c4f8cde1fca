// Package pins names the upstream packages that areas compare with, whether or
// not an area of this module imports them yet. It has no code. It keeps `go mod
// tidy` from dropping a requirement, and `go vet ./...` from missing that
// Kubernetes and etcd no longer build side by side after an upgrade.
package pins

import (
	_ "go.etcd.io/etcd/api/v3/etcdserverpb"
	_ "go.etcd.io/etcd/client/v3"
	_ "go.etcd.io/etcd/server/v3/embed"
	_ "k8s.io/apimachinery/pkg/api/resource"
	_ "k8s.io/apimachinery/pkg/labels"
	_ "k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	_ "k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
	_ "k8s.io/kubernetes/pkg/kubelet/eviction"
	_ "k8s.io/kubernetes/pkg/kubelet/qos"
	_ "k8s.io/kubernetes/pkg/proxy/iptables"
	_ "k8s.io/kubernetes/pkg/proxy/nftables"
	_ "k8s.io/kubernetes/pkg/scheduler"
)
