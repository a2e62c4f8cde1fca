package scheduler

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stubborn is a plugin of the user's own that rejects everything.
type stubborn struct{ name string }

func (s stubborn) Name() string { return s.name }

func (stubborn) Filter(*Cycle, *NodeInfo) Status { return finally("no") }

// choosy is one that says what can help, and gates pods without a label.
type choosy struct{ stubborn }

func (choosy) PreEnqueue(p *PodInfo) Status {
	if _, ok := p.Labels.Lookup("ready"); !ok {
		return finally("not ready")
	}
	return Status{}
}

func (choosy) Events() []EventHint {
	return []EventHint{
		{Resource: "example.com/Licence", Actions: EventAdd, Hint: func(_ *PodInfo, e *Event) (bool, error) {
			name, ok := e.New.(string)
			if !ok {
				return false, errors.New("a licence is a string")
			}
			return name == "mine", nil
		}},
		{Resource: EventPod, Actions: EventPodLabel},
	}
}

func queueWith(t *testing.T, extra ...Plugin) *Queue {
	s, err := New(Config{Cache: NewCache(CacheConfig{}), Profiles: []Profile{{Extra: extra}}})
	require.NoError(t, err)
	q, err := NewQueue(s, QueueConfig{BackoffMax: -1})
	require.NoError(t, err)
	return q
}

func TestQueueAsksThePluginsOfTheUser(t *testing.T) {
	q, now := queueWith(t, stubborn{"Stubborn"}, choosy{stubborn{"Choosy"}}), lessonStart
	pod := &Pod{ObjectMeta: ObjectMeta{Name: "p", UID: "1"}}
	require.NoError(t, q.Add(pod, now))
	require.Equal(t, "Choosy", q.Lookup("", "p").Gate())
	require.Nil(t, q.Pop(now))

	ready := *pod
	ready.Labels = map[string]string{"ready": ""}
	require.NoError(t, q.Update(&ready, now))
	fail := func(by string) {
		p := q.Pop(now)
		require.NotNil(t, p)
		q.Failed(p, Failure{Rejected: []string{by}}, now)
		require.Equal(t, QueueUnschedulable, q.Place("", "p"))
	}
	// Without Events every event may help, for all that the queue knows.
	fail("Stubborn")
	q.Event(ObjectEvent(EventStorageClass, nil, &StorageClass{}), now)
	require.Equal(t, QueueActive, q.Place("", "p"))

	// With Events only what the plugin has named, and what its hint approves.
	fail("Choosy")
	q.Event(ObjectEvent(EventStorageClass, nil, &StorageClass{}), now)
	q.Event(ObjectEvent("example.com/Licence", "mine", "mine"), now) // no Add
	q.Event(ObjectEvent("example.com/Licence", nil, "yours"), now)
	require.Equal(t, QueueUnschedulable, q.Place("", "p"))
	q.Event(ObjectEvent("example.com/Licence", nil, "mine"), now)
	require.Equal(t, QueueActive, q.Place("", "p"))

	// A hint that fails counts as yes.
	fail("Choosy")
	q.Event(ObjectEvent("example.com/Licence", nil, 42), now)
	require.Equal(t, QueueActive, q.Place("", "p"))
}

// A plugin that a pod is pending on lets it skip its backoff.
func TestPendingPodsSkipTheirBackoff(t *testing.T) {
	q, err := NewQueue(newScheduler(t, NewCache(CacheConfig{})), QueueConfig{})
	require.NoError(t, err)
	node := NodeEvents(nil, &Node{ObjectMeta: ObjectMeta{Name: "n"}})[0]
	for name, why := range map[string]Failure{
		"rejected": {Rejected: []string{"NodeName"}},
		"pending":  {Pending: []string{"NodeName"}},
		"both":     {Rejected: []string{"VolumeBinding"}, Pending: []string{"NodeName"}},
	} {
		require.NoError(t, q.Add(&Pod{ObjectMeta: ObjectMeta{Name: name}}, lessonStart))
		q.Failed(q.Pop(lessonStart), why, lessonStart)
	}
	q.Event(node, lessonStart)
	require.Equal(t, QueueBackoff, q.Place("", "rejected"))
	require.Equal(t, QueueActive, q.Place("", "pending"))
	require.Equal(t, QueueActive, q.Place("", "both"))
}

