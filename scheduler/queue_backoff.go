package scheduler

import "time"

const (
	// backoffWindow is the grain of backoffs: all pods whose backoff ends
	// within a second become active together, the most important first.
	backoffWindow = time.Second
	// sweepEvery is how often pods that have waited too long are looked for.
	sweepEvery = 30 * time.Second
)

// backoffEnd returns when the pod may be active again: the start of the second
// in which its backoff ends. It is zero for a pod that never failed.
func (q *Queue) backoffEnd(p *QueuedPod) time.Time {
	count := p.Rejections
	if p.Errors > 0 {
		count = p.Errors
	}
	if q.config.BackoffMax < 0 || count == 0 {
		return time.Time{}
	}
	if p.until.IsZero() {
		p.until = p.Since.Add(q.backoffAfter(count)).Truncate(backoffWindow)
	}
	return p.until
}

// backoffAfter doubles from BackoffInitial to BackoffMax.
func (q *Queue) backoffAfter(count int) time.Duration {
	shift := min(count-1, 62)
	if q.config.BackoffInitial > q.config.BackoffMax>>shift {
		return q.config.BackoffMax
	}
	return q.config.BackoffInitial << shift
}

// backingOff says that the backoff has not ended before this second.
func (q *Queue) backingOff(p *QueuedPod, now time.Time) bool {
	return !q.backoffEnd(p).Before(now.Truncate(backoffWindow))
}

// Tick does what is due: once in every second, pods whose backoff is over
// become active; every 30 seconds, pods that have been unschedulable for longer
// than UnschedulableMax are tried again. It returns when it wants to be called
// next.
func (q *Queue) Tick(now time.Time) (next time.Time) {
	if window := now.Truncate(backoffWindow); !window.Equal(q.flushedAt) {
		q.flushedAt = window
		q.flushBackoff(now)
	}
	if q.sweptAt.IsZero() || now.Sub(q.sweptAt) >= sweepEvery || now.Before(q.sweptAt) {
		q.sweptAt = now
		q.sweep(now)
	}
	next = q.sweptAt.Add(sweepEvery)
	if len(q.backoff.pods)+len(q.errorBackoff.pods) > 0 {
		next = earlier(next, q.flushedAt.Add(backoffWindow))
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// flushBackoff makes the pods active whose backoff is over.
func (q *Queue) flushBackoff(now time.Time) {
	for _, h := range [...]*podHeap{&q.backoff, &q.errorBackoff} {
		for p := h.peek(); p != nil && !q.backingOff(p, now); p = h.peek() {
			q.activateTaken(p, now)
		}
	}
}

// sweep moves the pods that no event has helped for too long.
func (q *Queue) sweep(now time.Time) {
	var late []*QueuedPod
	for _, p := range q.unschedulable {
		if now.Sub(p.Since) > q.config.UnschedulableMax {
			p.overdue = true
			late = append(late, p)
		}
	}
	e := Event{Resource: eventAny, Action: eventAll, label: labelTimeout}
	if len(late) > 0 {
		q.moveAll(late, &e, now)
		q.flights.recordForAll(&e)
	}
}
