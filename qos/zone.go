package qos

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// A ZoneState says how many of the nodes of a zone answer.
type ZoneState uint8

const (
	// ZoneInitial: nothing is known yet; pods leave at the normal rate.
	ZoneInitial ZoneState = iota
	// ZoneNormal: most nodes are ready.
	ZoneNormal
	// ZonePartial: many nodes are not ready, at least three.
	ZonePartial
	// ZoneFull: no node is ready.
	ZoneFull
)

// String names the state as the node lifecycle controller does.
func (s ZoneState) String() string {
	switch s {
	case ZoneInitial:
		return "Initial"
	case ZoneNormal:
		return "Normal"
	case ZonePartial:
		return "PartialDisruption"
	case ZoneFull:
		return "FullDisruption"
	}
	return fmt.Sprintf("ZoneState(%d)", uint8(s))
}

// A Zone counts the nodes of a zone.
type Zone struct {
	Ready, NotReady int
}

// A ZoneConfig has the flags of the node lifecycle controller.
type ZoneConfig struct {
	// Rate is how many nodes a second are tainted; 0 is 0.1, negative none.
	Rate float64
	// SecondaryRate is the rate in large zones under partial disruption; 0 is
	// 0.01, negative none.
	SecondaryRate float64
	// LargeZoneNodes is how many nodes a zone must have more of to be a large
	// one; 0 is 50. Smaller zones stop under partial disruption.
	LargeZoneNodes int
	// UnhealthyShare is the share of nodes not ready from which on a zone is
	// partially disrupted; 0 is 0.55.
	UnhealthyShare float32
}

func (c ZoneConfig) withDefaults() ZoneConfig {
	if c.Rate == 0 {
		c.Rate = 0.1
	}
	if c.SecondaryRate == 0 {
		c.SecondaryRate = 0.01
	}
	if c.LargeZoneNodes == 0 {
		c.LargeZoneNodes = 50
	}
	if c.UnhealthyShare == 0 {
		c.UnhealthyShare = 0.55
	}
	return c
}

// State returns the state of a zone.
func (c ZoneConfig) State(z Zone) ZoneState {
	c = c.withDefaults()
	switch {
	case z.Ready == 0 && z.NotReady > 0:
		return ZoneFull
	case z.NotReady > 2 && float32(z.NotReady)/float32(z.NotReady+z.Ready) >= c.UnhealthyShare:
		return ZonePartial
	}
	return ZoneNormal
}

// rate returns the eviction rate of a zone in nodes a second.
func (c ZoneConfig) rate(state ZoneState, nodes int) float64 {
	switch {
	case state != ZonePartial:
		return max(c.Rate, 0)
	case nodes > c.LargeZoneNodes:
		return max(c.SecondaryRate, 0)
	}
	return 0
}

// ZoneChange is what a pass over all zones brings.
type ZoneChange struct {
	// EnterStop: no zone has a ready node any more, which says more about the
	// observer than about the nodes. The NoExecute taints of all nodes are to be
	// removed; all queues are empty and all rates 0.
	EnterStop bool
	// LeaveStop: some node is ready again after EnterStop. The time since the
	// nodes were last heard of is to be counted from now.
	LeaveStop bool
}

// Zones limits how fast nodes that do not answer are tainted NoExecute, so that
// a broken network does not empty a cluster. It has no clock. One goroutine at
// a time may use it.
type Zones struct {
	config ZoneConfig
	zones  map[string]*zone
}

// zone is a queue of nodes to taint, behind a bucket that holds one token.
type zone struct {
	state ZoneState
	rate  float64

	queue []string            // waiting, in order
	known map[string]struct{} // waiting or tainted since they were last removed
	free  time.Time           // when the bucket's token is there again
}

// NewZones returns zones without nodes.
func NewZones(config ZoneConfig) *Zones {
	return &Zones{config: config.withDefaults(), zones: map[string]*zone{}}
}

// Update takes in how many nodes of each zone are ready. Zones that are no
// longer mentioned are forgotten.
func (z *Zones) Update(counts map[string]Zone, now time.Time) ZoneChange {
	allFull, allWereFull := true, true
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		allFull = allFull && z.config.State(counts[name]) == ZoneFull
		z.zone(name)
	}
	for name, zone := range z.zones {
		if _, ok := counts[name]; !ok {
			delete(z.zones, name)
			continue
		}
		allWereFull = allWereFull && zone.state == ZoneFull
	}
	switch {
	case allFull && allWereFull:
		return ZoneChange{}
	case allFull:
		for _, zone := range z.zones {
			zone.state = ZoneFull
			zone.setRate(0, now)
			zone.queue = nil
			clear(zone.known)
		}
		return ZoneChange{EnterStop: true}
	}
	for name, zone := range z.zones {
		if state := z.config.State(counts[name]); allWereFull || zone.state != state {
			zone.state = state
			zone.setRate(z.config.rate(state, counts[name].Ready+counts[name].NotReady), now)
		}
	}
	return ZoneChange{LeaveStop: allWereFull}
}

func (z *Zones) zone(name string) *zone {
	if z.zones[name] == nil {
		z.zones[name] = &zone{rate: max(z.config.Rate, 0), known: map[string]struct{}{}}
	}
	return z.zones[name]
}

// setRate keeps the bucket empty if it is empty: the time to wait starts anew
// with the new rate.
func (z *zone) setRate(rate float64, now time.Time) {
	if z.rate == rate {
		return
	}
	empty := z.rate <= 0 || z.free.After(now)
	z.rate = rate
	z.free = now
	if empty && rate > 0 {
		z.free = now.Add(interval(rate))
	}
}

// interval returns the time between two nodes, for rates above 0. The controller
// keeps rates as float32: its 0.01 takes 2µs longer than 100 seconds.
func interval(rate float64) time.Duration {
	return time.Duration(min(math.Ceil(float64(time.Second)/float64(float32(rate))), float64(1<<62)))
}

// Rate returns how many nodes of a zone are tainted a second, and its state.
func (z *Zones) Rate(name string) (float64, ZoneState) {
	if zone := z.zones[name]; zone != nil {
		return zone.rate, zone.state
	}
	return z.config.rate(ZoneInitial, 0), ZoneInitial
}

// Add puts a node that does not answer into the queue of its zone, and reports
// whether it was not there, or tainted, already.
func (z *Zones) Add(name, node string) bool {
	zone := z.zone(name)
	if _, ok := zone.known[node]; ok {
		return false
	}
	zone.known[node] = struct{}{}
	zone.queue = append(zone.queue, node)
	return true
}

// Remove takes a node out, because it answers again or is gone, and reports
// whether it was in.
func (z *Zones) Remove(name, node string) bool {
	zone := z.zones[name]
	if zone == nil {
		return false
	}
	if _, ok := zone.known[node]; !ok {
		return false
	}
	delete(zone.known, node)
	zone.queue = slices.DeleteFunc(zone.queue, func(n string) bool { return n == node })
	return true
}

// Due returns the nodes to taint now, zone by zone in order of their names, and
// takes them off the queues.
func (z *Zones) Due(now time.Time) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(z.zones)) {
		zone := z.zones[name]
		// The bucket holds one token: one node, then a wait.
		if len(zone.queue) == 0 || zone.rate <= 0 || zone.free.After(now) {
			continue
		}
		out = append(out, zone.queue[0])
		zone.queue = zone.queue[1:]
		zone.free = now.Add(interval(zone.rate))
	}
	return out
}
