package proxyrules

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Affinity remembers which backend clients of services with ClientIP affinity
// got, for programs that balance connections themselves. It holds a bounded
// number of clients; the one that was not seen for longest makes room.
// An Affinity is safe for concurrent use.
type Affinity struct {
	mu      sync.Mutex
	clients map[clientKey]*client
	head    client // of a ring, the oldest first
	max     int
}

// clientKey: memory is per service port and client address, whatever address
// of the service was called. (kube-proxy 1.36)
type clientKey struct {
	port   PortKey
	source netip.Addr
}

type client struct {
	key        clientKey
	backend    netip.AddrPort
	seen       time.Time
	prev, next *client
}

// affinityClients is the bound where none is given: what one nftables
// set without a size holds.
const affinityClients = 65535

// NewAffinity makes a memory for at most max clients; 0 means 65535.
func NewAffinity(max int) *Affinity {
	if max <= 0 {
		max = affinityClients
	}
	a := &Affinity{clients: map[clientKey]*client{}, max: max}
	a.head.prev, a.head.next = &a.head, &a.head
	return a
}

// Lookup is RuleSet.Lookup with memory: a client that connected within the
// service's timeout before now gets its backend again, if that is still one
// of those that it could get; the timeout starts anew with each connection.
func (a *Affinity) Lookup(r *RuleSet, f *Flow, random uint32, now time.Time) Decision {
	w := r.ways(f)
	if len(w.list) == 0 {
		return w.end
	}
	src := f.Source.Addr().Unmap()
	b := &w.list[scale(random, len(w.list))]
	if w.policy.Affinity > 0 {
		b = a.remember(clientKey{w.policy.Key, src}, w, b, now)
	}
	return r.deliver(f, wordsOf(src), w.policy, b, w.mark)
}

// remember returns the backend that the client had, or else b, and notes it.
func (a *Affinity) remember(k clientKey, w way, b *Backend, now time.Time) *Backend {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.clients[k]
	if c == nil {
		c = a.room()
		c.key = k
		a.clients[k] = c
	} else {
		c.unlink()
		if i := slices.IndexFunc(w.list, func(q Backend) bool { return q.Address == c.backend }); i >= 0 && now.Sub(c.seen) < w.policy.Affinity {
			b = &w.list[i]
		}
	}
	c.backend, c.seen = b.Address, now
	c.prev, c.next = a.head.prev, &a.head
	c.prev.next, c.next.prev = c, c
	return b
}

// room returns an entry that is not in use, taking the oldest if need be.
func (a *Affinity) room() *client {
	if len(a.clients) < a.max {
		return &client{}
	}
	oldest := a.head.next
	oldest.unlink()
	delete(a.clients, oldest.key)
	return oldest
}

func (c *client) unlink() { c.prev.next, c.next.prev = c.next, c.prev }

// Len is the number of clients remembered.
func (a *Affinity) Len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.clients)
}
