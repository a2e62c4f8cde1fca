package proxyrules

// takenSet tells addresses that no service captures for certain from those
// that one may capture. Nothing is ever taken out: addresses that left the
// table stay in doubt.
type takenSet struct {
	// wide has a bit for each /16 of IPv4 with such an address. Backends are
	// hardly ever in one.
	wide [1 << 16 / 64]uint64
	// hashed has three bits for each address.
	hashed [1 << takenLog]uint64
}

const takenLog = 12

// near is false when no IPv4 address in the same /16 is in the set.
func (t *takenSet) near(ip uint32) bool { return t.wide[ip>>22]&(1<<(ip>>16&63)) != 0 }

// maybe is false when the address is not in the set.
func (t *takenSet) maybe(w words) bool {
	at, bits := takenBits(w)
	return t.hashed[at]&bits == bits
}

// has reports that adding the address would change nothing.
func (t *takenSet) has(w words) bool {
	return t.maybe(w) && (!w.is4() || t.near(uint32(w.lo)))
}

func (t *takenSet) add(w words) {
	at, bits := takenBits(w)
	t.hashed[at] |= bits
	if w.is4() {
		ip := uint32(w.lo)
		t.wide[ip>>22] |= 1 << (ip >> 16 & 63)
	}
}

// takenBits are the bits of an address in one of the words.
func takenBits(w words) (at int, bits uint64) {
	h := (w.hi ^ w.lo) * 0x9e3779b97f4a7c15
	return int(h >> (64 - takenLog)), 1<<(h>>20&63) | 1<<(h>>30&63) | 1<<(h>>40&63)
}
