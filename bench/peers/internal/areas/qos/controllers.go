package qos

import (
	"context"
	"fmt"
	"reflect"
	_ "unsafe" // for linkname

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/kubernetes/pkg/controller/nodelifecycle"
	nodescheduler "k8s.io/kubernetes/pkg/controller/nodelifecycle/scheduler"
)

// What the node lifecycle controller keeps to itself, linked by name.

//go:linkname handleDisruption k8s.io/kubernetes/pkg/controller/nodelifecycle.(*Controller).handleDisruption
func handleDisruption(nc *nodelifecycle.Controller, ctx context.Context, zones map[string][]*v1.NodeCondition, nodes []*v1.Node)

type metav1Time = metav1.Time

var metav1Now = metav1.Now

func reflectValue(v any) reflect.Value { return reflect.ValueOf(v) }

func newLimiter(qps float32) flowcontrol.RateLimiter {
	return flowcontrol.NewTokenBucketRateLimiter(qps, nodescheduler.EvictionRateLimiterBurst)
}

// limiterQPS is 0 for the limiter that never lets anything pass, whose QPS says 1.
func limiterQPS(q *nodescheduler.RateLimitedTimedQueue) float32 {
	l := hidden(q, "limiter").Interface().(flowcontrol.RateLimiter)
	if fmt.Sprintf("%T", l) == fmt.Sprintf("%T", flowcontrol.NewFakeNeverRateLimiter()) {
		return 0
	}
	return l.QPS()
}
