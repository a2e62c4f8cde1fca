package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/orchcore/orchcore/bench/internal/workload"
	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/bench/peers/internal/upstream"
	"github.com/orchcore/orchcore/scheduler"
)

const (
	partQueue = "queue"
	partHints = "hints"
)

// queues compares upstream's scheduling queue with ours: the same operations
// and events at the same times, and after each of them every pod must be at the
// same place with the same history. The hints of all plugins are compared on
// their own too: one event, one rejecting plugin.
func queues(b *bench) compare.Suite {
	return &compare.Cases[clusterCase]{
		Parts:    []string{partQueue, partHints},
		Generate: func(r *rand.Rand) clusterCase { return generateQueue(r) },
		Compare:  b.compareQueue,
		Shrink:   shrink,
	}
}

// queueOp is one operation. Pods and objects are chosen by number, modulo how
// many there are.
type queueOp struct {
	Op      string   `json:"op"`
	Pod     int      `json:"pod"`  // which pod of the queue
	Form    int      `json:"form"` // which of the case's pods it looks like
	Old     int      `json:"old"`  // of an event: the object before, -1 for none
	New     int      `json:"new"`
	Ms      int      `json:"ms"`
	Plugins []string `json:"plugins"`
	Pending []string `json:"pending"`
}

// queuedPods is how many pods the queue's operations are about.
const queuedPods = 8

func generateQueue(r *rand.Rand) clusterCase {
	config := workload.ClusterConfig{Nodes: 2 + r.IntN(4), Placed: 4, Pending: 10, Features: features(r)}
	if r.IntN(4) == 0 {
		config.Features |= workload.Volumes
	}
	var root map[string]any
	if err := json.Unmarshal(workload.NewCluster(r, config).JSON(), &root); err != nil {
		panic(fmt.Sprintf("compare: %v", err))
	}
	var ops []queueOp
	for range 30 + r.IntN(60) {
		ops = append(ops, randomOp(r))
	}
	root["ops"] = ops
	data, err := json.Marshal(root)
	if err != nil {
		panic(fmt.Sprintf("compare: %v", err))
	}
	return clusterCase{data}
}

func randomOp(r *rand.Rand) queueOp {
	verbs := []string{
		"put", "put", "put", "put", "pop", "pop", "pop", "pop", "fail", "fail", "fail", "fail", "done", "bind", "delete", "renew",
		"activate", "wait", "wait", "node", "node", "node", "pod", "pod", "pod", "claim", "volume", "class", "csinode",
	}
	op := queueOp{Op: verbs[r.IntN(len(verbs))], Pod: r.IntN(queuedPods), Form: r.IntN(100), Old: r.IntN(100), New: r.IntN(100)}
	if r.IntN(3) == 0 {
		if op.Old = -1; r.IntN(2) == 0 {
			op.Old, op.New = op.New, -1
		}
	}
	if op.Op == "wait" {
		op.Ms = []int{100, 400, 1000, 3000, 12000, 400000}[min(r.IntN(6), r.IntN(6))]
	}
	if op.Op == "fail" {
		for range r.IntN(3) {
			op.Plugins = append(op.Plugins, rejecting[r.IntN(len(rejecting))])
		}
		if r.IntN(8) == 0 {
			op.Pending = append(op.Pending, rejecting[r.IntN(len(rejecting))])
		}
	}
	return op
}

// rejecting are the plugins that a pod is said to be rejected by.
var rejecting = []string{
	"NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit",
	"VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone", "PodTopologySpread", "InterPodAffinity",
	"NodeDeclaredFeatures",
}

// queueStart is the beginning of a case; it is not on a whole second.
var queueStart = time.Unix(1_750_000_000, 123_456_789)

// queueRun is one case on both sides.
type queueRun struct {
	b    *bench
	rec  *compare.Record
	in   *upstream.Cluster
	own  objects
	up   *upstream.Queue
	ours *scheduler.Queue
	sch  *scheduler.Scheduler

	now    time.Time
	swept  time.Time
	alive  map[string]*v1.Pod // the queue's pods as the API has them
	flying map[string]*scheduler.QueuedPod
	uid    int
	log    []string
}

