package resource

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The ways in which a text is not a quantity; a ParseError wraps one of them.
var (
	// ErrFormat is returned when the text as a whole has the wrong shape.
	ErrFormat = errors.New("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
	// ErrNumeric is returned when there is no number before the suffix.
	ErrNumeric = errors.New("unable to parse numeric part of quantity")
	// ErrSuffix is returned when the suffix is made of legal letters but is
	// not one of n u m k M G T P E Ki Mi Gi Ti Pi Ei or an exponent.
	ErrSuffix = errors.New("unable to parse quantity's suffix")
)

// A ParseError says which text is not a quantity and why.
type ParseError struct {
	Value string // the text as given
	Err   error  // ErrFormat, ErrNumeric, ErrSuffix or ErrRange
}

// Error quotes the text, shortened when it is long.
func (e *ParseError) Error() string {
	const longest = 64
	if len(e.Value) > longest {
		return fmt.Sprintf("parse quantity %q… (%d bytes): %v", e.Value[:longest], len(e.Value), e.Err)
	}
	return fmt.Sprintf("parse quantity %q: %v", e.Value, e.Err)
}

// Unwrap returns the reason, for errors.Is.
func (e *ParseError) Unwrap() error { return e.Err }

// MustParse is Parse for texts known to be good; it panics on others.
func MustParse(s string) Quantity {
	q, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return q
}

// Parse reads a quantity:
//
//	quantity = [ "+" | "-" ] number suffix .
//	number   = digits [ "." [ digits ] ] | "." [ digits ] | .
//	suffix   = "" | "n" | "u" | "m" | "k" | "M" | "G" | "T" | "P" | "E"
//	         | "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei"
//	         | ( "e" | "E" ) [ "+" | "-" ] digits .
//
// What is finer than a nano is rounded away from zero. A binary suffix caps
// the magnitude at 2^63-1. A number without digits is 0, as upstream has it
// (but an error before Pi, Ei and exponents below -9, also as upstream).
//
// Differs: beyond Min…Max the error is ErrRange, where upstream goes on (and,
// for exponents near 2^31, takes minutes or wraps around to another number).
func Parse(s string) (Quantity, error) {
	if q, ok := parseShort(s); ok {
		return q, nil
	}
	return parseLong(s)
}

// parseShort reads the common texts: up to 18 digits, at most nine of them
// after the point, and a suffix of letters. It leaves the rest, and all that
// is wrong, to parseLong.
func parseShort(s string) (Quantity, bool) {
	i := 0
	if len(s) > 0 && s[0] == '-' {
		i = 1
	}
	start := i
	digits := uint64(0)
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		digits = digits*10 + uint64(s[i]-'0')
	}
	if i == start {
		return Quantity{}, false
	}
	fraction := 0
	if i < len(s) && s[i] == '.' {
		first := i + 1
		for i = first; i < len(s) && s[i]-'0' <= 9; i++ {
			digits = digits*10 + uint64(s[i]-'0')
		}
		fraction = i - first
	}
	if i-start > 18 || fraction > 9 {
		return Quantity{}, false
	}
	var q Quantity
	switch suffix := s[i:]; {
	case len(suffix) == 0:
		q.n = wideProduct(digits, pow10[9-fraction])
	case len(suffix) == 1:
		exp := decimalShift(suffix[0]) - fraction
		if exp < 0 || exp >= len(pow10) {
			return Quantity{}, false
		}
		q.n = wideProduct(digits, pow10[exp])
	case len(suffix) == 2 && suffix[1] == 'i':
		shift := binaryShift(suffix[0])
		q.n = wideProduct(digits, pow10[9-fraction]).shl(shift)
		if shift == 0 || q.n.hi|q.n.mid>>28 != 0 || q.n.mid == 0 && q.n.lo < nanosPerUnit {
			return Quantity{}, false // unknown, or near a bound of binary suffixes
		}
		q.format = BinarySI
	default:
		return Quantity{}, false
	}
	if start > 0 {
		q.n = q.n.neg()
	}
	return q, true
}

// decimalShift returns the decimal places between a nano and a suffix, or a
// number too small for any fraction.
func decimalShift(suffix byte) int {
	switch suffix {
	case 'n':
		return 0
	case 'u':
		return 3
	case 'm':
		return 6
	case 'k':
		return 12
	case 'M':
		return 15
	case 'G':
		return 18
	}
	return -1
}

// binaryShift returns the power of two of a suffix's first letter, or 0.
func binaryShift(suffix byte) uint {
	switch suffix {
	case 'K':
		return 10
	case 'M':
		return 20
	case 'G':
		return 30
	case 'T':
		return 40
	case 'P':
		return 50
	}
	return 0
}

// parseLong is Parse in full, the plain form.
func parseLong(s string) (Quantity, error) {
	t, err := split(s)
	if err != nil {
		return Quantity{}, &ParseError{Value: s, Err: err}
	}
	var n wide
	switch {
	case t.suffix.format == BinarySI:
		n = t.binary()
		if n.hi|n.mid == 0 && n.lo < nanosPerUnit && n.lo > 0 {
			t.suffix.format = DecimalSI
		}
	default:
		if n, err = t.decimal(); err != nil {
			return Quantity{}, &ParseError{Value: s, Err: err}
		}
	}
	if t.negative {
		n = n.neg()
	}
	return Quantity{n: n, format: t.suffix.format}, nil
}

// number is a quantity's text taken apart.
type number struct {
	negative bool
	whole    string // digits before the point
	fraction string // digits after it
	suffix   suffix
}

