package resource

import "math/bits"

// wide is a 192-bit two's complement integer, most significant word first.
// Invariant: it is never -2^191, so that every wide has a negative. Where a function says "magnitude" it reads the same words as unsigned; a
// magnitude whose top bit is set does not fit a signed wide.
//
// 192 bits rather than 128: with a fixed unit of one nano, 128 bits would end
// at 1.7e29, below numbers such as 9223372036854775807E that Kubernetes
// accepts. A third word costs one more add with carry.
type wide struct {
	hi, mid, lo uint64
}

const signBit = 1 << 63

// wideMax returns 2^191-1.
func wideMax() wide { return wide{hi: signBit - 1, mid: ^uint64(0), lo: ^uint64(0)} }

// wideMin returns -(2^191-1).
func wideMin() wide { return wide{hi: signBit, lo: 1} }

// pow10 holds every power of ten that fits a uint64.
var pow10 = [20]uint64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// wideProduct returns a·b.
func wideProduct(a, b uint64) wide {
	mid, lo := bits.Mul64(a, b)
	return wide{mid: mid, lo: lo}
}

func (w wide) negative() bool { return int64(w.hi) < 0 }

func (w wide) isZero() bool { return w.hi|w.mid|w.lo == 0 }

func (w wide) sign() int {
	switch {
	case w.negative():
		return -1
	case w.isZero():
		return 0
	}
	return 1
}

func (w wide) neg() wide {
	lo, borrow := bits.Sub64(0, w.lo, 0)
	mid, borrow := bits.Sub64(0, w.mid, borrow)
	hi, _ := bits.Sub64(0, w.hi, borrow)
	return wide{hi, mid, lo}
}

// abs returns the magnitude of w.
func (w wide) abs() wide {
	if w.negative() {
		return w.neg()
	}
	return w
}

// add returns w+x and whether it is in range.
func (w wide) add(x wide) (wide, bool) {
	lo, carry := bits.Add64(w.lo, x.lo, 0)
	mid, carry := bits.Add64(w.mid, x.mid, carry)
	hi, _ := bits.Add64(w.hi, x.hi, carry)
	// Overflow iff both operands have the sign that the sum has not.
	return wide{hi, mid, lo}, int64((w.hi^hi)&(x.hi^hi)) >= 0 && (hi != signBit || mid|lo != 0)
}

// sub returns w-x and whether it is in range.
func (w wide) sub(x wide) (wide, bool) {
	lo, borrow := bits.Sub64(w.lo, x.lo, 0)
	mid, borrow := bits.Sub64(w.mid, x.mid, borrow)
	hi, _ := bits.Sub64(w.hi, x.hi, borrow)
	return wide{hi, mid, lo}, int64((w.hi^x.hi)&(w.hi^hi)) >= 0 && (hi != signBit || mid|lo != 0)
}

// cmp orders w and x as signed numbers.
func (w wide) cmp(x wide) int {
	switch {
	case w.hi != x.hi:
		if int64(w.hi) < int64(x.hi) {
			return -1
		}
		return 1
	case w.mid != x.mid:
		if w.mid < x.mid {
			return -1
		}
		return 1
	case w.lo != x.lo:
		if w.lo < x.lo {
			return -1
		}
		return 1
	}
	return 0
}

// mulAdd returns the magnitude w·m + a and whether it fits a signed wide.
func (w wide) mulAdd(m, a uint64) (wide, bool) {
	carry, lo := bits.Mul64(w.lo, m)
	lo, c := bits.Add64(lo, a, 0)
	carry += c // no overflow: the high word of a product is at most 2^64-2
	carry2, mid := bits.Mul64(w.mid, m)
	mid, c = bits.Add64(mid, carry, 0)
	carry2 += c
	over, hi := bits.Mul64(w.hi, m)
	hi, c = bits.Add64(hi, carry2, 0)
	return wide{hi, mid, lo}, over == 0 && c == 0 && hi < signBit
}

// mulPow10 returns the magnitude w·10^exp and whether it fits a signed wide.
func (w wide) mulPow10(exp int) (wide, bool) {
	for ok := true; ; {
		step := min(exp, len(pow10)-1)
		if w, ok = w.mulAdd(pow10[step], 0); !ok {
			return wide{}, false
		}
		if exp -= step; exp == 0 {
			return w, true
		}
	}
}

// div returns quotient and remainder of the magnitude w by d, which is not 0.
func (w wide) div(d uint64) (wide, uint64) {
	var q wide
	var r uint64
	q.hi, r = w.hi/d, w.hi%d
	q.mid, r = bits.Div64(r, w.mid, d)
	q.lo, r = bits.Div64(r, w.lo, d)
	return q, r
}

// divUp returns the magnitude w divided by 10^exp, rounded up, and whether
// nothing was lost.
func (w wide) divUp(exp int) (wide, bool) {
	exact := true
	for exp > 0 && !w.isZero() {
		step := min(exp, len(pow10)-1)
		var r uint64
		w, r = w.div(pow10[step])
		exact = exact && r == 0
		exp -= step
	}
	if !exact {
		w, _ = w.add(wide{lo: 1})
	}
	return w, exact
}

// shl returns w<<k for 0 < k < 64; the caller knows that nothing is lost.
func (w wide) shl(k uint) wide {
	return wide{w.hi<<k | w.mid>>(64-k), w.mid<<k | w.lo>>(64-k), w.lo << k}
}

// shr returns the magnitude w>>k for 0 <= k < 64.
func (w wide) shr(k uint) wide {
	if k == 0 {
		return w
	}
	return wide{w.hi >> k, w.mid>>k | w.hi<<(64-k), w.lo>>k | w.mid<<(64-k)}
}
