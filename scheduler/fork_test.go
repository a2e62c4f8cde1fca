package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An event is something that happens to a cluster, with its outcome as text.
type event func(c *Cache, s *Scheduler) string

// randomEvent draws an event, which does the same to every cluster in the same
// state. Names are few, so that events meet.
func randomEvent(rng *rand.Rand, number int) event {
	node, pod := fmt.Sprintf("n%d", rng.IntN(9)), fmt.Sprintf("p%d", rng.IntN(40))
	text := func(err error) string {
		if err != nil {
			return err.Error()
		}
		return "done"
	}
	p := randomPod(rng, pod)
	p.Namespace, p.UID = "default", ""
	if rng.IntN(6) == 0 {
		p.Spec.Volumes = []Volume{{Name: "v", PersistentVolumeClaim: &PersistentVolumeClaimSource{ClaimName: fmt.Sprintf("c%d", rng.IntN(4))}}}
	}
	switch rng.IntN(16) {
	case 0, 1:
		n := randomNode(rng, node)
		return func(c *Cache, _ *Scheduler) string {
			err := c.AddNode(n)
			if errors.Is(err, ErrExists) {
				err = c.UpdateNode(n)
			}
			return text(err)
		}
	case 2:
		return func(c *Cache, _ *Scheduler) string { return text(c.RemoveNode(node)) }
	case 3, 4:
		p.Spec.NodeName = node
		return func(c *Cache, _ *Scheduler) string { return text(c.AddPod(p)) }
	case 5:
		p.Spec.NodeName = node
		p.Status.Phase = oneOf(rng, "Running", "Running", "Succeeded")
		return func(c *Cache, _ *Scheduler) string { return text(c.UpdatePod(p)) }
	case 6:
		return func(c *Cache, _ *Scheduler) string { return text(c.RemovePod("", pod)) }
	case 7:
		return func(c *Cache, _ *Scheduler) string { return text(c.Forget("", pod)) }
	case 8:
		return func(c *Cache, _ *Scheduler) string { return text(c.Confirm("", pod)) }
	case 9:
		return func(c *Cache, _ *Scheduler) string { return text(c.Nominate(p, node)) }
	case 10:
		return func(c *Cache, _ *Scheduler) string { c.Unnominate("", pod); return "done" }
	case 11:
		return randomObjectEvent(rng, text)
	}
	return func(c *Cache, s *Scheduler) string {
		placement, err := s.Schedule(p)
		if err == nil {
			err = c.Assume(p, placement.Node)
		}
		var unfit *FitError
		if errors.As(err, &unfit) && unfit.Nominated != nil {
			return fmt.Sprint(err, *unfit.Nominated)
		}
		return fmt.Sprint(placement, err)
	}
}

// randomObjectEvent is about what is neither a node nor a pod.
func randomObjectEvent(rng *rand.Rand, text func(error) string) event {
	late, name := bindOnFirstUse, fmt.Sprint(rng.IntN(4))
	app := map[string]string{"app": oneOf(rng, "web", "db")}
	switch rng.IntN(5) {
	case 0:
		return func(c *Cache, _ *Scheduler) string {
			return text(c.SetService(&Service{ObjectMeta: ObjectMeta{Name: name}, Spec: ServiceSpec{Selector: app}}))
		}
	case 1:
		b := &PodDisruptionBudget{ObjectMeta: ObjectMeta{Name: name}}
		b.Status.DisruptionsAllowed = int32(rng.IntN(2))
		return func(c *Cache, _ *Scheduler) string { return text(c.SetPodDisruptionBudget(b)) }
	case 2:
		pv := &PersistentVolume{ObjectMeta: ObjectMeta{Name: "v" + name}}
		pv.Spec.StorageClassName, pv.Status.Phase = "late", "Available"
		return func(c *Cache, _ *Scheduler) string { return text(c.SetPersistentVolume(pv)) }
	case 3:
		class := "late"
		pvc := &PersistentVolumeClaim{ObjectMeta: ObjectMeta{Name: "c" + name}}
		pvc.Spec.StorageClassName = &class
		return func(c *Cache, _ *Scheduler) string { return text(c.SetPersistentVolumeClaim(pvc)) }
	}
	return func(c *Cache, _ *Scheduler) string {
		return text(c.SetStorageClass(&StorageClass{ObjectMeta: ObjectMeta{Name: "late"}, VolumeBindingMode: &late, Provisioner: "kubernetes.io/no-provisioner"}))
	}
}

