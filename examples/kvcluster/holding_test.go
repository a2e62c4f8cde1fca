package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// holding is a key that goes with a lease.
type holding struct {
	key string
	ttl time.Duration
	// alive is when the last call began that was answered with life.
	alive int64
}

// hold is the life of a client that is granted leases, attaches a key to each, keeps it
// alive for a while, at whatever member, and lets it go.
func (h *history) hold(ctx context.Context, p *process) {
	rng := rand.New(rand.NewPCG(p.id, 55))
	for i := 0; ctx.Err() == nil; i++ {
		held, lease := h.grant(p.client, fmt.Sprintf("lease-m%d-%d", p.id, i), 1+rng.Int64N(2))
		if held == nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		for range rng.IntN(8) {
			time.Sleep(held.ttl / 3)
			if !h.keep(held, h.ps.all[rng.IntN(len(h.ps.all))].client, lease) {
				break
			}
		}
		time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
	}
}

// grant returns nil unless it knows that the key is there with the lease.
func (h *history) grant(c *client, key string, ttlSeconds int64) (*holding, int64) {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	begun := h.now()
	a, err := c.grant(ctx, ttlSeconds)
	if err != nil {
		return nil, 0
	}
	if _, err := c.write(ctx, write{method: "PUT", key: key, value: key, lease: a.Lease}); err != nil {
		return nil, 0
	}
	held := &holding{key: key, ttl: time.Duration(a.TTL) * time.Second, alive: begun}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holdings = append(h.holdings, held)
	return held, a.Lease
}

// keep gives a lease its time again and reports whether it can still be kept.
func (h *history) keep(held *holding, c *client, lease int64) bool {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	begun := h.now()
	a, err := c.keepAlive(ctx, lease)
	if err != nil {
		return true // perhaps it was renewed, perhaps not
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.TTL > 0 {
		held.alive = begun
		return true
	}
	if lived := time.Duration(h.now() - held.alive); lived < held.ttl {
		h.faults = append(h.faults, fmt.Errorf("the lease of %s is gone %v after it was renewed for %v", held.key, lived, held.ttl))
	}
	return false
}

// holdingsEnd waits until the watches have seen every key go.
func (h *history) holdingsEnd(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, held := range h.holdings {
			if _, ok := h.gone[held.key]; !ok {
				return false
			}
		}
		return true
	}, 60*time.Second, 20*time.Millisecond, "a lease that nobody keeps does not end")
}

// checkHoldings sees that no key has gone before its lease had run out. Watches see it
// later than it happens, which can hide an early end and cannot invent one.
func (h *history) checkHoldings(t *testing.T) {
	require.NotEmpty(t, h.holdings)
	for _, held := range h.holdings {
		lived := time.Duration(h.gone[held.key] - held.alive)
		require.GreaterOrEqual(t, lived, held.ttl, "%s is gone after %v, its lease was for %v", held.key, lived, held.ttl)
	}
}