// suffix is the factor that a suffix stands for: 10^exp10 · 2^exp2.
type suffix struct {
	exp10  int64
	exp2   uint
	format Format
}

func split(s string) (t number, err error) {
	if s == "" {
		return t, ErrFormat
	}
	i := 0
	if s[0] == '-' || s[0] == '+' {
		t.negative = s[0] == '-'
		i++
	}
	start := i
	for i < len(s) && s[i]-'0' <= 9 {
		i++
	}
	t.whole = s[start:i]
	if i < len(s) && s[i] == '.' {
		i++
		start = i
		for i < len(s) && s[i]-'0' <= 9 {
			i++
		}
		t.fraction = s[start:i]
	}
	if t.suffix, err = parseSuffix(s[i:]); err != nil {
		return t, err
	}
	if len(t.whole)+len(t.fraction) == 0 && (t.suffix.exp2 >= 50 || t.suffix.exp10 < -9) {
		return t, ErrNumeric
	}
	return t, nil
}

func parseSuffix(s string) (suffix, error) {
	if len(s) == 0 {
		return suffix{}, nil
	}
	if len(s) == 1 {
		if i := strings.IndexByte("num.kMGTPE", s[0]); i >= 0 && s[0] != '.' {
			return suffix{exp10: int64(i-3) * 3}, nil
		}
	}
	if len(s) == 2 && s[1] == 'i' {
		if i := strings.IndexByte("KMGTPE", s[0]); i >= 0 {
			return suffix{exp2: uint(i+1) * 10, format: BinarySI}, nil
		}
	}
	if rest := strings.TrimLeft(s, "eEinumkKMGTP"); rest != "" {
		if rest[0] == '-' || rest[0] == '+' {
			rest = rest[1:]
		}
		if strings.Trim(rest, "0123456789") != "" {
			return suffix{}, ErrFormat
		}
	}
	if len(s) > 1 && (s[0] == 'e' || s[0] == 'E') {
		exp, err := strconv.ParseInt(s[1:], 10, 64)
		if err == nil {
			return suffix{exp10: exp, format: DecimalExponent}, nil
		}
	}
	return suffix{}, ErrSuffix
}

// decimal returns the magnitude in nanos when the suffix is a power of ten, in
// time linear in the digits whatever the exponent: digits below a nano only
// decide the rounding.
func (t *number) decimal() (wide, error) {
	whole := strings.TrimLeft(t.whole, "0")
	fraction := t.fraction
	// The value is 0.whole·fraction · 10^point, in nanos.
	point := max(t.suffix.exp10, -math.MaxInt64/2) // keeps the sum from wrapping
	point = min(point, math.MaxInt64/2) + 9 + int64(len(whole))
	if whole == "" {
		trimmed := strings.TrimLeft(fraction, "0")
		point -= int64(len(fraction) - len(trimmed))
		fraction = trimmed
	}
	switch {
	case whole == "" && fraction == "":
		return wide{}, nil
	case point > 58: // 10^58 > 2^191
		return wide{}, ErrRange
	case point <= 0:
		return wide{lo: 1}, nil
	}
	var w wide
	ok := true
	kept := int(point)
	dropped := false
	for _, part := range [2]string{whole, fraction} {
		for i := 0; i < len(part); i++ {
			if kept == 0 {
				dropped = dropped || part[i] != '0'
				continue
			}
			if w, ok = w.mulAdd(10, uint64(part[i]-'0')); !ok {
				return wide{}, ErrRange
			}
			kept--
		}
	}
	if w, ok = w.mulPow10(kept); !ok {
		return wide{}, ErrRange
	}
	if dropped {
		if w, ok = w.add(wide{lo: 1}); !ok {
			return wide{}, ErrRange
		}
	}
	return w, nil
}

// binaryMax returns the largest magnitude that a binary suffix can express, in
// nanos.
func binaryMax() wide { return wideProduct(math.MaxInt64, nanosPerUnit) }

// binary returns the magnitude in nanos when the suffix is a power of two. The
// fraction is kept in limbs of nine decimal digits, the first of which counts
// nanos, and doubled in place. 72 digits are enough for any suffix: multiplied
// by 2^k, a number with 9+k fraction digits is a multiple of 5^-k nanos, and
// what the further digits add is less than that, so it matters only whether it
// is zero.
func (t *number) binary() wide {
	whole := strings.TrimLeft(t.whole, "0")
	if len(whole) > 18 {
		return binaryMax() // at least 10^18 · 2^10
	}
	var units uint64
	for i := 0; i < len(whole); i++ {
		units = units*10 + uint64(whole[i]-'0')
	}
	if units >= signBit>>t.suffix.exp2 {
		return binaryMax()
	}
	const limbs = 8
	var limb [limbs]uint64
	for i := range limbs * 9 {
		limb[i/9] *= 10
		if i < len(t.fraction) {
			limb[i/9] += uint64(t.fraction[i] - '0')
		}
	}
	up := len(t.fraction) > limbs*9 && strings.Trim(t.fraction[limbs*9:], "0") != ""
	for range t.suffix.exp2 / 10 {
		carry := uint64(0)
		for i := limbs - 1; i >= 0; i-- {
			v := limb[i]<<10 + carry
			limb[i], carry = v%nanosPerUnit, v/nanosPerUnit
		}
		units = units<<10 + carry
	}
	for _, v := range limb[1:] {
		up = up || v != 0
	}
	nanos := limb[0]
	if up {
		nanos++
	}
	w, _ := wideProduct(units, nanosPerUnit).add(wide{lo: nanos})
	if w.cmp(binaryMax()) > 0 {
		return binaryMax()
	}
	return w
}
