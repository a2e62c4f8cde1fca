package scheduler

import "slices"

// engine answers what the plain form answers, from what it has kept since the
// last decision. Pods that are equal as far as decisions go form a class; per
// class it keeps which nodes are feasible and what they score, and follows the
// change log of the Cache, so that the next pod of the class costs what has
// changed since, not what there is:
//
//	Cache ── changeLog ──► columns: labels as numbers, by node
//	                  └──► class:   feasible · raw scores · counts by domain
//	                                   └─► best nodes in blocks of 64
//
// It declines what it does not know (plugins of the user's own, volumes, pods
// that name nodes, more important pods that are nominated) and pods that fit
// nowhere, whose reasons somebody wants to read: then the plain form decides.
//
// An engine belongs to one Scheduler and one Cache, and is used with both
// locked.
type engine struct {
	// The state of the Cache that the columns have followed.
	clock, cursor uint64
	// at is the Cache's table of positions: another one means that the nodes
	// were dealt anew.
	at []int32
	// relabelled is the clock at which a label of a column last moved.
	relabelled uint64

	nodes   []*NodeInfo // of the present decision
	columns map[string]*labelColumn
	classes map[classID]*class
	// sharesMaps: other engines have the same maps.
	sharesMaps bool
	mark       *owner
	uses       uint64 // of classes, so far
	// What it did: pods placed, and errors that were known.
	decided, recalled uint64
	cells             int // nodes times classes

	// checked holds every decision against the plain form; for tests.
	checked bool

	listed  listed
	changed []int32
	away    []int32 // see crowd
	seen    bitset
}

type classID struct {
	profile *profile
	key     classKey
}

// cellsMax bounds the memory of all classes, at some 60 bytes a cell. The one
// that was not used for longest makes room.
const cellsMax = 1 << 21

func newEngine() *engine {
	return &engine{mark: new(owner), columns: make(map[string]*labelColumn), classes: make(map[classID]*class)}
}

// sync brings the columns up to date.
func (e *engine) sync(c *Cache) {
	e.nodes = c.list
	if len(e.at) == 0 || &e.at[0] != &c.at[0] {
		e.columns, e.classes, e.sharesMaps = make(map[string]*labelColumn), make(map[classID]*class), false
		e.cells = 0
		e.seen, e.at = newBitset(len(e.nodes)), c.at
	} else if e.clock != c.changes.clock && len(e.columns) > 0 {
		e.relabel(c)
	}
	e.clock, e.cursor = c.changes.clock, c.changes.written
}

// relabel brings the columns up to date with the nodes that were redefined.
func (e *engine) relabel(c *Cache) {
	redefined := slices.DeleteFunc(e.changedSince(c, e.cursor, e.clock), func(at int32) bool {
		return e.nodes[at].redefined <= e.clock
	})
	if len(redefined) == 0 {
		return
	}
	for key, col := range e.columns {
		if now := col.updated(redefined, e.nodes); now != col {
			e.ownMaps()
			e.columns[key] = now
			e.relabelled = c.changes.clock
		}
	}
}

// changedSince returns the positions of the nodes that changed after the clock
// stood at clock and the log at cursor, each once. The memory is used again by
// the next call.
func (e *engine) changedSince(c *Cache, cursor, clock uint64) []int32 {
	e.changed = e.changed[:0]
	first, end, ok := c.changes.since(cursor)
	if !ok {
		for i, n := range e.nodes {
			if n.generation > clock {
				e.changed = append(e.changed, int32(i))
			}
		}
		return e.changed
	}
	for i := first; i < end; i++ {
		at, ok := e.position(c.changes.at(i))
		if ok && !e.seen.has(at) {
			e.seen.set(at)
			e.changed = append(e.changed, at)
		}
	}
	for _, at := range e.changed {
		e.seen.clear(at)
	}
	return e.changed
}

// position returns where the node with a slot is in the scan order; ok is false
// for nodes that are known only because pods name them.
func (e *engine) position(slot int32) (at int32, ok bool) {
	if int(slot) >= len(e.at) {
		return 0, false
	}
	at = e.at[slot]
	return at, int(at) < len(e.nodes) && e.nodes[at].slot == slot
}

// column returns the column of a label.
func (e *engine) column(key string) *labelColumn {
	col := e.columns[key]
	if col == nil {
		col = newLabelColumn(key, e.nodes)
		e.ownMaps()
		e.columns[key] = col
	}
	return col
}

// classOf returns the class of a pod, up to date.
func (e *engine) classOf(c *Cache, profile *profile, p *PodInfo) *class {
	id := classID{profile, p.class}
	k := e.classes[id]
	switch {
	case k == nil:
		e.makeRoom(len(e.nodes))
		k = e.newClass(c, id, p)
	case k.stale(c, e):
		e.drop(k)
		k = e.newClass(c, id, p)
	case k.clock != c.changes.clock:
		k = e.owned(k)
		k.cycle.cache, k.cycle.Nodes = c, e.nodes
		k.follow(e.changedSince(c, k.cursor, k.clock), e.nodes)
		k.clock, k.cursor = c.changes.clock, c.changes.written
	}
	if k != nil {
		k = e.owned(k)
		k.cycle.cache, k.cycle.Nodes = c, e.nodes
		e.uses++
		k.used = e.uses
	}
	return k
}

