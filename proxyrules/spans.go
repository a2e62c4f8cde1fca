package proxyrules

import (
	"encoding/binary"
	"slices"
)

// nftables' endpoint maps. kube-proxy gives every service an anonymous map,
// and the kernel's cost of one more of those grows with their number. Here
// backends of all services share a fixed number of named maps from an index
// to address and port:
//
//	numgen random mod N offset BASE map @endpoints-tcp-XX
//
// A single map will not do: adding an element costs the kernel one step per
// rule that uses the map. With endpointMaps of them both costs stay linear.
const endpointMaps = 256

// mapID names an endpoint map. Maps are kept apart by protocol, since nft
// does not print a map for "any port" so that it could read it again.
type mapID struct {
	protocol Protocol
	shard    uint8
}

func (m mapID) String() string { return string(m.appendTo(nil)) }

func (m mapID) appendTo(dst []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(append(dst, "endpoints-"...), m.protocol.String()...)
	return append(dst, '-', digits[m.shard>>4], digits[m.shard&15])
}

// index numbers the maps, protocol by protocol.
func (m mapID) index() int {
	return slices.Index(spanProtocols[:], m.protocol)*endpointMaps + int(m.shard)
}

var spanProtocols = [...]Protocol{TCP, UDP, SCTP}

func mapAt(index int) mapID {
	return mapID{spanProtocols[index/endpointMaps], uint8(index % endpointMaps)}
}

// span is the part of an endpoint map that a list of backends occupies:
// indexes base to base+n-1.
type span struct {
	id   mapID
	base uint32
	n    uint32
}

// spans are those of a policy's two lists; n is 0 where there is none.
type spans struct{ cluster, local span }

// placement is a list of backends in its place.
type placement struct {
	policy *Policy
	local  bool
	span   span
}

// compare orders by policy, cluster before local.
func (p *placement) compare(q *placement) int {
	if p.policy == q.policy {
		return cmpBool(p.local, q.local)
	}
	return cmpOr(p.policy.Key.compare(q.policy.Key), cmpBool(p.local, q.local))
}

func (p *placement) list() []Backend {
	if p.local {
		return p.policy.Local
	}
	return p.policy.Cluster
}

// spanTable says where each list of backends lies. It is never changed; an
// edit replaces the maps that it touches.
//
// Where a list lies follows from a hash of the service port, so that the
// services which exist decide about it and not the order in which they came.
// Lists that would overlap are moved up, in the order of their policies.
type spanTable struct {
	maps [len(spanProtocols) * endpointMaps]*[]placement // by policy, cluster before local
}

// at returns the lists of map i.
func (t *spanTable) at(i int) []placement {
	if t.maps[i] == nil {
		return nil
	}
	return *t.maps[i]
}

// wish says where a list of a policy would like to be. Bytes 10 and up of the
// hash are not a part of any name.
func (p *Policy) wish(local bool) span {
	list, at := p.Cluster, 10
	if local {
		list, at = p.Local, 16
	}
	if p.Affinity != 0 || len(list) == 0 {
		return span{} // affinity needs a chain per backend, and so no map
	}
	return span{
		id:   mapID{p.Key.Protocol, p.sum[at]},
		base: binary.BigEndian.Uint32(p.sum[at+1:]),
		n:    uint32(len(list)),
	}
}

// of finds the spans of a policy.
func (t *spanTable) of(p *Policy) spans {
	return spans{t.find(p, false), t.find(p, true)}
}

func (t *spanTable) find(p *Policy, local bool) span {
	w := p.wish(local)
	if w.n == 0 {
		return span{}
	}
	for i, list := 0, t.at(w.id.index()); i < len(list); i++ {
		if q := &list[i]; q.local == local && (q.policy == p || q.policy.sum == p.sum) {
			return q.span
		}
	}
	return span{}
}

// spanEdit makes a new table out of one that stays as it is.
type spanEdit struct {
	t        *spanTable
	owned    [len(spanProtocols) * endpointMaps]bool
	unplaced [len(spanProtocols) * endpointMaps]bool // its lists must be placed again
}

// edit returns the table after changes.
func (t *spanTable) edit(changes []change) *spanTable {
	e := &spanEdit{t: &spanTable{maps: t.maps}}
	for _, ch := range changes {
		for _, local := range []bool{false, true} {
			e.change(ch, local)
		}
	}
	for i := range e.unplaced {
		switch {
		case !e.unplaced[i]:
		case len(e.t.at(i)) == 0:
			e.t.maps[i] = nil
		default:
			place(e.t.at(i))
		}
	}
	return e.t
}

// own returns the lists of map i, copied if others can see them.
func (e *spanEdit) own(i int) *[]placement {
	if !e.owned[i] {
		list := slices.Clone(e.t.at(i))
		e.t.maps[i], e.owned[i] = &list, true
	}
	return e.t.maps[i]
}

func (e *spanEdit) change(ch change, local bool) {
	var before, after span
	if ch.old != nil {
		before = ch.old.wish(local)
	}
	if ch.new != nil {
		after = ch.new.wish(local)
	}
	if before.n > 0 {
		i := before.id.index()
		list := e.own(i)
		at := slices.IndexFunc(*list, func(q placement) bool { return q.policy == ch.old && q.local == local })
		if before == after { // as long as before: it stays where it is
			(*list)[at].policy = ch.new
			return
		}
		*list = slices.Delete(*list, at, at+1)
		e.unplaced[i] = true
	}
	if after.n > 0 {
		i := after.id.index()
		list := e.own(i)
		*list = append(*list, placement{policy: ch.new, local: local})
		e.unplaced[i] = true
	}
}

// place gives every list of one map its span.
func place(list []placement) {
	slices.SortFunc(list, func(a, b placement) int { return a.compare(&b) })
	taken := make([]span, 0, len(list)) // by base
	for i := range list {
		p := &list[i]
		s := p.policy.wish(p.local)
		if s.base > ^uint32(0)-s.n {
			s.base = 0
		}
		// The first span that ends after ours begins is where we must fit in.
		at, _ := slices.BinarySearchFunc(taken, s.base, func(u span, base uint32) int {
			if u.base+u.n <= base {
				return -1
			}
			return 1
		})
		for at < len(taken) && taken[at].base < s.base+s.n {
			s.base = taken[at].base + taken[at].n
			at++
			if s.base > ^uint32(0)-s.n {
				s.base, at = 0, 0
			}
		}
		taken = slices.Insert(taken, at, s)
		p.span = s
	}
}
