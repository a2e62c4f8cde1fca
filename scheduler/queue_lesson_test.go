package scheduler

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestQueueLessons runs the worked examples in testdata/queue: blocks of
// commands, and after ---- where the pods are then. Pods and nodes are written
// as in TestLessons.
//
//	at 1.5s                          time goes on to 1.5 s after the beginning
//	add NAME ... | change NAME ... | delete NAME      a pod without a node
//	pop | popclass N                 prints what is popped
//	fail NAME [by PLUGIN...] [pending PLUGIN...]      ends an attempt
//	done NAME | activate NAME | hold NAME | release NAME
//	node NAME ... | unnode NAME      a node comes, changes or goes
//	run NAME on NODE ... | end NAME  a bound pod comes, changes or goes
//	group NAME MINCOUNT | ungroup NAME
func TestQueueLessons(t *testing.T) {
	files, err := filepath.Glob("testdata/queue/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := runQueueLesson(t, string(text))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			require.Equal(t, string(text), got)
		})
	}
}

// lessonStart is not on a whole second: backoffs are.
var lessonStart = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

type queueLesson struct {
	lesson
	queue  *Queue
	now    time.Time
	flying map[string]*QueuedPod
	nodes  map[string]*Node
	bound  map[string]*PodInfo
}

func runQueueLesson(t *testing.T, text string) string {
	c := NewCache(CacheConfig{})
	q, err := NewQueue(newScheduler(t, c), QueueConfig{})
	require.NoError(t, err)
	l := &queueLesson{
		lesson: lesson{t: t, cache: c}, queue: q, now: lessonStart,
		flying: map[string]*QueuedPod{}, nodes: map[string]*Node{}, bound: map[string]*PodInfo{},
	}
	var all strings.Builder
	for block := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n\n") {
		if all.Len() > 0 {
			all.WriteString("\n")
		}
		commands, _, _ := strings.Cut(block, "\n----")
		all.WriteString(commands + "\n----\n")
		l.out.Reset()
		for line := range strings.SplitSeq(commands, "\n") {
			if line, _, _ = strings.Cut(line, " #"); line == "" || line[0] == '#' {
				continue
			}
			words, object := split(line)
			if err := l.do(words[0], words[1:], object); err != nil {
				fmt.Fprintf(&l.out, "error: %v\n", err)
			}
			q.check(t)
		}
		l.show()
		all.WriteString(l.out.String())
	}
	return all.String()
}

func (l *queueLesson) do(verb string, args []string, object string) error {
	q := l.queue
	switch verb {
	case "at":
		d, err := time.ParseDuration(args[0])
		require.NoError(l.t, err)
		l.now = lessonStart.Add(d)
		q.Tick(l.now)
	case "add":
		return q.Add(l.pod(args, object), l.now)
	case "change":
		return q.Update(l.pod(args, object), l.now)
	case "delete":
		q.Delete("", args[0])
	case "pop":
		l.popped(q.Pop(l.now))
	case "popclass":
		var n int
		_, err := fmt.Sscan(args[0], &n)
		require.NoError(l.t, err)
		l.popped(q.PopClass(nil, n, l.now)...)
	case "fail":
		why, list := Failure{}, (*[]string)(nil)
		for _, w := range args[1:] {
			switch w {
			case "by":
				list = &why.Rejected
			case "pending":
				list = &why.Pending
			default:
				*list = append(*list, w)
			}
		}
		q.Failed(l.flying[args[0]], why, l.now)
	case "done":
		q.Done(l.flying[args[0]])
	case "activate":
		q.Activate(l.now, compiled(l.t, l.pod(args, object)))
	case "hold":
		q.HoldForVictims(compiled(l.t, l.pod(args, object)))
	case "release":
		q.ReleaseFromVictims(compiled(l.t, l.pod(args, object)))
	case "node":
		old, now := l.nodes[args[0]], l.node(args, object)
		l.nodes[args[0]] = now
		l.events(NodeEvents(old, now))
	case "unnode":
		l.events(NodeEvents(l.nodes[args[0]], nil))
		delete(l.nodes, args[0])
	case "run":
		old, now := l.bound[args[0]], compiled(l.t, l.pod(args, object))
		l.bound[args[0]] = now
		l.events(PodEvents(old, now))
	case "end":
		l.events(PodEvents(l.bound[args[0]], nil))
		delete(l.bound, args[0])
	case "group":
		g := &PodGroup{ObjectMeta: ObjectMeta{Name: args[0]}}
		g.Spec.SchedulingPolicy.Gang = &GangPolicy{}
		_, err := fmt.Sscan(args[1], &g.Spec.SchedulingPolicy.Gang.MinCount)
		require.NoError(l.t, err)
		return q.SetPodGroup(g, l.now)
	case "ungroup":
		q.RemovePodGroup("", args[0], l.now)
	default:
		l.t.Fatalf("unknown command %q", verb)
	}
	return nil
}