// probe asks questions whose answers depend on everything a cluster holds.
func probe(t *testing.T, c *Cache, s *Scheduler, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	fmt.Fprintln(&b, c.Nodes())
	for i := range 3 {
		p := randomPod(rng, fmt.Sprintf("probe%d", i))
		top := int32(2 + i)
		p.Spec.Priority = &top
		p.Spec.Volumes = []Volume{{Name: "v", PersistentVolumeClaim: &PersistentVolumeClaimSource{ClaimName: "c1"}}}[:i%2]
		e, err := s.Explain(p)
		fmt.Fprintln(&b, p.Name, err)
		dry, dryErr := s.DryRunPreemption(p)
		text, jsonErr := json.MarshalIndent([]any{e, dry}, "", " ")
		require.NoError(t, jsonErr)
		fmt.Fprintf(&b, "%v %s\n", dryErr, text)
	}
	nodes, pods := c.Len()
	fmt.Fprintln(&b, nodes, pods, c.state())
	return b.String()
}

// forkConfig has ties drawn, so that the random numbers count.
func forkConfig(c *Cache) Config { return Config{Cache: c, TieBreak: TieRandom, Seed: 7} }

// replayed is the plain twin of a fork: a cluster to which everything that led
// there has happened.
func replayed(t *testing.T, events []event) (*Cache, *Scheduler) {
	c := NewCache(CacheConfig{HoldUnknownNodes: true})
	s, err := New(forkConfig(c))
	require.NoError(t, err)
	for _, e := range events {
		e(c, s)
	}
	return c, s
}

// A fork answers as a cluster does that has been through the same, whatever was
// tried on the fork meanwhile and taken back; so does the cluster that it was
// made from, and so do other forks of the same snapshot.
func TestForkIsACluster(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	for run := range 60 {
		var past []event
		live := NewCache(CacheConfig{HoldUnknownNodes: true})
		s, err := New(forkConfig(live))
		require.NoError(t, err)
		for phase := range 4 {
			for range rng.IntN(60) {
				e := randomEvent(rng, len(past))
				e(live, s)
				past = append(past, e)
			}
			snapshot := live.Snapshot()
			first, second := snapshot.Fork(s), snapshot.Fork(s)
			tryOnFork(t, rng, first, past)
			tryOnFork(t, rng, second, past)
			twin, plain := replayed(t, past)
			require.Equal(t, probe(t, twin, plain, 5), probe(t, live, s, 5), "run %d phase %d", run, phase)
			past = append(past, func(c *Cache, s *Scheduler) string { return probe(t, c, s, 5) })
		}
	}
}

// tryOnFork does random things to a fork, goes back now and then, and compares
// it with its twin.
func tryOnFork(t *testing.T, rng *rand.Rand, f *Fork, past []event) {
	past = slices.Clip(past)
	s := f.Scheduler()
	type moment struct {
		mark Mark
		past []event
	}
	var moments []moment
	for step := range 60 {
		switch rng.IntN(12) {
		case 0:
			moments = append(moments, moment{f.Mark(), slices.Clip(past)})
			continue
		case 1:
			if len(moments) == 0 {
				continue
			}
			to := rng.IntN(len(moments))
			require.NoError(t, f.Revert(moments[to].mark))
			for _, later := range moments[to+1:] {
				require.ErrorIs(t, f.Revert(later.mark), ErrMark)
			}
			past, moments = moments[to].past, moments[:to+1]
			if rng.IntN(3) == 0 {
				twin, plain := replayed(t, past)
				before := f.Mark() // looking deals the scan order, which the next decision would keep
				require.Equal(t, probe(t, twin, plain, 9), probe(t, &f.cache, s, 9), "reverted, step %d", step)
				require.NoError(t, f.Revert(before))
			}
			continue
		}
		e := randomEvent(rng, len(past))
		e(&f.cache, s)
		past = append(past, e)
	}
	twin, plain := replayed(t, past)
	last := randomEvent(rng, 0)
	require.Equal(t, last(twin, plain), last(&f.cache, s))
	require.Equal(t, probe(t, twin, plain, 9), probe(t, &f.cache, s, 9))
}

// Forks of one snapshot, and the cluster itself, can be used at the same time;
// run with -race.
func TestForksInParallel(t *testing.T) {
	c := uniformCluster(t, 60)
	s := newScheduler(t, c)
	snapshot := c.Snapshot()
	want := placements(t, snapshot.Fork(s))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				f := snapshot.Fork(nil)
				before := f.Mark()
				got := placements(t, f)
				if !slices.Equal(want, got) || f.Revert(before) != nil || !slices.Equal(want, placements(t, f)) {
					t.Error("forks of one snapshot disagree")
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 60 {
			p := podWith(t, fmt.Sprintf("live-%d", i), "", "")
			if err := place(c, s, p); err != nil {
				t.Error(err)
			}
			if i%10 == 0 {
				c.Snapshot().Fork(s).Nodes()
			}
		}
	})
	wg.Wait()
}

