package proxyrules

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
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

func (m mapID) String() string { return fmt.Sprintf("endpoints-%s-%02x", m.protocol, m.shard) }

func (m mapID) compare(o mapID) int {
	return cmpOr(int(m.protocol)-int(o.protocol), int(m.shard)-int(o.shard))
}

// span is the part of an endpoint map that a list of backends occupies:
// indexes base to base+n-1.
type span struct {
	id   mapID
	base uint32
	n    uint32
}

// assignSpans gives each list of backends its span. Where it lies follows
// from a hash of the service port, so that the services which exist decide
// about it and not the order in which they came; lists that would overlap
// are moved up, in the order of the policies.
func assignSpans(policies []*Policy) map[*Policy]spans {
	out := make(map[*Policy]spans, len(policies))
	taken := map[mapID][]span{}
	for _, p := range policies {
		if p.Affinity != 0 {
			continue
		}
		out[p] = spans{
			cluster: place(taken, p.Key, "cluster", len(p.Cluster)),
			local:   place(taken, p.Key, "local", len(p.Local)),
		}
	}
	return out
}

type spans struct{ cluster, local span }

func place(taken map[mapID][]span, k PortKey, list string, n int) span {
	if n == 0 {
		return span{}
	}
	sum := sha256.Sum256([]byte(list + " " + k.Protocol.String() + " " + k.String()))
	s := span{id: mapID{k.Protocol, sum[0]}, base: binary.BigEndian.Uint32(sum[1:]), n: uint32(n)}
	used := taken[s.id]
	if s.base > ^uint32(0)-s.n {
		s.base = 0
	}
	// The first span that ends after ours begins is where we must fit in.
	i, _ := slices.BinarySearchFunc(used, s.base, func(u span, base uint32) int {
		if u.base+u.n <= base {
			return -1
		}
		return 1
	})
	for i < len(used) && used[i].base < s.base+s.n {
		s.base = used[i].base + used[i].n
		i++
		if s.base > ^uint32(0)-s.n {
			s.base, i = 0, 0
		}
	}
	taken[s.id] = slices.Insert(used, i, s)
	return s
}
