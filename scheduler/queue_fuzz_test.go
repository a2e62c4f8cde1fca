package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzQueue lets bytes choose operations. Whatever they are, also in the wrong
// order and about pods that are not there, the queue stays sound, and no pod
// that was added and neither deleted nor done is lost.
func FuzzQueue(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	f.Add([]byte{0, 16, 32, 3, 3, 3, 20, 36, 8, 255, 8, 3, 3})
	f.Add([]byte{0, 3, 1, 4, 17, 2, 0, 3, 4, 9, 26, 11, 11, 11, 3})
	q0 := func(t *testing.T) *Queue {
		q, err := NewQueue(newScheduler(t, NewCache(CacheConfig{})), QueueConfig{})
		require.NoError(t, err)
		return q
	}
	forms := []*Pod{
		{Spec: PodSpec{Priority: ptr(int32(0))}},
		{Spec: PodSpec{SchedulingGates: []SchedulingGate{{Name: "g"}}}},
		{Status: PodStatus{NominatedNodeName: "n"}},
		{Spec: PodSpec{SchedulingGroup: &PodSchedulingGroup{PodGroupName: ptr("g")}}},
	}
	node := &Node{ObjectMeta: ObjectMeta{Name: "n"}}
	f.Fuzz(func(t *testing.T, ops []byte) {
		q, now := q0(t), lessonStart
		alive := map[string]bool{}
		var flying []*QueuedPod
		for i, op := range ops[:min(len(ops), 200)] {
			name, arg := fmt.Sprintf("p%d", op>>4&3), int(op>>6)
			pod := *forms[arg]
			pod.Name, pod.UID = name, name
			switch op & 15 {
			case 0:
				require.NoError(t, q.Add(&pod, now))
				alive[name] = true
			case 1:
				require.NoError(t, q.Update(&pod, now))
				alive[name] = true
			case 2:
				q.Delete("", name)
				delete(alive, name)
			case 3:
				if p := q.Pop(now); p != nil {
					flying = append(flying, p)
				}
			case 4, 5:
				if len(flying) > 0 {
					why := []Failure{{}, {Rejected: []string{"NodeResourcesFit"}}, {Rejected: []string{"unknown"}}, {Pending: []string{"NodeAffinity"}}}
					q.Failed(flying[arg%len(flying)], why[arg], now)
				}
			case 6:
				if len(flying) > 0 {
					p := flying[arg%len(flying)]
					q.Done(p)
					delete(alive, p.Pod.Pod.Name)
				}
			case 7:
				q.Activate(now, compiled(t, &pod))
			case 8:
				now = now.Add(time.Duration(1+arg*arg*arg) * 700 * time.Millisecond)
				q.Tick(now)
			case 9:
				q.Event(NodeEvents(nil, node)[0], now)
			case 10:
				q.Event(Event{Resource: EventPersistentVolumeClaim, Action: EventAdd, New: "not a claim"}, now)
			case 11:
				flying = append(flying, q.PopClass(nil, arg, now)...)
			case 12:
				q.HoldForVictims(compiled(t, &pod))
			case 13:
				q.ReleaseFromVictims(compiled(t, &pod))
			case 14:
				_ = q.SetPodGroup(&PodGroup{ObjectMeta: ObjectMeta{Name: "g"}, Spec: PodGroupSpec{SchedulingPolicy: PodGroupPolicy{Gang: &GangPolicy{MinCount: int32(arg)}}}}, now)
			case 15:
				q.RemovePodGroup("", "g", now)
			}
			q.check(t)
			for name := range alive {
				require.NotEqual(t, QueueNowhere, q.Place("", name), "operation %d lost %s", i, name)
			}
		}
	})
}

// What happens again and again takes no memory: the queue's own share of an
// attempt is one note of the flight, and an event that no rejected pod waits
// for is free.
func TestQueueAllocates(t *testing.T) {
	q, err := NewQueue(newScheduler(t, NewCache(CacheConfig{})), QueueConfig{BackoffMax: -1})
	require.NoError(t, err)
	for i := range 100 {
		require.NoError(t, q.Add(&Pod{ObjectMeta: ObjectMeta{Name: fmt.Sprintf("p%d", i)}}, lessonStart))
	}
	now, why := lessonStart, Failure{}
	event := NodeEvents(nil, &Node{ObjectMeta: ObjectMeta{Name: "n"}})[0]
	allocs := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		p := q.Pop(now)
		q.Failed(p, why, now)
		q.Event(event, now)
		q.Tick(now)
	})
	require.LessOrEqual(t, allocs, 2.0)
}
