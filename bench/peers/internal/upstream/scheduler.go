// Package upstream runs the real kube-scheduler v1.36.3 in process: its cache,
// snapshot, plugins, scheduling cycle and preemption, with the default profile,
// on objects given as JSON and without an API server.
//
// One Scheduler serves any number of clusters in turn, since building one starts
// informers and costs far more than filling and emptying its cache. Load puts a
// cluster in, Decide and Place work on it, and the next Load takes it
// out again. Services, controllers, namespaces and disruption budgets go
// straight into the informers' stores, where the plugins look them up; nothing
// waits for an event.
package upstream

import (
	"context"
	"fmt"
	"reflect"
	"unsafe"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	configv1 "k8s.io/kube-scheduler/config/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	schedulerapi "k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
)

// profileName is the one profile that a Scheduler has.
const profileName = "default-scheduler"

// Config chooses among upstream's own settings.
type Config struct {
	Percent     int32 // percentageOfNodesToScore; 0 is upstream's adaptive default
	Parallelism int32 // goroutines per cycle; 1 makes truncated scans and ties deterministic
}

// Scheduler is upstream's scheduler with the cluster it was last given.
type Scheduler struct {
	ctx        context.Context
	cancel     context.CancelFunc
	log        klog.Logger
	factory    informers.SharedInformerFactory
	sched      *scheduler.Scheduler
	profile    framework.Framework
	snapshot   *internalcache.Snapshot
	start      *int // where the next scan of the nodes begins
	preemption *defaultpreemption.DefaultPreemption
	state      fwk.CycleState // of the last cycle

	nodes   map[string]*v1.Node
	pods    map[string]*v1.Pod // in the cache, by namespace/name
	indexed []indexedObject
	queued  []*v1.Pod

	reserved map[string]fwk.CycleState // the cycles that placed pods, for undoing what they reserved
}

type indexedObject struct {
	indexer cache.Indexer
	object  runtime.Object
}

// New builds a Scheduler with an empty cluster.
func New(config Config) (*Scheduler, error) {
	silence()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Scheduler{ctx: ctx, cancel: cancel, log: klog.FromContext(ctx), nodes: map[string]*v1.Node{}, pods: map[string]*v1.Pod{}, reserved: map[string]fwk.CycleState{}}
	if err := s.build(config); err != nil {
		cancel()
		return nil, fmt.Errorf("build the upstream scheduler: %w", err)
	}
	return s, nil
}

// silence keeps klog from writing what upstream logs about made-up clusters.
func silence() { klog.SetLogger(klog.Logger{}) }

func (s *Scheduler) build(config Config) error {
	client := fake.NewClientset()
	s.factory = informers.NewSharedInformerFactory(client, 0)
	cfg, err := defaultConfig()
	if err != nil {
		return err
	}
	recorder := func(string) events.EventRecorderLogger { return &events.FakeRecorder{} }
	s.sched, err = scheduler.New(s.ctx, client, s.factory, nil, recorder,
		scheduler.WithProfiles(cfg.Profiles...),
		scheduler.WithPercentageOfNodesToScore(&config.Percent),
		scheduler.WithParallelism(config.Parallelism))
	if err != nil {
		return err
	}
	s.factory.Start(s.ctx.Done())
	s.factory.WaitForCacheSync(s.ctx.Done())
	s.profile = s.sched.Profiles[profileName]
	s.snapshot = *unexported[*internalcache.Snapshot](s.sched, "nodeInfoSnapshot")
	s.start = unexported[int](s.sched, "nextStartNodeIndex")
	s.preemption, err = defaultpreemption.New(s.ctx, preemptionArgs(cfg), s.profile,
		feature.NewSchedulerFeaturesFromGates(utilfeature.DefaultFeatureGate))
	return err
}

func defaultConfig() (*schedulerapi.KubeSchedulerConfiguration, error) {
	var versioned configv1.KubeSchedulerConfiguration
	scheme.Scheme.Default(&versioned)
	cfg := &schedulerapi.KubeSchedulerConfiguration{}
	return cfg, scheme.Scheme.Convert(&versioned, cfg, nil)
}

func preemptionArgs(cfg *schedulerapi.KubeSchedulerConfiguration) *schedulerapi.DefaultPreemptionArgs {
	for _, p := range cfg.Profiles[0].PluginConfig {
		if args, ok := p.Args.(*schedulerapi.DefaultPreemptionArgs); ok {
			return args
		}
	}
	return nil
}

// unexported reaches a field that upstream keeps to itself but a driver needs.
func unexported[T any](s *scheduler.Scheduler, field string) *T {
	f := reflect.ValueOf(s).Elem().FieldByName(field)
	return (*T)(unsafe.Pointer(f.UnsafeAddr()))
}

// Close ends the informers.
func (s *Scheduler) Close() { s.cancel() }

