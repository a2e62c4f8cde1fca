package proxyrules

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// directTable is the short way of Lookup, for nearly all flows there are: IPv4
// to a ClusterIP that is nothing else and has backends. A flow finds its
// service in one cache line and its backend in another. Whatever is not
// certain to be that simple goes the long way.
//
// It is cut into shards that are rebuilt where a service changed, and it is
// never changed itself.
type directTable struct {
	seed   uint64 // as of table
	shards [directShards]directShard
}

const directShards = 256

type directShard struct {
	slots []directSlot // by hash, two fifths of them in use; open addressing
	hops  []hop        // backends of all slots
}

// directSlot is a ClusterIP with a port: half a cache line.
type directSlot struct {
	key      directKey
	policy   *Policy
	first, n uint32 // its backends in hops
	_        uint64
}

// directKey is address, port and protocol. No key is 0.
type directKey uint64

func directKeyOf(a netip.Addr, port uint16, p Protocol) directKey {
	return directKey(ipv4(a))<<32 | directKey(port)<<16 | directKey(p)<<8 | 1
}

func (k directKey) tableKey() tableKey {
	return tableKey{words{0, mapped4 | uint64(k>>32)}, portProtocol(uint16(k>>16), Protocol(k>>8))}
}

// hop is a backend: address, port, and whether a flow to it must go the long
// way, because filters look at its address for what it is.
type hop uint64

const hopWatched hop = 1

func (n *node) hop(b *Backend) hop {
	h := hop(ipv4(b.Address.Addr()))<<32 | hop(b.Address.Port())<<16
	if n.watches(wordsOf(b.Address.Addr())) {
		h |= hopWatched
	}
	return h
}

func (h hop) ipv4() uint32 { return uint32(h >> 32) }

func (h hop) addrPort() netip.AddrPort {
	a := netip.AddrFrom4([4]byte{byte(h >> 56), byte(h >> 48), byte(h >> 40), byte(h >> 32)})
	return netip.AddrPortFrom(a, uint16(h>>16))
}

func ipv4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// hash folds a product, which depends on all bits of the key and the seed.
func (d *directTable) hash(k directKey) uint64 {
	hi, lo := bits.Mul64(uint64(k)^d.seed, 0x9e3779b97f4a7c15)
	return hi ^ lo
}

// home is where the search for a hash begins; its low bits choose the shard.
func home(h uint64, slots int) uint { return uint(h >> 32 * uint64(slots) >> 32) }

// pick returns the backend that random chooses among those of a key.
func (d *directTable) pick(k directKey, random uint32) (hop, *Policy) {
	h := d.hash(k)
	s := &d.shards[h%directShards]
	i := home(h, len(s.slots))
	for range s.slots {
		at := &s.slots[i]
		if at.key == k {
			return s.hops[at.first+uint32(scale(random, int(at.n)))], at.policy
		}
		if at.key == 0 {
			break
		}
		if i++; i == uint(len(s.slots)) {
			i = 0
		}
	}
	return 0, nil
}

// directChange is a key that a policy has now; it may have had another one,
// or none, before.
type directChange struct {
	key    directKey
	shard  uint8
	policy *Policy // nil: none
}

// edit returns the table after changes of different keys.
func (d *directTable) edit(n *node, changes []directChange) *directTable {
	out := *d
	for i := range changes {
		changes[i].shard = uint8(d.hash(changes[i].key) % directShards)
	}
	slices.SortFunc(changes, func(a, b directChange) int {
		return cmp.Or(cmp.Compare(a.shard, b.shard), cmp.Compare(a.key, b.key))
	})
	for len(changes) > 0 {
		i := changes[0].shard
		end := 1
		for end < len(changes) && changes[end].shard == i {
			end++
		}
		out.shards[i] = d.rebuild(&d.shards[i], n, changes[:end])
		changes = changes[end:]
	}
	return &out
}

// rebuild makes a shard out of its last version and the changes to it.
func (d *directTable) rebuild(s *directShard, n *node, changes []directChange) directShard {
	keys, hops := 0, len(s.hops)
	for i := range s.slots {
		if s.slots[i].key != 0 {
			keys++
		}
	}
	for _, ch := range changes {
		if ch.policy != nil {
			keys++
			hops += len(ch.policy.internal())
		}
	}
	out := directShard{slots: make([]directSlot, keys*5/2), hops: make([]hop, 0, hops)}
	for i := range s.slots {
		at := s.slots[i]
		_, changed := slices.BinarySearchFunc(changes, at.key, func(ch directChange, k directKey) int { return cmp.Compare(ch.key, k) })
		if at.key == 0 || changed {
			continue
		}
		kept := s.hops[at.first : at.first+at.n]
		at.first = uint32(len(out.hops))
		out.hops = append(out.hops, kept...)
		out.place(at, d.hash(at.key))
	}
	for _, ch := range changes {
		if ch.policy == nil {
			continue
		}
		list := ch.policy.internal()
		at := directSlot{key: ch.key, policy: ch.policy, first: uint32(len(out.hops)), n: uint32(len(list))}
		for i := range list {
			out.hops = append(out.hops, n.hop(&list[i]))
		}
		out.place(at, d.hash(at.key))
	}
	return out
}

// place puts a slot into the first free one from its home on.
func (s *directShard) place(at directSlot, hash uint64) {
	i := home(hash, len(s.slots))
	for s.slots[i].key != 0 {
		if i++; i == uint(len(s.slots)) {
			i = 0
		}
	}
	s.slots[i] = at
}
