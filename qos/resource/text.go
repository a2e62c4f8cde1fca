package resource

import (
	"bytes"
	"math/bits"
	"strconv"
)

// String returns q in canonical form.
func (q Quantity) String() string {
	if q.short() {
		var buf [shortSize]byte
		return string(buf[q.formatShort(&buf):])
	}
	var buf [80]byte
	return string(q.appendLong(buf[:0]))
}

// AppendText appends q in canonical form. It implements
// encoding.TextAppender and never fails.
func (q Quantity) AppendText(dst []byte) ([]byte, error) { return q.appendCanonical(dst), nil }

// MarshalText implements encoding.TextMarshaler.
func (q Quantity) MarshalText() ([]byte, error) { return q.appendCanonical(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler, so that a flag can hold
// a Quantity.
func (q *Quantity) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err == nil {
		*q = parsed
	}
	return err
}

// MarshalJSON returns the canonical form as a JSON string.
func (q Quantity) MarshalJSON() ([]byte, error) {
	dst := make([]byte, 1, 24)
	dst[0] = '"'
	return append(q.appendCanonical(dst), '"'), nil
}

// UnmarshalJSON reads a JSON string or number; null is 0. Spaces around the
// quantity inside the string are allowed, escapes are not (as upstream).
func (q *Quantity) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*q = Quantity{}
		return nil
	}
	if n := len(data); n >= 2 && data[0] == '"' && data[n-1] == '"' {
		data = data[1 : n-1]
	}
	parsed, err := Parse(string(bytes.TrimSpace(data)))
	if err == nil {
		*q = parsed
	}
	return err
}

// appendCanonical appends the one text that stands for q in its notation:
// the mantissa is whole and as short as the suffixes allow.
//
// Differs: upstream prints back some texts as they were parsed (1., +1, 1E3,
// 1.500), and loses the factor above E (1000E prints as 1).
func (q Quantity) appendCanonical(dst []byte) []byte {
	if q.short() {
		var buf [shortSize]byte
		return append(dst, buf[q.formatShort(&buf):]...)
	}
	return q.appendLong(dst)
}

// short reports whether formatShort can print q: fewer than 2^64 nanos, that
// is up to 18 billion.
func (q Quantity) short() bool {
	w := q.n.abs()
	return w.hi|w.mid == 0
}

// shortSize has room for a sign, 20 digits and a suffix such as e-9.
const shortSize = 24

// formatShort writes q's text at the end of buf, backwards, and returns where
// it begins.
func (q Quantity) formatShort(buf *[shortSize]byte) int {
	nanos := q.n.abs().lo
	at := len(buf)
	units := nanos / nanosPerUnit
	mantissa, exp := nanos, -9
	switch {
	case nanos == 0:
		exp = 0
	case units*nanosPerUnit != nanos:
		for mantissa%1000 == 0 {
			mantissa, exp = mantissa/1000, exp+3
		}
	case q.format == BinarySI && units >= 1024:
		mantissa, exp = units, 0
		if k := uint(bits.TrailingZeros64(units)) / 10; k > 0 { // below 2^35: at most Gi
			mantissa >>= k * 10
			at -= 2
			buf[at], buf[at+1] = " KMG"[k], 'i'
		}
	default:
		mantissa, exp = units, 0
		for mantissa%1000 == 0 {
			mantissa, exp = mantissa/1000, exp+3
		}
	}
	if exp != 0 {
		var suffix [4]byte
		text := appendSuffix(suffix[:0], exp, q.format)
		at -= len(text)
		copy(buf[at:], text)
	}
	for mantissa >= 10 {
		at--
		buf[at] = byte('0' + mantissa%10)
		mantissa /= 10
	}
	at--
	buf[at] = byte('0' + mantissa)
	if q.n.negative() {
		at--
		buf[at] = '-'
	}
	return at
}

// appendLong is appendCanonical for any amount but 0, the plain form.
func (q Quantity) appendLong(dst []byte) []byte {
	if q.n.negative() {
		dst = append(dst, '-')
	}
	w := q.n.abs()
	if q.format == BinarySI {
		if units, nanos := w.div(nanosPerUnit); nanos == 0 && (units.hi|units.mid != 0 || units.lo >= 1024) {
			return appendBinary(dst, units)
		}
	}
	return appendDecimal(dst, w, q.format)
}

func appendBinary(dst []byte, units wide) []byte {
	k := uint(6)
	if units.lo != 0 {
		k = min(uint(bits.TrailingZeros64(units.lo))/10, 6)
	}
	dst = appendInteger(dst, units.shr(k*10))
	if k == 0 {
		return dst
	}
	return append(dst, "KMGTPE"[k-1], 'i')
}

func appendDecimal(dst []byte, nanos wide, format Format) []byte {
	exp := -9
	last := 18
	if format == DecimalExponent {
		last = 60
	}
	for exp < last {
		shorter, r := nanos.div(1000)
		if r != 0 {
			break
		}
		nanos, exp = shorter, exp+3
	}
	return appendSuffix(appendInteger(dst, nanos), exp, format)
}

func appendSuffix(dst []byte, exp int, format Format) []byte {
	switch {
	case exp == 0:
		return dst
	case format == DecimalExponent:
		return strconv.AppendInt(append(dst, 'e'), int64(exp), 10)
	}
	return append(dst, "num.kMGTPE"[exp/3+3])
}

// appendInteger appends the magnitude w in decimal.
func appendInteger(dst []byte, w wide) []byte {
	if w.hi|w.mid == 0 {
		return strconv.AppendUint(dst, w.lo, 10)
	}
	rest, low := w.div(1e19)
	dst = appendInteger(dst, rest)
	for p := uint64(1e18); p > low && p > 1; p /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendUint(dst, low, 10)
}
