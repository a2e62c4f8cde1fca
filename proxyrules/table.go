package proxyrules

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"slices"
)

// kindSet holds one bit for each FrontendKind.
type kindSet uint8

func (s kindSet) has(k FrontendKind) bool { return s&(1<<k) != 0 }

// onlyClusterIP: nothing from outside leads here.
func (s kindSet) onlyClusterIP() bool { return s == 1<<ClusterIPFrontend }

// words are an address as two numbers; an IPv4 address is the IPv6 address
// that it is mapped to.
type words struct{ hi, lo uint64 }

func wordsOf(a netip.Addr) words {
	if a.Is4() { // As16 costs four times as much
		b := a.As4()
		return words{0, mapped4 | uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return words{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

const mapped4 = 0xffff << 32

func (w words) is4() bool { return w.hi == 0 && w.lo>>32 == mapped4>>32 }

// addr is the address; an IPv4 address if it is mapped.
func (w words) addr() netip.Addr {
	if w.is4() {
		return netip.AddrFrom4([4]byte{byte(w.lo >> 24), byte(w.lo >> 16), byte(w.lo >> 8), byte(w.lo)})
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], w.hi)
	binary.BigEndian.PutUint64(b[8:], w.lo)
	return netip.AddrFrom16(b)
}

// wordRange is a CIDR range over words.
type wordRange struct{ base, mask words }

func wordRangeOf(p netip.Prefix) wordRange {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	r := wordRange{base: wordsOf(p.Addr())}
	r.mask.hi = ^(^uint64(0) >> min(bits, 64))
	r.mask.lo = ^(^uint64(0) >> max(bits-64, 0))
	return r
}

func (r *wordRange) contains(w words) bool {
	return w.hi&r.mask.hi == r.base.hi && w.lo&r.mask.lo == r.base.lo
}

// tableKey is an address with a use: a frontend, a cluster IP as such, or a
// local backend.
type tableKey struct {
	words
	use uint32 // port<<8 | protocol, with one of the bits below
}

const (
	useClusterIP = 1 << 31 // the address is some Service's cluster IP
	useHairpin   = 1 << 30 // a backend on this node
	useNodePort  = 1 << 29 // no address: a node port
	useHealth    = 1 << 28 // no address: a health check node port
)

func portProtocol(port uint16, p Protocol) uint32 { return uint32(port)<<8 | uint32(p) }

func addressKey(a netip.Addr, use uint32) tableKey { return tableKey{wordsOf(a), use} }

func nodePortKey(port uint16, p Protocol) tableKey {
	return tableKey{use: useNodePort | portProtocol(port, p)}
}

// entry is what is known about a key: for frontends the policy that holds it
// and the fields that name it, for the other uses how many policies share it.
type entry struct {
	key    tableKey
	count  uint32 // 0: the slot is free
	policy *Policy
	kinds  kindSet
}

// table maps keys to entries, by open addressing in shards. It is never
// changed: a tableEdit copies the shards that it touches, so that one changed
// service costs a shard or two and readers need no lock.
type table struct {
	seed   uint64
	shards [tableShards]*tableShard // nil: empty
	taken  *takenSet
	direct *directTable
}

const tableShards = 512

type tableShard struct {
	slots []entry // a power of two, at most three quarters in use
	used  int
}

// hash mixes a key with the seed, which keeps those who choose addresses
// from choosing collisions.
func (t *table) hash(k tableKey) uint64 {
	h := (k.lo ^ t.seed) * 0x9e3779b97f4a7c15
	h = (bits.RotateLeft64(h, 32) ^ k.hi ^ uint64(k.use)<<33) * 0xd6e8feb86659fd93
	return h ^ h>>32
}

func (t *table) find(k tableKey) *entry {
	h := t.hash(k)
	s := t.shards[h%tableShards]
	if s == nil {
		return nil
	}
	slots := s.slots
	mask := uint64(len(slots) - 1)
	for i := h / tableShards; ; i++ {
		e := &slots[i&mask]
		if e.count == 0 {
			return nil
		}
		if e.key == k {
			return e
		}
	}
}

func (t *table) has(k tableKey) bool { return t.find(k) != nil }

// at finds what captures an address.
func (t *table) at(a netip.Addr, port uint16, p Protocol) *entry {
	return t.find(addressKey(a, portProtocol(port, p)))
}

func (t *table) nodePort(port uint16, p Protocol) *Policy {
	if e := t.find(nodePortKey(port, p)); e != nil {
		return e.policy
	}
	return nil
}

func (t *table) isClusterIP(a netip.Addr) bool { return t.has(addressKey(a, useClusterIP)) }

func hairpinKey(b *Backend, p Protocol) tableKey {
	return addressKey(b.Address.Addr(), useHairpin|portProtocol(b.Address.Port(), p))
}

// tableEdit makes a new table out of one that stays as it is.
type tableEdit struct {
	n      *node
	t      table
	owned  [tableShards]bool
	taken  bool
	direct []directKey // that may have changed
}

func newTable() *table {
	seed := maphash.Comparable(maphash.MakeSeed(), 0)
	return &table{seed: seed, taken: new(takenSet), direct: &directTable{seed: seed}}
}

func (t *table) edit(n *node) *tableEdit { return &tableEdit{n: n, t: *t} }

// expect makes room for n keys in an empty table.
func (e *tableEdit) expect(n int) {
	size := 8
	for size*tableShards*5/8 < n {
		size *= 2
	}
	for i := range e.t.shards {
		e.t.shards[i] = &tableShard{slots: make([]entry, size)}
		e.owned[i] = true
	}
}

func (e *tableEdit) done() *table {
	if len(e.direct) > 0 {
		e.t.direct = e.t.direct.edit(e.n, e.directChanges())
	}
	return &e.t
}

// directChanges tells which policies the touched keys lead to now.
func (e *tableEdit) directChanges() []directChange {
	slices.Sort(e.direct)
	out := make([]directChange, 0, len(e.direct))
	for _, k := range slices.Compact(e.direct) {
		ch := directChange{key: k}
		if c := e.t.find(k.tableKey()); c != nil && c.kinds.onlyClusterIP() && len(c.policy.internal()) > 0 {
			ch.policy = c.policy
		}
		out = append(out, ch)
	}
	return out
}

// own returns the shard of a hash, copied if others can see it.
func (e *tableEdit) own(h uint64) *tableShard {
	i := h % tableShards
	switch s := e.t.shards[i]; {
	case s == nil:
		e.t.shards[i] = &tableShard{slots: make([]entry, 8)}
	case !e.owned[i]:
		e.t.shards[i] = &tableShard{slots: slices.Clone(s.slots), used: s.used}
	}
	e.owned[i] = true
	return e.t.shards[i]
}

// slot returns the entry of a key, which it makes if need be.
func (e *tableEdit) slot(k tableKey) *entry {
	h := e.t.hash(k)
	s := e.own(h)
	if 4*(s.used+1) > 3*len(s.slots) {
		e.resize(s, 2*len(s.slots))
	}
	at := s.free(h, k)
	if at.count == 0 {
		*at = entry{key: k}
		s.used++
	}
	return at
}

// free finds the slot of a key, or the one where it belongs.
func (s *tableShard) free(h uint64, k tableKey) *entry {
	mask := uint64(len(s.slots) - 1)
	for i := h / tableShards; ; i++ {
		if at := &s.slots[i&mask]; at.count == 0 || at.key == k {
			return at
		}
	}
}

func (e *tableEdit) resize(s *tableShard, n int) {
	old := s.slots
	s.slots = make([]entry, n)
	for i := range old {
		if old[i].count > 0 {
			*s.free(e.t.hash(old[i].key), old[i].key) = old[i]
		}
	}
}

// release takes one use of a key back.
func (e *tableEdit) release(k tableKey) {
	h := e.t.hash(k)
	s := e.own(h)
	if at := s.free(h, k); at.count > 1 {
		at.count--
		return
	}
	s.used--
	e.close(s, h, k)
}

// close removes a key and moves up what would not be found behind the gap.
func (e *tableEdit) close(s *tableShard, h uint64, k tableKey) {
	mask := uint64(len(s.slots) - 1)
	gap := h / tableShards & mask
	for s.slots[gap].key != k {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; s.slots[i].count > 0; i = (i + 1) & mask {
		home := e.t.hash(s.slots[i].key) / tableShards & mask
		if (i-home)&mask >= (i-gap)&mask {
			s.slots[gap] = s.slots[i]
			gap = i
		}
	}
	s.slots[gap] = entry{}
}

// take marks an address as one that the table has.
func (e *tableEdit) take(addr netip.Addr) {
	w := wordsOf(addr)
	if e.t.taken.has(w) {
		return
	}
	if !e.taken {
		c := *e.t.taken
		e.t.taken, e.taken = &c, true
	}
	e.t.taken.add(w)
}

// keys calls do for every key that a policy uses; kinds is 0 for those that
// policies share.
func (p *Policy) keys(do func(k tableKey, kinds kindSet)) {
	for k, kinds := range p.captures() {
		if kinds.has(NodePortFrontend) {
			do(nodePortKey(k.port, k.protocol), kinds)
		} else {
			do(addressKey(k.addr, portProtocol(k.port, k.protocol)), kinds)
		}
	}
	do(addressKey(p.ClusterIP, useClusterIP), 0)
	if p.HealthCheckNodePort != 0 {
		do(tableKey{use: useHealth | uint32(p.HealthCheckNodePort)}, 0)
	}
	for i := range p.Reachable {
		if b := &p.Reachable[i]; b.Local {
			do(hairpinKey(b, p.Key.Protocol), 0)
		}
	}
}

// common are the keys that both versions of a policy share with others: most
// changes leave all of those alone, and then their shards need no copy.
func (ch change) common() map[tableKey]bool {
	if ch.old == nil || ch.new == nil {
		return nil
	}
	before, both := map[tableKey]bool{}, map[tableKey]bool{}
	ch.old.keys(func(k tableKey, kinds kindSet) {
		if kinds == 0 {
			before[k] = true
		}
	})
	ch.new.keys(func(k tableKey, kinds kindSet) {
		if kinds == 0 && before[k] {
			both[k] = true
		}
	})
	return both
}

// add enters a policy, but for some keys. A key that passes from one policy
// to another is added for the new one before it is removed for the old one.
func (e *tableEdit) add(p *Policy, except map[tableKey]bool) {
	p.keys(func(k tableKey, kinds kindSet) {
		if except[k] {
			return
		}
		at := e.slot(k)
		at.count++
		if kinds != 0 {
			at.policy, at.kinds = p, kinds
		}
	})
	for f := range p.eachFrontend {
		if f.Kind != NodePortFrontend {
			e.take(f.Address)
		}
	}
	e.touch(p)
}

// touch notes that what the ClusterIP of a policy leads to may change.
func (e *tableEdit) touch(p *Policy) {
	if e.n.family == IPv4 {
		e.direct = append(e.direct, directKeyOf(p.ClusterIP, p.Port, p.Key.Protocol))
	}
}

func (e *tableEdit) remove(p *Policy, except map[tableKey]bool) {
	p.keys(func(k tableKey, _ kindSet) {
		if !except[k] {
			e.release(k)
		}
	})
	e.touch(p)
}
