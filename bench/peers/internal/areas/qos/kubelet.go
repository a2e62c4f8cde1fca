package qos

import (
	"context"
	"reflect"
	"unsafe"

	v1 "k8s.io/api/core/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
	evictionapi "k8s.io/kubernetes/pkg/kubelet/eviction/api"

	"k8s.io/kubernetes/pkg/kubelet/eviction"
)

// The kubelet keeps its ranking and its eviction pass to itself. Linking to
// them by name runs its own code, not a copy.

type (
	upstreamStats = func(*v1.Pod) (statsapi.PodStats, bool)
	upstreamRank  = func([]*v1.Pod, upstreamStats)
)

//go:linkname buildSignalToRankFunc k8s.io/kubernetes/pkg/kubelet/eviction.buildSignalToRankFunc
func buildSignalToRankFunc(withImageFs, splitImageFs bool) map[evictionapi.Signal]upstreamRank

//go:linkname synchronize k8s.io/kubernetes/pkg/kubelet/eviction.(*managerImpl).synchronize
func synchronize(m unsafe.Pointer, ctx context.Context, disks eviction.DiskInfoProvider, pods eviction.ActivePodsFunc) ([]*v1.Pod, error)

//go:linkname getMinTolerationTime k8s.io/kubernetes/pkg/controller/tainteviction.getMinTolerationTime
func getMinTolerationTime(tolerations []v1.Toleration) int64

// implementation returns the pointer inside an interface value.
func implementation(v any) unsafe.Pointer { return reflect.ValueOf(v).UnsafePointer() }

// hidden returns an unexported field of the struct that p points to.
func hidden(p any, field string) reflect.Value {
	f := reflect.ValueOf(p).Elem().FieldByName(field)
	return reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem()
}
