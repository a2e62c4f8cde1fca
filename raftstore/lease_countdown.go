package raftstore

import "container/heap"

// countdown is what a leader knows about the time of leases, in ticks: a pure
// structure, without a clock. It holds for one term; a new leader begins anew, and
// gives every lease more time than it can have had left (etcd #9395).
type countdown struct {
	// ends are the ticks at which leases have run out.
	ends map[int64]uint64
	// queue orders leases by an end that they had once. They do not run out before it:
	// a renewal moves ends alone, and what comes up too early goes back.
	queue endQueue
	// expiring are the leases whose end has been proposed. They cannot be saved.
	expiring map[int64]bool
}

type leaseEnd struct {
	at uint64
	id int64
}

type endQueue []leaseEnd

func (q endQueue) Len() int      { return len(q) }
func (q endQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q endQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].id < q[j].id
}
func (q *endQueue) Push(x any) { *q = append(*q, x.(leaseEnd)) }
func (q *endQueue) Pop() any {
	x := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return x
}

func (c *countdown) reset() {
	*c = countdown{ends: map[int64]uint64{}, expiring: map[int64]bool{}}
}

// begin starts the count for a lease that has none.
func (c *countdown) begin(id int64, end uint64) {
	c.ends[id] = end
	heap.Push(&c.queue, leaseEnd{end, id})
}

// renew moves the end of a lease, never to an earlier one.
func (c *countdown) renew(id int64, end uint64) { c.ends[id] = max(c.ends[id], end) }

// forget ends the count of a lease that is gone. The queue drops it later.
func (c *countdown) forget(id int64) {
	delete(c.ends, id)
	delete(c.expiring, id)
}

// anyDue reports whether some lease may have run out.
func (c *countdown) anyDue(now uint64) bool { return len(c.queue) > 0 && c.queue[0].at <= now }

// expire takes up to limit leases off the queue that have run out, and marks them.
func (c *countdown) expire(now uint64, limit int) []int64 {
	var due []int64
	for c.anyDue(now) && len(due) < limit {
		first := heap.Pop(&c.queue).(leaseEnd)
		end, counted := c.ends[first.id]
		switch {
		case !counted || c.expiring[first.id]:
		case end > now:
			heap.Push(&c.queue, leaseEnd{end, first.id})
		default:
			c.expiring[first.id] = true
			due = append(due, first.id)
		}
	}
	return due
}
