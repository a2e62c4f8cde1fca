package scheduler

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"k8s.io/kubernetes/pkg/scheduler/framework"

	v1 "k8s.io/api/core/v1"

	"github.com/orchcore/orchcore/bench/internal/workload"
	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/bench/peers/internal/upstream"
	"github.com/orchcore/orchcore/scheduler"
)

const (
	ratioNodes = 5000

	// peerTime is about how long upstream works per sample; it decides how many
	// pods both sides place.
	peerTime = 1500 * time.Millisecond

	// oursTime is how long our side works at least, over as many runs as that
	// takes: one run can be over too soon to measure.
	oursTime = 200 * time.Millisecond

	// checkedPods is how many placements are compared node by node.
	checkedPods = 40
)

// Ratios measures the scheduling of the named workloads, all nodes scored. Each
// sample starts from the same cluster and places the same pods on both sides.
func Ratios() measure.Area {
	area := measure.Area{Name: "scheduler"}
	for _, name := range workload.Names() {
		area.Rows = append(area.Rows, measure.Row{
			Name: fmt.Sprintf("%s/nodes=%d", name, ratioNodes),
			Unit: "pods/s",
			Open: func() (*measure.Pair, error) { return open(name, ratioNodes) },
		})
	}
	return area
}

// race is one workload on both sides. Upstream is timed with its default
// parallelism of 16, which is its fastest; then the order in which goroutines
// find nodes breaks its ties, so that the answers are compared with a second
// upstream scheduler that works alone.
type race struct {
	load     *workload.Named
	timed    *upstream.Scheduler
	single   *upstream.Scheduler
	cluster  *upstream.Cluster // nodes and placed pods; shared by both upstream schedulers
	pods     int               // placed per sample; 0 before the first
	placed   []string          // by ours, in the last run
	expected []string          // by upstream alone
	nodes    []*scheduler.Node
	running  []*scheduler.Pod
	pending  []*scheduler.PodInfo
}

func open(name string, nodes int) (*measure.Pair, error) {
	load, err := workload.New(name, nodes)
	if err != nil {
		return nil, err
	}
	r := &race{load: load}
	if err := r.decode(); err != nil {
		return nil, err
	}
	if r.timed, err = upstream.New(upstream.Config{Percent: 100, Parallelism: 16}); err != nil {
		return nil, err
	}
	if r.single, err = upstream.New(upstream.Config{Percent: 100, Parallelism: 1}); err != nil {
		return nil, err
	}
	if r.pods, err = r.calibrate(); err != nil {
		return nil, err
	}
	return &measure.Pair{Ours: r.ours, Peer: r.peer, Check: r.check, Close: r.close}, nil
}

func (r *race) close() {
	r.timed.Close()
	r.single.Close()
}

// decode gives each side the same bytes.
func (r *race) decode() error {
	r.cluster = &upstream.Cluster{}
	for i := range r.load.Nodes {
		if err := decodeBoth(r.load.Node(i), &r.cluster.Nodes, &r.nodes); err != nil {
			return err
		}
	}
	for i := range r.load.Placed {
		if err := decodeBoth(r.load.PlacedPod(i), &r.cluster.Pods, &r.running); err != nil {
			return err
		}
	}
	return nil
}