// placements schedules some pods and says where they went.
func placements(t *testing.T, f *Fork) (nodes []string) {
	if _, err := f.AddNodes(f.cache.node("node-00000").Node, 2); err != nil {
		t.Error(err)
	}
	for _, name := range slices.Sorted(maps.Keys(benchSpecs)) {
		for i := range 3 {
			placement, err := f.Schedule(podWith(t, fmt.Sprintf("%s-%d", name, i), benchSpecs[name].labels, benchSpecs[name].spec))
			if err != nil {
				t.Error(err)
			}
			nodes = append(nodes, placement.Node)
		}
	}
	return nodes
}

// Committing a fork is the same as having made its changes to the Cache; and
// when both have changed the same object, neither changes.
func TestCommit(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 34))
	var refused, done int
	for range 300 {
		live := randomCluster(t, rng, 8, 16)
		live.config.HoldUnknownNodes = true
		s := newScheduler(t, live)
		f := live.Snapshot().Fork(s)
		twin := live.Snapshot().Fork(s)
		change := func(f *Fork, rng *rand.Rand, prefix string) {
			for i := range 1 + rng.IntN(4) {
				switch name := fmt.Sprintf("%s%d", prefix, i); rng.IntN(5) {
				case 0:
					_ = f.RemovePod(oneOf(rng, "default", "prod"), fmt.Sprintf("p%d", rng.IntN(16)))
				case 1:
					_ = f.UpdateNode(randomNode(rng, fmt.Sprintf("n%d", rng.IntN(9))))
				case 2:
					before := f.Mark()
					_, _ = f.AddNodes(randomNode(rng, name), 2)
					if rng.IntN(2) == 0 {
						require.NoError(t, f.Revert(before))
					}
				default:
					_, _, _ = f.Preempt(randomPod(rng, name))
				}
			}
		}
		seed := rng.Uint64()
		change(f, rand.New(rand.NewPCG(seed, 0)), "fork")
		change(twin, rand.New(rand.NewPCG(seed, 0)), "fork")
		other := live.Snapshot().Fork(nil)
		if rng.IntN(2) == 0 {
			change(other, rng, "other")
		}
		moved := len(other.log) > 0
		require.NoError(t, other.Commit(CommitUnchanged))
		before := live.state()
		var conflict *ConflictError
		err := f.Commit(oneOf(rng, CommitUntouched, CommitUnchanged))
		if err != nil {
			require.ErrorAs(t, err, &conflict)
			require.ErrorIs(t, err, ErrMovedOn)
			require.True(t, moved)
			require.Equal(t, before, live.state())
			refused++
			continue
		}
		done++
		if !moved {
			require.Equal(t, sortedState(t, &twin.cache), sortedState(t, live))
		}
		require.ErrorIs(t, f.AddNode(randomNode(rng, "late")), ErrCommitted)
		require.ErrorIs(t, f.Commit(CommitUntouched), ErrCommitted)
	}
	require.Greater(t, refused, 50)
	require.Greater(t, done, 50)
}

// sortedState is state without what depends on when decisions were made: the
// scan order and the image counts.
func sortedState(t *testing.T, c *Cache) []map[string]any {
	var nodes []map[string]any
	require.NoError(t, json.Unmarshal([]byte(c.state()), &nodes))
	slices.SortFunc(nodes, func(a, b map[string]any) int { return strings.Compare(a["Name"].(string), b["Name"].(string)) })
	for _, n := range nodes {
		delete(n, "Images")
	}
	return nodes
}

func TestConflictNamesObjects(t *testing.T) {
	c := uniformCluster(t, 5)
	f := c.Snapshot().Fork(nil)
	require.NoError(t, f.Assume(podWith(t, "mine", "", ""), "node-00002"))
	require.NoError(t, f.RemovePod("", "init-0"))
	require.NoError(t, c.Assume(podWith(t, "theirs", "", ""), "node-00002"))
	require.NoError(t, c.Assume(podWith(t, "elsewhere", "", ""), "node-00004"))
	require.EqualError(t, f.Commit(CommitUntouched), "cluster has changed since the snapshot: node node-00002")
	require.NoError(t, c.RemovePod("", "init-0"))
	require.EqualError(t, f.Commit(CommitUntouched), "cluster has changed since the snapshot: node node-00000, node node-00002, pod default/init-0")

	f = c.Snapshot().Fork(nil)
	require.NoError(t, f.Assume(podWith(t, "mine", "", ""), "node-00002"))
	require.NoError(t, c.SetNamespace(&Namespace{ObjectMeta: ObjectMeta{Name: "new"}}))
	require.EqualError(t, f.Commit(CommitUnchanged), "cluster has changed since the snapshot")
	require.NoError(t, f.Commit(CommitUntouched))
	node, assumed, ok := c.PodNode("default", "mine")
	require.True(t, ok && assumed)
	require.Equal(t, "node-00002", node)
}