func (b *bench) compareQueue(c clusterCase, rec *compare.Record) {
	if _, err := b.load(c); err != nil {
		panic(fmt.Sprintf("compare: upstream refuses the case: %v", err))
	}
	var ops struct {
		Ops []queueOp `json:"ops"`
	}
	run := &queueRun{b: b, rec: rec, now: queueStart, swept: queueStart, alive: map[string]*v1.Pod{}, flying: map[string]*scheduler.QueuedPod{}}
	var err error
	if run.in, err = upstream.DecodeCluster(c.RawMessage); err != nil {
		panic(fmt.Sprintf("compare: %v", err))
	}
	if err := json.Unmarshal(c.RawMessage, &ops); err != nil {
		panic(fmt.Sprintf("compare: %v", err))
	}
	ours, err := b.loadOurs(c)
	if err == nil {
		err = json.Unmarshal(c.RawMessage, &run.own)
	}
	if err == nil {
		run.sch = ours.scheduler
		run.ours, err = scheduler.NewQueue(ours.scheduler, scheduler.QueueConfig{})
	}
	if err != nil {
		rec.Text(partQueue, "a queue", err.Error())
		return
	}
	if len(run.in.Pods) == 0 || len(run.in.Nodes) == 0 {
		return
	}
	run.up = b.upstream.NewQueue(run.now)
	run.tick()
	for i, op := range ops.Ops {
		run.now = run.now.Add(7 * time.Millisecond)
		run.up.Clock.SetTime(run.now)
		said := run.do(op)
		run.log = append(run.log, fmt.Sprintf("%d %s", i, said))
		if !run.check() {
			return
		}
	}
	run.drain()
}

func (r *queueRun) name(op queueOp) string { return fmt.Sprintf("p%d", op.Pod%queuedPods) }

// form returns the pod as it is to look, on both sides.
func (r *queueRun) form(op queueOp, uid string) (*v1.Pod, *scheduler.Pod) {
	i := op.Form % len(r.in.Pods)
	up := r.in.Pods[i].DeepCopy()
	up.Name, up.Namespace, up.Spec.NodeName, up.UID = r.name(op), "default", "", types.UID(uid)
	upstream.Complete(up)
	up.DeletionTimestamp = nil
	own := *r.own.Pods[i]
	own.Name, own.Namespace, own.Spec.NodeName, own.UID = up.Name, "default", "", uid
	own.DeletionTimestamp = nil
	return up, &own
}

// do lets one operation happen on both sides and says what it was.
func (r *queueRun) do(op queueOp) string {
	name := r.name(op)
	switch op.Op {
	case "put":
		return r.put(op)
	case "renew":
		r.remove(name)
		return "renew: " + r.put(op)
	case "delete":
		r.remove(name)
	case "pop":
		p, err := r.up.PopNow()
		o := r.ours.Pop(r.now)
		r.rec.Text(partQueue, popped(p != nil, func() string { return p.Pod.Name }, err), popped(o != nil, func() string { return o.Pod.Pod.Name }, nil))
		if o != nil {
			r.flying[o.Pod.Pod.Name] = o
		}
	case "fail":
		name := r.flyer(op)
		if name == "" || r.up.Flying[name] == nil {
			return "fail nothing"
		}
		// The error is about a pod that is queued anew; both sides drop it then.
		_ = r.up.Fail(name, r.alive[name], op.Plugins, op.Pending)
		r.ours.Failed(r.flying[name], scheduler.Failure{Rejected: op.Plugins, Pending: op.Pending}, r.now)
		delete(r.flying, name)
		return fmt.Sprintf("fail %s by %v pending %v", name, op.Plugins, op.Pending)
	case "done", "bind":
		return r.finish(op)
	case "activate":
		if p := r.alive[name]; p != nil {
			r.up.Activate(r.b.upstream.Log(), map[string]*v1.Pod{name: p})
			r.ours.Activate(r.now, mustCompile(ownPod(p)))
		}
	case "wait":
		r.wait(time.Duration(op.Ms) * time.Millisecond)
		return fmt.Sprintf("wait %dms", op.Ms)
	default:
		return r.event(op)
	}
	return op.Op + " " + name
}