// Load empties the scheduler and fills it with a cluster. Pods with a node are
// placed; the others are returned, in their order.
func (s *Scheduler) Load(c *Cluster) (pending []*v1.Pod, err error) {
	if err := s.empty(); err != nil {
		return nil, err
	}
	for _, o := range c.lookups() {
		s.index(s.indexerFor(o), o)
	}
	for _, n := range c.Nodes {
		s.sched.Cache.AddNode(s.log, n)
		s.nodes[n.Name] = n
	}
	for _, p := range c.Pods {
		complete(p)
		s.index(s.podIndexer(), p)
		if p.Spec.NodeName == "" {
			pending = append(pending, p)
		} else if err := s.addPod(p); err != nil {
			return nil, err
		}
	}
	for _, p := range pending {
		s.nominate(p)
	}
	return pending, nil
}

// complete fills in what an API server would have.
func complete(p *v1.Pod) {
	if p.Namespace == "" {
		p.Namespace = v1.NamespaceDefault
	}
	if p.UID == "" {
		p.UID = types.UID("uid-of-" + podName(p))
	}
	if p.Spec.SchedulerName == "" {
		p.Spec.SchedulerName = profileName
	}
}

func (s *Scheduler) empty() error {
	for _, p := range s.queued {
		s.sched.SchedulingQueue.Delete(p)
	}
	for _, p := range s.pods {
		if err := s.dropPod(p); err != nil {
			return fmt.Errorf("empty the cache: %w", err)
		}
	}
	for _, n := range s.nodes {
		if err := s.sched.Cache.RemoveNode(s.log, n); err != nil {
			return fmt.Errorf("empty the cache: %w", err)
		}
	}
	for _, o := range s.indexed {
		if err := o.indexer.Delete(o.object); err != nil {
			return fmt.Errorf("empty a store: %w", err)
		}
	}
	clear(s.nodes)
	s.queued, s.indexed = nil, nil
	*s.start = 0
	return s.sched.Cache.UpdateSnapshot(s.log, s.snapshot)
}

// index makes an object visible to listers, without any event handler.
func (s *Scheduler) index(indexer cache.Indexer, o runtime.Object) {
	if err := indexer.Add(o); err != nil {
		panic(fmt.Sprintf("upstream: index %T: %v", o, err)) // the key function fails for objects without metadata only
	}
	s.indexed = append(s.indexed, indexedObject{indexer, o})
}

func (s *Scheduler) podIndexer() cache.Indexer {
	return s.factory.Core().V1().Pods().Informer().GetIndexer()
}

// nominate puts a pending pod that has a nominated node where the plugins see
// it: into the queue.
func (s *Scheduler) nominate(p *v1.Pod) {
	if p.Status.NominatedNodeName != "" {
		s.sched.SchedulingQueue.Add(s.ctx, p)
		s.queued = append(s.queued, p)
	}
}

func (s *Scheduler) addPod(p *v1.Pod) error {
	if err := s.sched.Cache.AddPod(s.log, p); err != nil {
		return err
	}
	s.pods[podName(p)] = p
	return nil
}

// Place assumes the pod that was decided last on the node and reserves volumes
// for it, as the end of a scheduling cycle does.
func (s *Scheduler) Place(pod *v1.Pod, node string) error {
	assumed := pod.DeepCopy()
	assumed.Spec.NodeName = node
	if err := s.sched.Cache.AssumePod(s.log, assumed); err != nil {
		return err
	}
	name := podName(pod)
	s.pods[name] = assumed
	s.sched.SchedulingQueue.DeleteNominatedPodIfExists(assumed)
	s.index(s.podIndexer(), assumed)
	if st := s.profile.RunReservePluginsReserve(s.ctx, s.state, assumed, node); !st.IsSuccess() {
		return fmt.Errorf("reserve: %w", st.AsError())
	}
	s.reserved[name] = s.state
	return nil
}

// Remove takes a placed pod, given as namespace/name, out of the cluster, as
// its deletion does.
func (s *Scheduler) Remove(name string) error {
	pod := s.pods[name]
	if pod == nil {
		return fmt.Errorf("remove %s: not in the cluster", name)
	}
	if err := s.dropPod(pod); err != nil {
		return err
	}
	return s.podIndexer().Delete(pod)
}

func (s *Scheduler) dropPod(p *v1.Pod) error {
	name := podName(p)
	assumed, err := s.sched.Cache.IsAssumedPod(p)
	if err != nil {
		return err
	}
	if assumed {
		if state := s.reserved[name]; state != nil {
			s.profile.RunReservePluginsUnreserve(s.ctx, state, p, p.Spec.NodeName)
		}
		err = s.sched.Cache.ForgetPod(s.log, p)
	} else {
		err = s.sched.Cache.RemovePod(s.log, p)
	}
	delete(s.pods, name)
	delete(s.reserved, name)
	return err
}

func podName(p *v1.Pod) string { return p.Namespace + "/" + p.Name }