// stale says that more has changed than what happens on nodes.
func (k *class) stale(c *Cache, e *engine) bool {
	if k.counts && e.relabelled > k.clock {
		return true
	}
	if k.parts.interPod != nil && c.changes.namespaces > k.clock && k.asksNamespaces(c) {
		return true
	}
	if k.parts.spread != nil && len(k.pod.spread) == 0 && c.changes.owners > k.clock {
		return c.owners.defaultSelector(k.pod).String() != k.defaults.String()
	}
	return false
}

// asksNamespaces says that a change of some namespace may matter: it is the
// pod's own, or the pod's terms select namespaces by their labels.
func (k *class) asksNamespaces(c *Cache) bool {
	if !c.namespaces.get(k.pod.Namespace).Equal(k.namespace) {
		return true
	}
	for _, list := range [...][]affinityTerm{k.pod.required, k.pod.requiredAnti, k.pod.preferred, k.pod.preferredAnti} {
		for i := range list {
			if s := list[i].namespaces; !s.IsEverything() && !s.IsNothing() {
				return true
			}
		}
	}
	return false
}

func (e *engine) makeRoom(cells int) {
	for len(e.classes) > 0 && e.cells+cells > cellsMax {
		var oldest *class
		for _, k := range e.classes {
			if oldest == nil || k.used < oldest.used {
				oldest = k
			}
		}
		e.drop(oldest)
	}
}

func (e *engine) drop(k *class) {
	e.ownMaps()
	delete(e.classes, k.id)
	e.cells -= len(k.local)
}

// newClass looks at every node once.
func (e *engine) newClass(c *Cache, id classID, p *PodInfo) *class {
	n := len(e.nodes)
	k := &class{
		id: id, pod: p, parts: id.profile.parts, engine: e, mark: e.mark,
		cycle: Cycle{Pod: p, Nodes: e.nodes, cache: c, profile: id.profile},
		local: make([]localCause, n), base: make([]int64, n), taints: make([]int32, n), affinity: make([]int64, n),
		fits: newBitset(n), best: newBestNodes(n), groups: groups{of: make([]int32, n)},
	}
	if !k.prepare(c) {
		return nil
	}
	k.groups.reset(len(k.soft))
	k.quick = newQuick(k)
	for i, n := range e.nodes {
		k.static(int32(i), n)
		k.dynamic(int32(i), n)
		if k.counts {
			k.count(int32(i), n)
		}
	}
	k.nearMoved = len(k.near) > 0
	k.rateDomains()
	for i := range e.nodes {
		k.put(int32(i))
	}
	k.reconsider()
	k.clock, k.cursor = c.changes.clock, c.changes.written
	e.ownMaps()
	e.classes[id] = k
	e.cells += n
	return k
}

// prepare finds out what the class needs; false when its terms do not compile.
func (k *class) prepare(c *Cache) bool {
	p := k.parts
	if p.affinity != nil {
		v := p.affinity.PreScore(&k.cycle, nil)
		if v.Code == Failed {
			return false
		}
		k.scorePreferred = v.Code != Skip
	}
	if p.balanced != nil {
		v := p.balanced.PreScore(&k.cycle, nil)
		k.scoreBalanced = v.Code != Skip
	}
	if p.spread != nil && !k.prepareSpread(c) {
		return false
	}
	if p.interPod != nil {
		k.prepareInterPod()
	}
	return true
}

func (k *class) prepareSpread(c *Cache) bool {
	p := k.parts.spread
	if len(k.pod.spread) == 0 {
		k.defaults = c.owners.defaultSelector(k.pod)
	}
	k.strict = len(k.pod.spread) > 0 || !p.lenient
	hard, err := p.constraints(&k.cycle, nil, doNotSchedule)
	if err != nil {
		return false
	}
	soft, err := p.constraints(&k.cycle, nil, scheduleAnyway)
	if err != nil {
		return false
	}
	k.hard, k.soft = k.spreadCounters(hard), k.spreadCounters(soft)
	k.counts = k.counts || len(k.hard)+len(k.soft) > 0
	return true
}

func (k *class) spreadCounters(constraints []spreadConstraint) []spreadCounter {
	var out []spreadCounter
	for _, sc := range constraints {
		col := k.engine.column(sc.key)
		one := spreadCounter{
			counter: newCounter(col), constraint: sc,
			takesPart: make([]bool, len(k.local)), open: make([]int32, col.domains()),
		}
		if sc.pods.Matches(k.pod.Labels) {
			one.self = 1
		}
		out = append(out, one)
	}
	return out
}

func (k *class) prepareInterPod() {
	pl, p, c := k.parts.interPod, k.pod, &k.cycle
	k.counts = true
	k.namespace, _ = c.NamespaceLabels(p.Namespace)
	k.nearTerms, k.apartTerms = c.unroll(p.required, pl.fixed), c.unroll(p.requiredAnti, pl.fixed)
	for i := range k.nearTerms {
		k.near = append(k.near, newCounter(k.engine.column(k.nearTerms[i].key)))
	}
	for i := range k.apartTerms {
		k.apart = append(k.apart, newCounter(k.engine.column(k.apartTerms[i].key)))
	}
	k.prefers = hasPreferred(p.Pod)
	k.skipsInterPodScore = pl.ignoreExisting && !k.prefers
	k.attract, k.avoid = c.unroll(p.preferred, pl.fixed), c.unroll(p.preferredAnti, pl.fixed)
	k.bookedBy = make([]int32, len(k.local))
}