func popped(some bool, name func() string, err error) string {
	switch {
	case err != nil:
		return "error: " + err.Error()
	case some:
		return "pops " + name()
	}
	return "pops nothing"
}

// put adds the pod, or updates it.
func (r *queueRun) put(op queueOp) string {
	name := r.name(op)
	old := r.alive[name]
	uid := ""
	if old == nil {
		r.uid++
		uid = fmt.Sprintf("uid%d", r.uid)
	} else {
		uid = string(old.UID)
	}
	up, own := r.form(op, uid)
	r.alive[name] = up
	var err error
	if old == nil {
		r.up.Add(context.Background(), up)
		err = r.ours.Add(own, r.now)
	} else {
		r.up.Update(context.Background(), old, up)
		err = r.ours.Update(own, r.now)
	}
	if err != nil {
		r.rec.Text(partQueue, "put", err.Error())
	}
	return fmt.Sprintf("put %s form %d", name, op.Form%len(r.in.Pods))
}

func (r *queueRun) remove(name string) {
	if p := r.alive[name]; p != nil {
		r.up.Delete(p)
		r.ours.Delete("default", name)
		delete(r.alive, name)
	}
}

// flyer picks one of the pods in flight.
func (r *queueRun) flyer(op queueOp) string {
	names := slices.Sorted(mapKeys(r.flying))
	if len(names) == 0 {
		return ""
	}
	return names[op.Form%len(names)]
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// finish ends an attempt well: the pod is bound.
func (r *queueRun) finish(op queueOp) string {
	name := r.flyer(op)
	if name == "" || r.up.Flying[name] == nil {
		return "bind nothing"
	}
	flight, own := r.up.Flying[name], r.flying[name]
	r.up.Done(flight.Pod.UID)
	r.ours.Done(own)
	delete(r.up.Flying, name)
	delete(r.flying, name)
	p := r.alive[name]
	if op.Op == "done" || p == nil || p.UID != flight.Pod.UID {
		return "done " + name
	}
	bound := p.DeepCopy()
	bound.Spec.NodeName = r.in.Nodes[op.Form%len(r.in.Nodes)].Name
	for _, e := range upstream.AssignedPodEvents(nil, bound) {
		r.up.Event(e, nil, bound)
	}
	for _, e := range scheduler.PodEvents(nil, mustCompile(ownPod(bound))) {
		r.ours.Event(e, r.now)
	}
	r.remove(name)
	return "bind " + name
}

// ownPod is a pod in our wire types.
func ownPod(p *v1.Pod) *scheduler.Pod {
	data, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("compare: %v", err))
	}
	own := &scheduler.Pod{}
	if err := json.Unmarshal(data, own); err != nil {
		panic(fmt.Sprintf("our pod: %v", err))
	}
	return own
}

func mustCompile(p *scheduler.Pod) *scheduler.PodInfo {
	info, err := scheduler.CompilePod(p)
	if err != nil {
		panic(fmt.Sprintf("our pod: %v", err))
	}
	return info
}

// wait lets time go on; what is due every second happens in between.
func (r *queueRun) wait(d time.Duration) {
	end := r.now.Add(d)
	for {
		next := r.now.Truncate(time.Second).Add(time.Second)
		if next.After(end) {
			break
		}
		r.now = next
		r.up.Clock.SetTime(next)
		r.tick()
	}
	r.now = end
	r.up.Clock.SetTime(end)
}

func (r *queueRun) tick() {
	late := r.now.Sub(r.swept) >= 30*time.Second || r.now.Equal(r.swept)
	if late {
		r.swept = r.now
	}
	r.up.Flush(late)
	r.ours.Tick(r.now)
}

// event tells both queues of a change, and compares what each plugin makes of
// it for one of the case's pods.
func (r *queueRun) event(op queueOp) string {
	for _, pair := range r.events(op) {
		r.compareHints(op, pair)
		r.up.Event(pair.up, pair.old, pair.new)
		r.ours.Event(pair.own, r.now)
	}
	return fmt.Sprintf("event %s %d -> %d", op.Op, op.Old, op.New)
}

// eventPair is an event on both sides.
type eventPair struct {
	up       fwk.ClusterEvent
	old, new any
	own      scheduler.Event
}

