package qos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"
	_ "unsafe" // for linkname

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	policyclient "k8s.io/client-go/kubernetes/typed/policy/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/apis/core"
	corev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/pkg/apis/policy"
	"k8s.io/kubernetes/pkg/controller/disruption"
	podstorage "k8s.io/kubernetes/pkg/registry/core/pod/storage"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
)

//go:linkname trySync k8s.io/kubernetes/pkg/controller/disruption.(*DisruptionController).trySync
func trySync(dc *disruption.DisruptionController, ctx context.Context, pdb *policyv1.PodDisruptionBudget) error

//go:linkname newEvictionStorage k8s.io/kubernetes/pkg/registry/core/pod/storage.newEvictionStorage
func newEvictionStorage(store rest.StandardStorage, client policyclient.PodDisruptionBudgetsGetter) *podstorage.EvictionREST

// budgetCase is a budget, the pods that it covers, and how many pods the
// replica sets want. The first pod is the one to evict.
type budgetCase struct {
	Budget json.RawMessage   `json:"budget"`
	Second bool              `json:"second,omitempty"` // another budget covers the pods too
	Pods   []json.RawMessage `json:"pods"`
	Scales map[string]int32  `json:"scales"`
}

const differsPercent = "percentages of budgets saturate"

func budgetSuite() compare.Suite {
	return &compare.Cases[budgetCase]{
		Parts:    []string{"budget/sync", "budget/evict"},
		Generate: randomBudget,
		Compare:  compareBudget,
		Shrink: func(c budgetCase) iter.Seq[budgetCase] {
			return func(yield func(budgetCase) bool) {
				for i := range c.Pods {
					smaller := c
					smaller.Pods = slices.Delete(slices.Clone(c.Pods), i, i+1)
					if !yield(smaller) {
						return
					}
				}
				for p := range shrinkPod(podCase{c.Budget}) {
					smaller := c
					smaller.Budget = p.Pod
					if !yield(smaller) {
						return
					}
				}
			}
		},
		Documented: []compare.Difference[budgetCase]{{Differs: differsPercent, Applies: func(c budgetCase, d compare.Disagreement) bool {
			return d.Part == "budget/sync" && strings.Contains(string(c.Budget), "99999999999%")
		}}},
	}
}

func randomBudget(r *rand.Rand) budgetCase {
	spec := tree{"selector": tree{}}
	number := func() any {
		return pick[any](r, 0, 1, 2, 3, 5, -1, "0%", "10%", "33%", "50%", "100%", "120%", "-20%", "x%", "3", "99999999999%")
	}
	switch r.IntN(5) {
	case 0, 1:
		spec["minAvailable"] = number()
	case 2, 3:
		spec["maxUnavailable"] = number()
	}
	if r.IntN(2) == 0 {
		spec["unhealthyPodEvictionPolicy"] = pick(r, "AlwaysAllow", "IfHealthyBudget")
	}
	status := tree{"observedGeneration": pick(r, 1, 2, 2, 2), "disruptionsAllowed": pick(r, 0, 0, 1, 2, -1), "currentHealthy": r.IntN(5), "desiredHealthy": r.IntN(4)}
	if r.IntN(3) == 0 {
		status["conditions"] = []any{tree{"type": pick(r, "DisruptionAllowed", "Other"), "status": pick(r, "True", "False"), "reason": pick(r, "SyncFailed", "InsufficientPods"), "message": pick(r, "", "why"), "lastTransitionTime": nil}}
	}
	disrupted := tree{}
	for i := range r.IntN(4) {
		disrupted[fmt.Sprint("p", i)] = created.Add(time.Duration(pick(r, 0, -60, -119, -120, -121, -300, 60)) * time.Second).Format(time.RFC3339)
	}
	status["disruptedPods"] = disrupted
	c := budgetCase{Scales: map[string]int32{}, Second: r.IntN(15) == 0,
		Budget: raw(tree{"metadata": tree{"name": "b", "namespace": "a", "generation": 2}, "spec": spec, "status": status})}
	for i := range 1 + r.IntN(6) {
		pod := tree{"metadata": tree{"name": fmt.Sprint("p", i), "namespace": "a", "uid": fmt.Sprint("u", i)}, "spec": tree{"containers": []any{tree{"name": "c"}}}}
		status := tree{"phase": pick(r, "Running", "Running", "Running", "Pending", "Succeeded", "Failed")}
		if r.IntN(5) != 0 {
			status["conditions"] = []any{tree{"type": "Ready", "status": pick(r, "True", "True", "True", "False")}}
		}
		pod["status"] = status
		if r.IntN(10) == 0 {
			pod["metadata"].(tree)["deletionTimestamp"] = created.Format(time.RFC3339)
		}
		if r.IntN(5) != 0 {
			name := pick(r, "rs1", "rs2")
			pod["metadata"].(tree)["ownerReferences"] = []any{tree{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name, "controller": pick(r, true, true, true, false)}}
			if r.IntN(12) != 0 {
				c.Scales[name] = int32(r.IntN(8))
			}
		}
		c.Pods = append(c.Pods, raw(pod))
	}
	return c
}

func compareBudget(c budgetCase, rec *compare.Record) {
	n, err := nodeCase{Pods: c.Pods}.decode()
	var u policyv1.PodDisruptionBudget
	var o qos.Budget
	if err := errors.Join(err, json.Unmarshal(c.Budget, &u), json.Unmarshal(c.Budget, &o)); err != nil {
		rec.Text("budget/sync", "decodes", err.Error())
		return
	}
	rec.Text("budget/sync", c.upstreamSync(&u, n.upstreamPods), c.ourSync(&o, n.ourPods))
	if len(n.ourPods) > 0 {
		rec.Text("budget/evict", c.upstreamEvict(&u, n.upstreamPods[0]), c.ourEvict(&o, n.ourPods[0]))
	}
}