func decodeBoth[U, O any](o workload.Object, theirs *[]*U, ours *[]*O) error {
	data := o.JSON()
	u, v := new(U), new(O)
	if err := json.Unmarshal(data, u); err != nil {
		return fmt.Errorf("upstream decodes %s: %w", data, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("we decode %s: %w", data, err)
	}
	*theirs, *ours = append(*theirs, u), append(*ours, v)
	return nil
}

// upstreamPending decodes pending pods afresh: preemption writes into them.
func (r *race) upstreamPending(n int) ([]*framework.QueuedPodInfo, error) {
	var pods []*v1.Pod
	for i := range n {
		p := &v1.Pod{}
		if err := json.Unmarshal(r.load.PendingPod(i).JSON(), p); err != nil {
			return nil, err
		}
		pods = append(pods, p)
	}
	return upstream.Prepare(pods)
}

// calibrate finds how many pods upstream places in about peerTime.
func (r *race) calibrate() (int, error) {
	probe := min(50, r.load.Pending)
	started := time.Now()
	if _, err := r.runUpstream(r.timed, probe, func() { started = time.Now() }); err != nil {
		return 0, err
	}
	each := time.Since(started) / time.Duration(probe)
	n := min(max(int(peerTime/each), checkedPods), r.load.Pending)
	for i := range n {
		p := &scheduler.Pod{}
		if err := json.Unmarshal(r.load.PendingPod(i).JSON(), p); err != nil {
			return 0, err
		}
		info, err := scheduler.CompilePod(p)
		if err != nil {
			return 0, err
		}
		r.pending = append(r.pending, info)
	}
	return n, nil
}

// runUpstream places the first n pods on the fresh cluster; ready is called
// when the setting up is done.
func (r *race) runUpstream(s *upstream.Scheduler, n int, ready func()) ([]string, error) {
	if _, err := s.Load(r.cluster); err != nil {
		return nil, err
	}
	pods, err := r.upstreamPending(n)
	if err != nil {
		return nil, err
	}
	ready()
	return s.Run(pods, r.load.Preempts)
}

func (r *race) peer() (measure.Sample, error) {
	var m measure.Meter
	nodes, err := r.runUpstream(r.timed, r.pods, m.Start)
	m.Stop(len(nodes))
	if err != nil {
		return measure.Sample{}, err
	}
	return m.Sample(measure.Rate)
}

func (r *race) ours() (measure.Sample, error) {
	var m measure.Meter
	for m.Elapsed() < oursTime {
		s, cache, err := r.build()
		if err != nil {
			return measure.Sample{}, err
		}
		r.placed = make([]string, 0, r.pods)
		m.Start()
		err = r.place(s, cache)
		m.Stop(r.pods)
		if err != nil {
			return measure.Sample{}, err
		}
	}
	return m.Sample(measure.Rate)
}

// build makes our scheduler with the fresh cluster.
func (r *race) build() (*scheduler.Scheduler, *scheduler.Cache, error) {
	cache := scheduler.NewCache(scheduler.CacheConfig{})
	for _, n := range r.nodes {
		if err := cache.AddNode(n); err != nil {
			return nil, nil, err
		}
	}
	for _, p := range r.running {
		if err := cache.AddPod(p); err != nil {
			return nil, nil, err
		}
	}
	s, err := scheduler.New(scheduler.Config{Cache: cache})
	return s, cache, err
}

// place schedules the pending pods and assumes them.
func (r *race) place(s *scheduler.Scheduler, cache *scheduler.Cache) error {
	for _, p := range r.pending {
		placement, err := s.SchedulePod(p)
		if err != nil {
			return fmt.Errorf("pod %s: %w", p.Name(), err)
		}
		if err := cache.Assume(p.Pod, placement.Node); err != nil {
			return err
		}
		r.placed = append(r.placed, placement.Node)
	}
	return nil
}

// check holds our placements against those of upstream working alone.
func (r *race) check() error {
	if r.expected == nil {
		nodes, err := r.runUpstream(r.single, min(checkedPods, r.pods), func() {})
		if err != nil {
			return err
		}
		r.expected = nodes
	}
	if len(r.placed) != r.pods {
		return fmt.Errorf("%d pods placed, want %d", len(r.placed), r.pods)
	}
	if got := r.placed[:len(r.expected)]; !slices.Equal(got, r.expected) {
		for i := range got {
			if got[i] != r.expected[i] {
				return fmt.Errorf("pod %d: ours on %s, upstream on %s", i, got[i], r.expected[i])
			}
		}
	}
	return nil
}