func (r *queueRun) events(op queueOp) []eventPair {
	switch op.Op {
	case "node":
		return r.nodeEvents(op)
	case "pod":
		return r.podEvents(op)
	case "claim":
		return objectEvents(op, fwk.PersistentVolumeClaim, scheduler.EventPersistentVolumeClaim, r.in.PVCs, r.own.PVCs,
			func(o, n *v1.PersistentVolumeClaim) { n.Name, n.Namespace = o.Name, o.Namespace },
			func(o, n *scheduler.PersistentVolumeClaim) { n.Name, n.Namespace = o.Name, o.Namespace })
	case "volume":
		return objectEvents(op, fwk.PersistentVolume, scheduler.EventPersistentVolume, r.in.PVs, r.own.PVs,
			func(o, n *v1.PersistentVolume) { n.Name = o.Name },
			func(o, n *scheduler.PersistentVolume) { n.Name = o.Name })
	case "class":
		return objectEvents(op, fwk.StorageClass, scheduler.EventStorageClass, r.in.StorageClasses, r.own.StorageClasses,
			func(o, n *storagev1.StorageClass) { n.Name = o.Name },
			func(o, n *scheduler.StorageClass) { n.Name = o.Name })
	case "csinode":
		return objectEvents(op, fwk.CSINode, scheduler.EventCSINode, r.in.CSINodes, r.own.CSINodes,
			func(o, n *storagev1.CSINode) { n.Name = o.Name },
			func(o, n *scheduler.CSINode) { n.Name = o.Name })
	}
	panic("compare: unknown operation " + op.Op)
}

func (r *queueRun) nodeEvents(op queueOp) []eventPair {
	var old, new *v1.Node
	var ownOld, ownNew *scheduler.Node
	if op.Old >= 0 {
		old, ownOld = at(r.in.Nodes, op.Old), at(r.own.Nodes, op.Old)
	}
	if op.New >= 0 {
		new, ownNew = at(r.in.Nodes, op.New).DeepCopy(), clone(at(r.own.Nodes, op.New))
		if old != nil {
			new.Name, ownNew.Name = old.Name, ownOld.Name
		}
	}
	return paired(r.rec, upstream.NodeEvents(old, new), scheduler.NodeEvents(ownOld, ownNew), boxed(old), boxed(new))
}

func (r *queueRun) podEvents(op queueOp) []eventPair {
	var old, new *v1.Pod
	var ownOld, ownNew *scheduler.PodInfo
	on := r.in.Nodes[0].Name
	if op.Old >= 0 {
		old = at(r.in.Pods, op.Old).DeepCopy()
		upstream.Complete(old)
		old.Spec.NodeName = on
		ownOld = mustCompile(ownPod(old))
	}
	if op.New >= 0 {
		new = at(r.in.Pods, op.New).DeepCopy()
		upstream.Complete(new)
		new.Spec.NodeName = on
		if old != nil {
			new.Name, new.Namespace, new.UID = old.Name, old.Namespace, old.UID
		}
		ownNew = mustCompile(ownPod(new))
	}
	return paired(r.rec, upstream.AssignedPodEvents(old, new), scheduler.PodEvents(ownOld, ownNew), boxed(old), boxed(new))
}

// boxed keeps a nil pointer from becoming a value.
func boxed[T any](p *T) any {
	if p == nil {
		return nil
	}
	return p
}

func at[T any](list []T, i int) T { return list[i%len(list)] }

func clone[T any](p *T) *T {
	c := *p
	return &c
}

// paired joins the events of both sides, which must be the same.
func paired(rec *compare.Record, up []fwk.ClusterEvent, own []scheduler.Event, old, new any) []eventPair {
	var theirs, ours []string
	for _, e := range up {
		theirs = append(theirs, e.Label())
	}
	for _, e := range own {
		ours = append(ours, e.String())
	}
	rec.Text(partHints, strings.Join(theirs, " "), strings.Join(ours, " "))
	if !slices.Equal(theirs, ours) {
		return nil
	}
	var pairs []eventPair
	for i := range up {
		pairs = append(pairs, eventPair{up[i], old, new, own[i]})
	}
	return pairs
}

