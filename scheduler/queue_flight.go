package scheduler

// eventsInFlightMax bounds the log of events that pods in flight may need. A
// pod for which older ones are lost is tried again after its backoff.
const eventsInFlightMax = 1 << 16

// flight is one attempt to place a pod.
type flight struct {
	id     podID
	latest *PodInfo // the pod as it was last seen
	from   uint64   // the first event that came after the attempt began
	gone   bool     // the pod was deleted
	// older and newer are the flights that began before and after this one.
	older, newer *flight
}

// flightLog holds the attempts under way and the events since the oldest of
// them began.
//
//	events   e5 e6 e7 e8 e9
//	          ▲        ▲          flights in order of their beginning
//	          a        b          a ends: e5 to e7 are dropped
type flightLog struct {
	byID map[podID]*flight
	// oldest and newest are the ends of the list of flights.
	oldest, newest *flight

	events []*Event
	base   uint64 // number of events[0]
	count  uint64 // number of the next event
}

func (l *flightLog) find(id podID) *flight { return l.byID[id] }

// named returns the flights of all pods that have the name.
func (l *flightLog) named(key podKey) []*flight {
	var list []*flight
	for f := l.oldest; f != nil; f = f.newer {
		if f.id.podKey == key {
			list = append(list, f)
		}
	}
	return list
}

// begin notes that an attempt begins; false when the pod is in flight already.
func (l *flightLog) begin(p *QueuedPod) bool {
	id := p.Pod.id()
	if l.byID[id] != nil {
		return false
	}
	f := &flight{id: id, latest: p.Pod, from: l.count, older: l.newest}
	if l.newest != nil {
		l.newest.newer = f
	} else {
		l.oldest = f
	}
	l.newest = f
	if l.byID == nil {
		l.byID = make(map[podID]*flight)
	}
	l.byID[id] = f
	return true
}

// end forgets an attempt, and the events that only it could need.
func (l *flightLog) end(id podID) {
	f := l.byID[id]
	if f == nil {
		return
	}
	delete(l.byID, id)
	if f.older != nil {
		f.older.newer = f.newer
	} else {
		l.oldest = f.newer
	}
	if f.newer != nil {
		f.newer.older = f.older
	} else {
		l.newest = f.older
	}
	keep := l.count
	if l.oldest != nil {
		keep = l.oldest.from
	}
	l.dropBefore(keep)
}

// dropBefore drops the events before number n. The array is given up once it is
// mostly empty, so that a burst does not stay in memory.
func (l *flightLog) dropBefore(n uint64) {
	if n <= l.base {
		return
	}
	gone := int(n - l.base)
	clear(l.events[:gone])
	l.events = l.events[gone:]
	l.base = n
	switch {
	case len(l.events) == 0:
		l.events = nil
	case cap(l.events) > 64 && len(l.events) < cap(l.events)/4:
		l.events = append(make([]*Event, 0, 2*len(l.events)), l.events...)
	}
}

// recordForAll keeps an event if there is an attempt that may need it.
func (l *flightLog) recordForAll(e *Event) {
	if len(l.byID) > 0 {
		l.record(e)
	}
}

func (l *flightLog) record(e *Event) {
	if len(l.events) == eventsInFlightMax {
		l.dropBefore(l.base + eventsInFlightMax/2)
	}
	kept := *e
	l.events = append(l.events, &kept)
	l.count++
}

// since returns the events after an attempt began; complete is false when some
// were lost.
func (l *flightLog) since(f *flight) (events []*Event, complete bool) {
	if f.from < l.base {
		return l.events, false
	}
	return l.events[f.from-l.base:], true
}
