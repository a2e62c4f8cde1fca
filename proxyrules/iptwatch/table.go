package iptwatch

import (
	"encoding/binary"
	"errors"
	"hash"
)

var errTable = errors.New("iptwatch: the kernel's rules are not as it says they are")

// layout is where things are in the rules of a family, in bytes: struct
// ipt_entry and ip6t_entry of linux/netfilter_ipv4/ip_tables.h and
// netfilter_ipv6/ip6_tables.h.
type layout struct {
	nextOffset int // of the rule behind: 16 bits
	comeFrom   int // 32 bits that the kernel notes for itself
	counters   int // packets and bytes: 128 bits, and the end of the header
}

var (
	layout4 = layout{nextOffset: 90, comeFrom: 92, counters: 96}
	layout6 = layout{nextOffset: 142, comeFrom: 144, counters: 152}
)

const countersSize = 16

// sum hashes rules without what changes by itself.
func (l layout) sum(h hash.Hash, rules []byte) error {
	header := l.counters + countersSize
	for len(rules) > 0 {
		if len(rules) < header {
			return errTable
		}
		size := int(binary.NativeEndian.Uint16(rules[l.nextOffset:]))
		if size < header || size > len(rules) {
			return errTable
		}
		h.Write(rules[:l.comeFrom])
		h.Write(rules[header:size])
		rules = rules[size:]
	}
	return nil
}