// The log of events in flight is bounded: a pod that would need what was lost is
// tried again.
func TestEventsInFlightAreBounded(t *testing.T) {
	q, now := queueWith(t), lessonStart
	add := func(name string) *QueuedPod {
		require.NoError(t, q.Add(&Pod{ObjectMeta: ObjectMeta{Name: name}}, now))
		return q.Pop(now)
	}
	long := add("long")
	event := Event{Resource: EventNode, Action: EventAdd, NewNode: bareNode(&Node{ObjectMeta: ObjectMeta{Name: "n"}})}
	for range eventsInFlightMax {
		q.Event(event, now)
	}
	recent := add("recent")
	q.Event(event, now)
	require.LessOrEqual(t, len(q.flights.events), eventsInFlightMax)
	q.check(t)
	q.Failed(long, Failure{Rejected: []string{"NodeVolumeLimits"}}, now)
	q.Failed(recent, Failure{Rejected: []string{"NodeVolumeLimits"}}, now)
	require.Equal(t, QueueActive, q.Place("", "long"))
	require.Equal(t, QueueUnschedulable, q.Place("", "recent"))
	require.Empty(t, q.flights.events)
}

func TestQueueAndLoopRefuseBadConfig(t *testing.T) {
	c := NewCache(CacheConfig{})
	s := newScheduler(t, c)
	var many []Plugin
	for i := range pluginsMax {
		many = append(many, stubborn{fmt.Sprintf("Stubborn-%d", i)})
	}
	crowded, err := New(Config{Cache: c, Profiles: []Profile{{Extra: many}}})
	require.NoError(t, err)
	for _, bad := range []struct {
		field string
		loop  LoopConfig
	}{
		{"Scheduler", LoopConfig{Binder: BinderFunc(bound)}},
		{"Binder", LoopConfig{Scheduler: s}},
		{"BindingsMax", LoopConfig{Scheduler: s, Binder: BinderFunc(bound), BindingsMax: -1}},
		{"BackoffInitial", LoopConfig{Scheduler: s, Binder: BinderFunc(bound), Queue: QueueConfig{BackoffInitial: -1}}},
		{"UnschedulableMax", LoopConfig{Scheduler: s, Binder: BinderFunc(bound), Queue: QueueConfig{UnschedulableMax: -time.Second}}},
		{"Profiles[default-scheduler]", LoopConfig{Scheduler: crowded, Binder: BinderFunc(bound)}},
	} {
		_, err := NewLoop(bad.loop)
		var config *ConfigError
		require.ErrorAs(t, err, &config)
		require.Equal(t, bad.field, config.Field)
	}
	_, err = NewQueue(nil, QueueConfig{})
	require.Error(t, err)
}

// What a queue or loop is given may be wrong: an error, and nothing changes.
func TestQueueAndLoopRefuseBadObjects(t *testing.T) {
	q, now := queueWith(t), lessonStart
	for _, bad := range []*Pod{
		nil, {}, {ObjectMeta: ObjectMeta{Name: "p"}, Spec: PodSpec{NodeName: "n"}},
		{ObjectMeta: ObjectMeta{Name: "p"}, Spec: PodSpec{SchedulerName: "another"}},
	} {
		require.Error(t, q.Add(bad, now))
		require.Error(t, q.Update(bad, now))
	}
	q.Delete("", "unknown")
	q.Failed(nil, Failure{}, now)
	q.Done(nil)
	q.Activate(now, nil)
	require.Empty(t, q.pods)

	l, err := NewLoop(LoopConfig{Scheduler: q.scheduler, Binder: BinderFunc(bound), Clock: &handClock{now: now}})
	require.NoError(t, err)
	require.Error(t, l.SetPod(nil))
	require.Error(t, l.SetPod(&Pod{}))
	require.Error(t, l.SetPod(&Pod{ObjectMeta: ObjectMeta{Name: "p"}, Spec: PodSpec{NodeName: "nowhere"}}))
	require.Error(t, l.SetNode(nil))
	require.Error(t, l.SetNode(&Node{}))
	require.Error(t, l.SetPodGroup(nil))
	require.NoError(t, l.SetPod(&Pod{ObjectMeta: ObjectMeta{Name: "p"}, Spec: PodSpec{SchedulerName: "another"}}))
	l.RemovePod("", "unknown")
	l.RemoveNode("unknown")
	l.Activate("", "unknown")
	l.Changed("example.com/Anything", nil, nil)
	require.Empty(t, l.queue.pods)
	nodes, pods := l.cache.Len()
	require.Zero(t, nodes+pods)
}