// upstreamSync gives the disruption controller caches without a server behind.
func (c budgetCase) upstreamSync(pdb *policyv1.PodDisruptionBudget, pods []*v1.Pod) string {
	f := informers.NewSharedInformerFactory(nil, 0)
	add := func(i cache.SharedIndexInformer, objects ...any) {
		for _, x := range objects {
			if err := i.GetIndexer().Add(x); err != nil {
				panic(err)
			}
		}
	}
	dc := disruption.NewDisruptionControllerInternal(silent, f.Core().V1().Pods(), f.Policy().V1().PodDisruptionBudgets(), f.Core().V1().ReplicationControllers(),
		f.Apps().V1().ReplicaSets(), f.Apps().V1().Deployments(), f.Apps().V1().StatefulSets(), nil, meta.NewDefaultRESTMapper(nil), nil, nil,
		testingclock.NewFakeClock(created), time.Minute)
	for _, p := range pods {
		add(f.Core().V1().Pods().Informer(), p)
	}
	for name, replicas := range c.Scales {
		add(f.Apps().V1().ReplicaSets().Informer(), &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "a", UID: types.UID(name)}, Spec: appsv1.ReplicaSetSpec{Replicas: &replicas}})
	}
	result := pdb.Status
	getUpdater := hidden(dc, "getUpdater")
	getUpdater.Set(reflect.MakeFunc(getUpdater.Type(), func([]reflect.Value) []reflect.Value {
		update := func(_ context.Context, changed *policyv1.PodDisruptionBudget) error {
			result = changed.Status
			return nil
		}
		return []reflect.Value{reflect.ValueOf(update).Convert(getUpdater.Type().Out(0))}
	}))
	if err := trySync(dc, silent, pdb); err != nil {
		return "fails"
	}
	return fmt.Sprint(result.ExpectedPods, result.DesiredHealthy, result.CurrentHealthy, result.DisruptionsAllowed, slices.Sorted(maps.Keys(result.DisruptedPods)))
}

func (c budgetCase) ourSync(b *qos.Budget, pods []*qos.Pod) string {
	status, err := b.Sync(pods, func(o qos.OwnerReference) (int32, bool) {
		n, ok := c.Scales[o.Name]
		return n, ok
	}, created)
	if err != nil {
		return "fails"
	}
	return fmt.Sprint(status.ExpectedPods, status.DesiredHealthy, status.CurrentHealthy, status.DisruptionsAllowed, slices.Sorted(maps.Keys(status.DisruptedPods)))
}

// podStore is the API server's storage with one pod in it.
type podStore struct {
	rest.StandardStorage
	pod     *core.Pod
	deleted bool
}

func (s *podStore) Get(context.Context, string, *metav1.GetOptions) (runtime.Object, error) {
	return s.pod, nil
}

func (s *podStore) Update(context.Context, string, rest.UpdatedObjectInfo, rest.ValidateObjectFunc, rest.ValidateObjectUpdateFunc, bool, *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return s.pod, false, nil
}

func (s *podStore) Delete(context.Context, string, rest.ValidateObjectFunc, *metav1.DeleteOptions) (runtime.Object, bool, error) {
	s.deleted = true
	return s.pod, true, nil
}

// upstreamEvict posts an eviction to the API server's handler.
func (c budgetCase) upstreamEvict(pdb *policyv1.PodDisruptionBudget, pod *v1.Pod) string {
	store := &podStore{pod: &core.Pod{}}
	if err := corev1.Convert_v1_Pod_To_core_Pod(pod.DeepCopy(), store.pod, nil); err != nil {
		return err.Error()
	}
	pdb = pdb.DeepCopy()
	objects := []runtime.Object{pdb}
	if c.Second {
		other := pdb.DeepCopy()
		other.Name = "c"
		objects = append(objects, other)
	}
	client := fake.NewSimpleClientset(objects...)
	handler := newEvictionStorage(store, client.PolicyV1())
	answer, err := handler.Create(silent, pod.Name, &policy.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}}, nil, &metav1.CreateOptions{})
	if status, ok := answer.(*metav1.Status); err == nil && ok && status.Status == metav1.StatusFailure {
		return fmt.Sprint(status.Code, " ", status.Message, " ")
	}
	var failed *apierrors.StatusError
	if errors.As(err, &failed) {
		cause := ""
		if d := failed.ErrStatus.Details; d != nil && len(d.Causes) > 0 {
			cause = d.Causes[0].Message
		}
		message := failed.ErrStatus.Message
		if _, after, found := strings.Cut(message, "is forbidden: "); found {
			message = after
		}
		return fmt.Sprint(failed.ErrStatus.Code, " ", message, " ", cause)
	}
	if err != nil || !store.deleted {
		return fmt.Sprint("not deleted: ", err)
	}
	after, err := client.PolicyV1().PodDisruptionBudgets("a").Get(silent, "b", metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint("deleted ", after.Status.DisruptionsAllowed, slices.Sorted(maps.Keys(after.Status.DisruptedPods)))
}

func (c budgetCase) ourEvict(b *qos.Budget, pod *qos.Pod) string {
	covering := []*qos.Budget{b}
	if c.Second {
		covering = append(covering, b)
	}
	charged, err := qos.Evict(pod, covering, created)
	var refused *qos.BudgetError
	if errors.As(err, &refused) {
		return fmt.Sprint(refused.Code, " ", refused.Text, " ", refused.Cause)
	}
	after := b
	if charged != nil {
		after = charged
	}
	return fmt.Sprint("deleted ", after.Status.DisruptionsAllowed, slices.Sorted(maps.Keys(after.Status.DisruptedPods)))
}