// A Snapshot is the same while nothing changes, and shares what has not.
func TestSnapshotShares(t *testing.T) {
	c := uniformCluster(t, 10)
	first := c.Snapshot()
	require.Same(t, first, c.Snapshot())
	require.NoError(t, c.Assume(podWith(t, "new", "", ""), "node-00003"))
	second := c.Snapshot()
	require.NotSame(t, first.node("node-00003"), second.node("node-00003"))
	require.Same(t, first.node("node-00004"), second.node("node-00004"))
	require.Len(t, first.node("node-00003").Pods, 0)
	_, pods := first.Len()
	require.Equal(t, 2, pods)
	_, pods = second.Len()
	require.Equal(t, 3, pods)
}

func TestForkRefusals(t *testing.T) {
	c := uniformCluster(t, 3)
	f := c.Snapshot().Fork(nil)
	other := c.Snapshot().Fork(nil)
	require.ErrorIs(t, f.Revert(other.Mark()), ErrMark)
	require.ErrorIs(t, f.Revert(Mark{}), ErrMark)
	require.ErrorIs(t, f.RemoveNode("nobody"), ErrUnknownNode)
	require.ErrorIs(t, f.RemovePod("", "nobody"), ErrUnknownPod)
	require.ErrorIs(t, f.AddNode(c.node("node-00001").Node), ErrExists)
	_, err := f.AddNodes(nil, 3)
	require.Error(t, err)
	_, err = f.AddNodes(&Node{}, 1)
	require.Error(t, err)
	require.Empty(t, f.log)
}

func BenchmarkFork(b *testing.B) {
	for _, nodes := range []int{100, 5000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			c := uniformCluster(b, nodes)
			s := newScheduler(b, c)
			snapshot := c.Snapshot()
			b.ReportAllocs()
			for b.Loop() {
				f := snapshot.Fork(s)
				if len(f.cache.list) > nodes {
					b.Fatal("nodes")
				}
			}
		})
	}
}

// BenchmarkSnapshot takes a snapshot after each placed pod.
func BenchmarkSnapshot(b *testing.B) {
	for _, nodes := range []int{100, 5000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			c := uniformCluster(b, nodes)
			_, err := newScheduler(b, c).Explain(podWith(b, "p", "", "")) // deals the scan order
			require.NoError(b, err)
			c.Snapshot()
			p, err := CompilePod(podWith(b, "p", "", ""))
			require.NoError(b, err)
			last := c.Snapshot()
			b.ReportAllocs()
			for b.Loop() {
				if err := c.AssumePod(p, "node-00007"); err != nil {
					b.Fatal(err)
				}
				s := c.Snapshot()
				if err := c.Forget("", "p"); err != nil || s == last {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRevert undoes a hundred placements; placing them again is not timed
// in ns/revert.
func BenchmarkRevert(b *testing.B) {
	const placements = 100
	for _, nodes := range []int{100, 5000} {
		b.Run(fmt.Sprintf("nodes=%d/placements=%d", nodes, placements), func(b *testing.B) {
			f := uniformCluster(b, nodes).Snapshot().Fork(nil)
			_, err := f.Scheduler().Explain(podWith(b, "p", "", "")) // deals the scan order
			require.NoError(b, err)
			var pods []*PodInfo
			for i := range placements {
				p, err := CompilePod(podWith(b, fmt.Sprintf("p%d", i), "", ""))
				require.NoError(b, err)
				pods = append(pods, p)
			}
			start := f.Mark()
			var spent time.Duration
			reverts := 0
			for b.Loop() {
				for i, p := range pods {
					if err := f.assume(p, fmt.Sprintf("node-%05d", i*7%nodes)); err != nil {
						b.Fatal(err)
					}
				}
				began := time.Now()
				err := f.Revert(start)
				spent += time.Since(began)
				reverts++
				if _, pods := f.Len(); err != nil || pods != nodes/5 {
					b.Fatal(err, pods)
				}
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(reverts), "ns/revert")
		})
	}
}

// BenchmarkSnapshotMemory reports what the first snapshot adds to a cluster with
// thirty pods on each node, per pod, nodes included.
func BenchmarkSnapshotMemory(b *testing.B) {
	const nodes, each = 1000, 30
	c := uniformCluster(b, nodes)
	p, err := CompilePod(podWith(b, "p", "", ""))
	require.NoError(b, err)
	for i := range nodes * each {
		require.NoError(b, c.AssumePod(p.renamed(fmt.Sprintf("p-%d", i)), fmt.Sprintf("node-%05d", i%nodes)))
	}
	var before, after runtime.MemStats
	for b.Loop() {
		c.latest = nil
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := c.Snapshot()
		runtime.GC()
		runtime.ReadMemStats(&after)
		if _, pods := s.Len(); pods != nodes*each+nodes/5 {
			b.Fatal(pods)
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(nodes*each), "B/pod")
}
