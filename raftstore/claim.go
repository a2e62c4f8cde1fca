package raftstore

import "sync/atomic"

// claim decides a race of two for one request: proposing it against giving it up.
type claim struct{ taken atomic.Bool }

// take reports whether the caller was the first.
func (c *claim) take() bool { return c.taken.CompareAndSwap(false, true) }

// release undoes a take.
func (c *claim) release() { c.taken.Store(false) }

// lost reports whether somebody has taken it.
func (c *claim) lost() bool { return c.taken.Load() }
