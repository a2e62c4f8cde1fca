package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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

	// checkedPods is how many placements are compared node by node, and
	// checkedEvictions how many with the evictions that they took; for these
	// upstream has to try every node.
	checkedPods      = 100
	checkedEvictions = 3
)

// Ratios measures the scheduling of the named workloads, all nodes scored; two
// of them also with upstream's default of looking at a part of the nodes. Each
// sample starts from the same cluster and places the same pods on both sides.
func Ratios() measure.Area {
	area := measure.Area{Name: "scheduler"}
	add := func(row, name string, percent int) {
		area.Rows = append(area.Rows, measure.Row{Name: row, Unit: "pods/s", Open: func() (*measure.Pair, error) {
			return open(name, size{nodes: ratioNodes, percent: percent, atLeast: oursTime})
		}})
	}
	for _, name := range workload.Names() {
		add(fmt.Sprintf("%s/nodes=%d", name, ratioNodes), name, 100)
	}
	for _, name := range []string{"basic", "mixed"} {
		add(fmt.Sprintf("adaptive/nodes=%d/workload=%s", ratioNodes, name), name, 0)
	}
	return area
}

// size is how much of a workload is measured.
type size struct {
	nodes   int
	percent int           // of the nodes that are looked at; 0 is upstream's adaptive default
	atLeast time.Duration // that our side works per sample
}

// race is one workload on both sides. Upstream is timed with its default
// parallelism of 16, which is its fastest; then the order in which goroutines
// find nodes breaks its ties, so that the answers are compared with a second
// upstream scheduler that works alone.
type race struct {
	load     *workload.Named
	size     size
	timed    *upstream.Scheduler
	single   *upstream.Scheduler
	cluster  *upstream.Cluster // nodes and placed pods; shared by both upstream schedulers
	pods     int               // placed per sample; 0 before the first
	placed   []string          // by ours, in the last run
	evicted  []*scheduler.Nomination
	expected []string // by upstream alone
	agreed   bool     // the evictions were compared
	nodes    []*scheduler.Node
	running  []*scheduler.Pod
	pending  []*scheduler.PodInfo
}

func open(name string, size size) (*measure.Pair, error) {
	load, err := workload.New(name, size.nodes)
	if err != nil {
		return nil, err
	}
	r := &race{load: load, size: size}
	if err := r.open(); err != nil {
		r.close()
		return nil, err
	}
	return &measure.Pair{Ours: r.ours, Peer: r.peer, Check: r.check, Close: r.close}, nil
}

func (r *race) open() (err error) {
	if err := r.decode(); err != nil {
		return err
	}
	percent := int32(r.size.percent)
	if r.timed, err = upstream.New(upstream.Config{Percent: percent, Parallelism: 16}); err != nil {
		return err
	}
	if r.single, err = upstream.New(upstream.Config{Percent: percent, Parallelism: 1}); err != nil {
		return err
	}
	r.pods, err = r.calibrate()
	return err
}

func (r *race) close() {
	for _, s := range []*upstream.Scheduler{r.timed, r.single} {
		if s != nil {
			s.Close()
		}
	}
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
	for started := false; !started || m.Elapsed() < r.size.atLeast; started = true {
		s, cache, err := r.build()
		if err != nil {
			return measure.Sample{}, err
		}
		r.placed, r.evicted = make([]string, 0, r.pods), nil
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
	percent := r.size.percent
	if percent == 0 {
		percent = scheduler.Adaptive
	}
	s, err := scheduler.New(scheduler.Config{Cache: cache, PercentageOfNodesToScore: percent})
	return s, cache, err
}

// place schedules the pending pods and assumes them.
func (r *race) place(s *scheduler.Scheduler, cache *scheduler.Cache) error {
	var placement scheduler.Placement
	for _, p := range r.pending {
		pod := p.Pod
		err := s.SchedulePodInto(p, &placement)
		var unfit *scheduler.FitError
		if r.load.Preempts && errors.As(err, &unfit) && unfit.Nominated != nil {
			pod, placement, err = evict(s, cache, pod, unfit.Nominated)
			r.evicted = append(r.evicted, unfit.Nominated)
		}
		if err != nil {
			return fmt.Errorf("pod %s: %w", p.Name(), err)
		}
		if p.Pod == pod {
			err = cache.AssumePod(p, placement.Node)
		} else {
			err = cache.Assume(pod, placement.Node)
		}
		if err != nil {
			return err
		}
		r.placed = append(r.placed, placement.Node)
	}
	return nil
}

// evict removes the victims at once and runs the second cycle.
func evict(s *scheduler.Scheduler, cache *scheduler.Cache, pod *scheduler.Pod, n *scheduler.Nomination) (*scheduler.Pod, scheduler.Placement, error) {
	for _, v := range n.Victims {
		namespace, name, _ := strings.Cut(v, "/")
		if err := cache.RemovePod(namespace, name); err != nil {
			return nil, scheduler.Placement{}, err
		}
	}
	nominated := *pod
	nominated.Status.NominatedNodeName = n.Node
	if err := cache.Nominate(&nominated, n.Node); err != nil {
		return nil, scheduler.Placement{}, err
	}
	placement, err := s.Schedule(&nominated)
	return &nominated, placement, err
}

// check holds our placements against those of upstream working alone.
func (r *race) check() error {
	if len(r.placed) != r.pods {
		return fmt.Errorf("%d pods placed, want %d", len(r.placed), r.pods)
	}
	if r.load.Preempts {
		return r.checkEvictions()
	}
	if r.expected == nil {
		nodes, err := r.runUpstream(r.single, min(checkedPods, r.pods), func() {})
		if err != nil {
			return err
		}
		r.expected = nodes
	}
	for i, want := range r.expected {
		if r.placed[i] != want {
			return fmt.Errorf("pod %d: ours on %s, upstream on %s", i, r.placed[i], want)
		}
	}
	return nil
}

// checkEvictions lets upstream try every node for the first pods: ours must be
// one of its best, with the same victims. Upstream itself samples the nodes and
// draws among equals.
func (r *race) checkEvictions() error {
	if len(r.evicted) != r.pods {
		return fmt.Errorf("%d evictions for %d pods", len(r.evicted), r.pods)
	}
	if r.agreed {
		return nil
	}
	if _, err := r.single.Load(r.cluster); err != nil {
		return err
	}
	pods, err := r.upstreamPending(checkedEvictions)
	if err != nil {
		return err
	}
	for i, p := range pods {
		if err := r.checkEviction(p.Pod, r.evicted[i]); err != nil {
			return fmt.Errorf("pod %d: %w", i, err)
		}
	}
	r.agreed = true
	return nil
}

func (r *race) checkEviction(pod *v1.Pod, ours *scheduler.Nomination) error {
	d, err := r.single.Decide(pod)
	if err != nil {
		return err
	}
	if d.Preemption == nil || !slices.Contains(d.Preemption.Picked, ours.Node) {
		return fmt.Errorf("ours makes room on %s, which is not among upstream's best", ours.Node)
	}
	for _, c := range d.Preemption.Candidates {
		if c.Node == ours.Node && !slices.Equal(c.Victims, ours.Victims) {
			return fmt.Errorf("on %s ours evicts %v, upstream %v", c.Node, ours.Victims, c.Victims)
		}
	}
	for _, v := range ours.Victims {
		if err := r.single.Remove(v); err != nil {
			return err
		}
	}
	return r.single.Place(pod, ours.Node)
}