func compiled(t testing.TB, pod *Pod) *PodInfo {
	p, err := CompilePod(pod)
	require.NoError(t, err)
	return p
}

func (l *queueLesson) events(list []Event) {
	for _, e := range list {
		fmt.Fprintf(&l.out, "event %s\n", e.String())
		l.queue.Event(e, l.now)
	}
}

func (l *queueLesson) popped(list ...*QueuedPod) {
	for _, p := range list {
		if p == nil {
			fmt.Fprintln(&l.out, "popped nothing")
			continue
		}
		l.flying[p.Pod.Pod.Name] = p
		fmt.Fprintf(&l.out, "popped %s, attempt %d\n", p.Pod.Pod.Name, p.Attempts)
	}
}

func (l *queueLesson) show() {
	q := l.queue
	for _, h := range [...]struct {
		name string
		pods []*QueuedPod
	}{{"active", q.active.pods}, {"backoff", q.backoff.pods}, {"error backoff", q.errorBackoff.pods}, {"unschedulable", q.unschedulable}} {
		if len(h.pods) == 0 {
			continue
		}
		fmt.Fprintf(&l.out, "%s:", h.name)
		for _, p := range inOrder(q, h.pods) {
			fmt.Fprintf(&l.out, " %s", p.Pod.Pod.Name)
			switch {
			case p.Gate() != "":
				fmt.Fprintf(&l.out, "[gated by %s]", p.Gate())
			case p.place == QueueUnschedulable:
				fmt.Fprintf(&l.out, "%v", p.RejectedBy())
			case p.place != QueueActive:
				fmt.Fprintf(&l.out, "[until %v]", q.backoffEnd(p).Sub(lessonStart))
			}
		}
		fmt.Fprintln(&l.out)
	}
	var flying []string
	for f := q.flights.oldest; f != nil; f = f.newer {
		flying = append(flying, f.id.name)
	}
	if len(flying) > 0 {
		fmt.Fprintf(&l.out, "in flight: %s\n", strings.Join(flying, " "))
	}
}

// inOrder sorts pods of one place as they would leave it.
func inOrder(q *Queue, pods []*QueuedPod) []*QueuedPod {
	sorted := slices.Clone(pods)
	slices.SortFunc(sorted, func(a, b *QueuedPod) int {
		less := q.lessBackoff
		if a.place == QueueActive || a.place == QueueUnschedulable {
			less = lessActive
		}
		switch {
		case less(a, b):
			return -1
		case less(b, a):
			return 1
		}
		return 0
	})
	return sorted
}

// check asserts what holds of every queue at all times.
func (q *Queue) check(t testing.TB) {
	count := 0
	for _, h := range [...]struct {
		place QueuePlace
		pods  []*QueuedPod
		less  func(a, b *QueuedPod) bool
	}{
		{QueueActive, q.active.pods, q.active.less},
		{QueueBackoff, q.backoff.pods, q.backoff.less},
		{QueueErrorBackoff, q.errorBackoff.pods, q.errorBackoff.less},
		{QueueUnschedulable, q.unschedulable, nil},
	} {
		for i, p := range h.pods {
			count++
			require.Equal(t, h.place, p.place)
			require.Equal(t, i, p.at)
			require.Same(t, p, q.pods[p.Pod.key])
			require.Equal(t, p.gate != 0, p.gate != 0 && h.place == QueueUnschedulable, "gated pods are unschedulable")
			if h.less != nil && i > 0 {
				require.False(t, h.less(p, h.pods[(i-1)/2]), "heap order")
			}
		}
	}
	require.Len(t, q.pods, count)
	flights := 0
	from := q.flights.base
	for f := q.flights.oldest; f != nil; f = f.newer {
		flights++
		require.LessOrEqual(t, f.from, q.flights.count)
		require.True(t, f.from >= from || f.from < q.flights.base)
		from = max(from, f.from)
	}
	require.Len(t, q.flights.byID, flights)
	require.Equal(t, q.flights.count-q.flights.base, uint64(len(q.flights.events)))
	if flights == 0 {
		require.Empty(t, q.flights.events)
	}
}
