package resource

import (
	"errors"
	"math"
	"math/bits"
)

// A Quantity is an exact amount of a resource: a whole number of nanos in 192
// bits, with the notation in which it is printed. It is an immutable value
// without pointers: copy it, share it, use it as a map key. The zero value is
// 0 in DecimalSI.
//
// Two quantities are the same amount when Cmp says 0; == also compares the
// notation (1Ki and 1024 differ under ==).
type Quantity struct {
	n      wide
	format Format
}

// A Format is the notation in which a Quantity is printed.
type Format uint8

const (
	// DecimalSI prints powers of a thousand: 1500m, 12, 12M.
	DecimalSI Format = iota
	// BinarySI prints powers of 1024 (12Mi); amounts below 1024 in magnitude
	// and amounts with a fraction are printed as DecimalSI.
	BinarySI
	// DecimalExponent prints powers of a thousand as exponents: 12e6.
	DecimalExponent
)

// String returns the name that Kubernetes gives the format.
func (f Format) String() string {
	switch f {
	case BinarySI:
		return "BinarySI"
	case DecimalExponent:
		return "DecimalExponent"
	}
	return "DecimalSI"
}

// A Scale is a power of ten.
type Scale int8

// The scales that have a suffix.
const (
	Nano  Scale = -9
	Micro Scale = -6
	Milli Scale = -3
	Unit  Scale = 0
	Kilo  Scale = 3
	Mega  Scale = 6
	Giga  Scale = 9
	Tera  Scale = 12
	Peta  Scale = 15
	Exa   Scale = 18
)

const nanosPerUnit = 1_000_000_000

// Max returns the largest quantity, 2^191-1 nanos (about 3.1e48). Saturating
// arithmetic ends there.
func Max() Quantity { return Quantity{n: wideMax()} }

// Min returns the smallest quantity, the negative of Max.
func Min() Quantity { return Quantity{n: wideMin()} }

// ErrRange is returned (wrapped) when a number lies outside Min…Max.
var ErrRange = errors.New("quantity out of range: its magnitude must be below 2^191 nanos (about 3.1e48)")

// NewInt returns v in DecimalSI; WithFormat gives it another notation.
func NewInt(v int64) Quantity { return fromInt64(v, nanosPerUnit) }

// NewMilli returns v thousandths in DecimalSI.
func NewMilli(v int64) Quantity { return fromInt64(v, nanosPerUnit/1000) }

// NewScaled returns v·10^scale in DecimalSI. What is finer than a nano is
// rounded away from zero; what exceeds Max or Min is that bound.
func NewScaled(v int64, scale Scale) Quantity {
	q := fromInt64(v, 1)
	exp := int(scale) + 9
	if exp < 0 {
		return q.magnitude(func(w wide) (wide, bool) {
			w, _ = w.divUp(-exp)
			return w, true
		})
	}
	return q.magnitude(func(w wide) (wide, bool) { return w.mulPow10(exp) })
}

func fromInt64(v int64, nanos uint64) Quantity {
	if v < 0 {
		return Quantity{n: wideProduct(-uint64(v), nanos).neg()}
	}
	return Quantity{n: wideProduct(uint64(v), nanos)}
}

// magnitude applies f to |q| and gives the result q's sign and format;
// when f says false the result is Max or Min.
func (q Quantity) magnitude(f func(wide) (wide, bool)) Quantity {
	w, ok := f(q.n.abs())
	switch {
	case !ok && q.n.negative():
		w = wideMin()
	case !ok:
		w = wideMax()
	case q.n.negative():
		w = w.neg()
	}
	return Quantity{n: w, format: q.format}
}

// Format returns the notation in which q is printed.
func (q Quantity) Format() Format { return q.format }

// WithFormat returns the same amount in another notation.
func (q Quantity) WithFormat(f Format) Quantity {
	q.format = f
	return q
}

// IsZero reports whether q is 0. encoding/json's omitzero uses it.
func (q Quantity) IsZero() bool { return q.n.isZero() }

// Sign returns -1, 0 or 1.
func (q Quantity) Sign() int { return q.n.sign() }

// Cmp returns -1, 0 or 1 as q is less than, equal to or greater than y,
// whatever their notations.
func (q Quantity) Cmp(y Quantity) int { return q.n.cmp(y.n) }

// CmpInt compares q with a whole number.
func (q Quantity) CmpInt(y int64) int { return q.Cmp(NewInt(y)) }

// formatWith returns the notation of a sum: the receiver's, unless that is 0.
func (q Quantity) formatWith(y Quantity) Format {
	if q.n.isZero() {
		return y.format
	}
	return q.format
}

// Add returns q+y, or the bound that the exact sum exceeds. The notation is
// q's, or y's when q is 0.
func (q Quantity) Add(y Quantity) Quantity {
	n, ok := q.n.add(y.n)
	if !ok {
		n = saturated(q.n.negative())
	}
	return Quantity{n: n, format: q.formatWith(y)}
}