func objectEvents[U, O any](op queueOp, kind fwk.EventResource, ownKind scheduler.EventResource, up []*U, own []*O, rename func(o, n *U), ownRename func(o, n *O)) []eventPair {
	if len(up) == 0 {
		return nil
	}
	var old, new *U
	var ownOld, ownNew *O
	action := fwk.Update
	if op.Old >= 0 {
		old, ownOld = at(up, op.Old), at(own, op.Old)
	} else {
		action = fwk.Add
	}
	if op.New >= 0 {
		new, ownNew = clone(at(up, op.New)), clone(at(own, op.New))
		if old != nil {
			rename(old, new)
			ownRename(ownOld, ownNew)
		}
	} else {
		action = fwk.Delete
	}
	return []eventPair{{
		up: fwk.ClusterEvent{Resource: kind, ActionType: action}, old: boxed(old), new: boxed(new),
		own: scheduler.ObjectEvent(ownKind, boxed(ownOld), boxed(ownNew)),
	}}
}

// compareHints asks every plugin about the event, for one pod that only this
// plugin has rejected.
func (r *queueRun) compareHints(op queueOp, e eventPair) {
	up, own := r.form(op, "hinted")
	up.Spec.SchedulingGates, own.Spec.SchedulingGates = nil, nil
	for _, plugin := range rejecting {
		theirs := r.up.Hint(plugin, up, e.up, e.old, e.new)
		if theirs == "" {
			theirs = "skip"
		}
		ours := "skip"
		q, err := scheduler.NewQueue(r.sch, scheduler.QueueConfig{})
		if err == nil {
			err = q.Add(own, r.now)
		}
		if err != nil {
			r.rec.Text(partHints, theirs, err.Error())
			continue
		}
		q.Failed(q.Pop(r.now), scheduler.Failure{Rejected: []string{plugin}}, r.now)
		q.Event(e.own, r.now)
		if q.Place("default", own.Name) != scheduler.QueueUnschedulable {
			ours = "queue"
		}
		if r.b.hintSeen != nil {
			r.b.hintSeen(plugin, theirs)
		}
		r.rec.Text(partHints, plugin+" after "+e.up.Label()+": "+theirs, plugin+" after "+e.own.String()+": "+ours)
	}
}

// check compares where all pods are.
func (r *queueRun) check() bool {
	var theirs, ours []string
	for i := range queuedPods {
		name := fmt.Sprintf("p%d", i)
		theirs = append(theirs, name+" "+r.up.Describe("default", name))
		ours = append(ours, name+" "+describe(r.ours.Lookup("default", name)))
	}
	theirs = append(theirs, "in flight: "+strings.Join(r.up.InFlight(), " "))
	var names []string
	for _, p := range r.ours.InFlight() {
		names = append(names, p.Pod.Name)
	}
	slices.Sort(names)
	ours = append(ours, "in flight: "+strings.Join(names, " "))
	same := slices.Equal(theirs, ours)
	r.rec.Check(partQueue, same, func() (string, string) {
		log := strings.Join(r.log, "\n") + "\n"
		return log + strings.Join(theirs, "\n"), log + strings.Join(ours, "\n")
	})
	return same
}

func describe(p *scheduler.QueuedPod) string {
	if p == nil {
		return "nowhere"
	}
	by := p.RejectedBy()
	slices.Sort(by)
	return fmt.Sprintf("%s uid=%s by=[%s] gate=%s attempts=%d rejections=%d errors=%d since=%s",
		p.Place(), p.Pod.Pod.UID, strings.Join(by, " "), p.Gate(), p.Attempts, p.Rejections, p.Errors, p.Since.UTC().Format(time.RFC3339Nano))
}

// drain pops what is left: the order must be the same.
func (r *queueRun) drain() {
	for {
		p, err := r.up.PopNow()
		o := r.ours.Pop(r.now)
		theirs := popped(p != nil, func() string { return p.Pod.Name }, err)
		ours := popped(o != nil, func() string { return o.Pod.Pod.Name }, nil)
		r.rec.Text(partQueue, theirs, ours)
		if theirs != ours || p == nil {
			return
		}
	}
}
