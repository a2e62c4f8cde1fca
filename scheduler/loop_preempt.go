package scheduler

import (
	"context"
	"errors"
	"strings"
)

// preempt removes the victims, beside the loop if it runs. Until that is done
// the pod is not tried again.
func (l *Loop) preempt(ctx context.Context, p *PodInfo, n *Nomination) {
	l.unnominateLess(p, n.Node)
	l.mu.Lock()
	running := l.running
	if running {
		l.helpers.Add(1)
	}
	l.mu.Unlock()
	if !running {
		l.evict(ctx, p, n)
		return
	}
	go func() {
		defer l.helpers.Done()
		l.evict(ctx, p, n)
	}()
}

// unnominateLess ends the nominations of less important pods to a node that is
// being made free for another pod, and lets them look for another place.
func (l *Loop) unnominateLess(p *PodInfo, node string) {
	var losers []*PodInfo
	l.cache.mu.RLock()
	for _, q := range l.cache.nominated.pods.get(node) {
		if q.Priority < p.Priority {
			losers = append(losers, q)
		}
	}
	l.cache.mu.RUnlock()
	for _, q := range losers {
		l.mu.Lock()
		l.cache.Unnominate(q.Namespace, q.Pod.Name)
		l.queue.Activate(l.config.Clock.Now(), q)
		l.mu.Unlock()
		l.observe(LoopEvent{Kind: LoopUnnominated, Pod: q.Pod, Node: node, By: p.Pod})
	}
}

// evict removes the victims. The last one is special: its end may be observed
// before the Evictor returns, and must not find the pod still held.
func (l *Loop) evict(ctx context.Context, p *PodInfo, n *Nomination) {
	var err error
	victims := l.victims(n)
	for i, v := range victims {
		if i == len(victims)-1 {
			l.mu.Lock()
			l.releases[v.key] = p
			l.mu.Unlock()
		}
		if err = l.evictOne(ctx, v, p, n.Node); err != nil {
			break
		}
	}
	l.mu.Lock()
	l.queue.ReleaseFromVictims(p)
	for _, v := range victims {
		if l.releases[v.key] == p {
			delete(l.releases, v.key)
		}
	}
	if err != nil || len(victims) == 0 {
		l.queue.Activate(l.config.Clock.Now(), p)
	}
	l.mu.Unlock()
	l.poke()
}

// victims returns the pods that a nomination names and that are still there.
func (l *Loop) victims(n *Nomination) []*PodInfo {
	var list []*PodInfo
	l.cache.mu.RLock()
	defer l.cache.mu.RUnlock()
	for _, name := range n.Victims {
		namespace, name, _ := strings.Cut(name, "/")
		if s := l.cache.pod(podKey{namespace, name}); s != nil && !s.info.terminating() {
			list = append(list, s.info)
		}
	}
	return list
}

// evictOne removes one victim. One that is not bound yet is taken back instead.
func (l *Loop) evictOne(ctx context.Context, v, by *PodInfo, node string) error {
	l.mu.Lock()
	var b *Binding
	if a := l.attempts[v.key]; a != nil {
		b = a.binding
	}
	l.mu.Unlock()
	if b != nil {
		if !errors.Is(b.Reject("DefaultPreemption", "preempted"), ErrEnded) {
			l.observe(LoopEvent{Kind: LoopEvicted, Pod: v.Pod, Node: node, By: by.Pod})
			return nil
		}
	}
	err := l.config.Evictor.Evict(ctx, v.Pod, by.Pod)
	l.observe(LoopEvent{Kind: LoopEvicted, Pod: v.Pod, Node: node, By: by.Pod, Err: err})
	return err
}

// released looks at a preemptor again whose last victim is on its way out. l.mu
// is held.
func (l *Loop) released(victim podKey) {
	if p := l.releases[victim]; p != nil {
		delete(l.releases, victim)
		l.queue.ReleaseFromVictims(p)
	}
}