// Sub returns q-y, or the bound that the exact difference exceeds. The
// notation is q's, or y's when q is 0.
func (q Quantity) Sub(y Quantity) Quantity {
	n, ok := q.n.sub(y.n)
	if !ok {
		n = saturated(q.n.negative())
	}
	return Quantity{n: n, format: q.formatWith(y)}
}

func saturated(negative bool) wide {
	if negative {
		return wideMin()
	}
	return wideMax()
}

// CheckedAdd is Add that reports false instead of saturating.
func (q Quantity) CheckedAdd(y Quantity) (Quantity, bool) {
	n, ok := q.n.add(y.n)
	if !ok {
		return Quantity{}, false
	}
	return Quantity{n: n, format: q.formatWith(y)}, true
}

// CheckedSub is Sub that reports false instead of saturating.
func (q Quantity) CheckedSub(y Quantity) (Quantity, bool) {
	n, ok := q.n.sub(y.n)
	if !ok {
		return Quantity{}, false
	}
	return Quantity{n: n, format: q.formatWith(y)}, true
}

// Mul returns q·m, or the bound that the exact product exceeds.
func (q Quantity) Mul(m int64) Quantity {
	p, ok := q.CheckedMul(m)
	if !ok {
		return Quantity{n: saturated(q.n.negative() != (m < 0)), format: q.format}
	}
	return p
}

// CheckedMul is Mul that reports false instead of saturating.
func (q Quantity) CheckedMul(m int64) (Quantity, bool) {
	factor := uint64(m)
	if m < 0 {
		factor = -factor
	}
	w, ok := q.n.abs().mulAdd(factor, 0)
	if !ok {
		return Quantity{}, false
	}
	if q.n.negative() != (m < 0) {
		w = w.neg()
	}
	return Quantity{n: w, format: q.format}, true
}

// Neg returns -q.
func (q Quantity) Neg() Quantity {
	q.n = q.n.neg()
	return q
}

// Value returns q rounded away from zero to a whole number, or the int64
// bound that it exceeds.
//
// Differs: upstream wraps silently outside int64, and rounds some negative
// amounts towards +infinity (kubernetes#138510).
func (q Quantity) Value() int64 {
	v, _ := q.scaled(nanosPerUnit)
	return v
}

// CheckedValue is Value that also reports whether the result is not
// saturated (rounding does not count).
func (q Quantity) CheckedValue() (int64, bool) { return q.scaled(nanosPerUnit) }

// MilliValue returns q·1000 rounded away from zero to a whole number, or the
// int64 bound that it exceeds.
func (q Quantity) MilliValue() int64 {
	v, _ := q.scaled(nanosPerUnit / 1000)
	return v
}

// CheckedMilliValue is MilliValue that also reports whether the result is not
// saturated.
func (q Quantity) CheckedMilliValue() (int64, bool) { return q.scaled(nanosPerUnit / 1000) }

// scaled returns q in units of so many nanos.
func (q Quantity) scaled(unitNanos uint64) (int64, bool) {
	w := q.n.abs()
	if w.hi != 0 || w.mid >= unitNanos {
		return saturatedInt64(q.n.negative()), false
	}
	v, r := bits.Div64(w.mid, w.lo, unitNanos)
	if r != 0 && v != math.MaxUint64 {
		v++
	}
	return signedInt64(v, q.n.negative())
}

// ScaledValue returns q/10^scale rounded away from zero to a whole number, or
// the int64 bound that it exceeds.
func (q Quantity) ScaledValue(scale Scale) int64 {
	w, ok := q.n.abs(), true
	if exp := int(scale) + 9; exp >= 0 {
		w, _ = w.divUp(exp)
	} else {
		w, ok = w.mulPow10(-exp)
	}
	if !ok || w.hi|w.mid != 0 {
		return saturatedInt64(q.n.negative())
	}
	v, _ := signedInt64(w.lo, q.n.negative())
	return v
}

// RoundUp returns q rounded away from zero to a multiple of 10^scale, and
// whether it was one already.
func (q Quantity) RoundUp(scale Scale) (Quantity, bool) {
	exp := int(scale) + 9
	if exp <= 0 {
		return q, true
	}
	exact := true
	rounded := q.magnitude(func(w wide) (wide, bool) {
		w, exact = w.divUp(exp)
		return w.mulPow10(exp)
	})
	if exact {
		return q, true
	}
	return rounded, false
}

// Float64 returns the float64 nearest to q, for charts and logs. It is not
// exact: decisions compare quantities, not floats.
func (q Quantity) Float64() float64 {
	w := q.n.abs()
	f := (float64(w.hi)*0x1p128 + float64(w.mid)*0x1p64 + float64(w.lo)) / nanosPerUnit
	if q.n.negative() {
		return -f
	}
	return f
}

func saturatedInt64(negative bool) int64 {
	if negative {
		return math.MinInt64
	}
	return math.MaxInt64
}

func signedInt64(magnitude uint64, negative bool) (int64, bool) {
	switch {
	case negative && magnitude > signBit, !negative && magnitude >= signBit:
		return saturatedInt64(negative), false
	case negative:
		return -int64(magnitude), true
	}
	return int64(magnitude), true
}
