package resource

import (
	"math/big"
	"regexp"
	"strings"
)

// plainQuantity is the slow twin of Quantity: an exact rational number.
type plainQuantity struct {
	value  *big.Rat
	format Format
}

var (
	plainShape    = regexp.MustCompile(`^([+-]?)([0-9]*)(\.[0-9]*)?([eEinumkKMGTP]*[-+]?[0-9]*)$`)
	plainExponent = regexp.MustCompile(`^[eE]([-+]?[0-9]+)$`)
	plainSuffixes = map[string]*big.Rat{
		"": rat(10, 0), "n": rat(10, -9), "u": rat(10, -6), "m": rat(10, -3), "k": rat(10, 3), "M": rat(10, 6), "G": rat(10, 9),
		"T": rat(10, 12), "P": rat(10, 15), "E": rat(10, 18), "Ki": rat(2, 10), "Mi": rat(2, 20), "Gi": rat(2, 30),
		"Ti": rat(2, 40), "Pi": rat(2, 50), "Ei": rat(2, 60),
	}
	plainNano  = rat(10, -9)
	plainLimit = new(big.Rat).Mul(rat(2, 191), plainNano)
)

func rat(base, exp int64) *big.Rat {
	power := new(big.Int).Exp(big.NewInt(base), big.NewInt(max(exp, -exp)), nil)
	if exp < 0 {
		return new(big.Rat).SetFrac(big.NewInt(1), power)
	}
	return new(big.Rat).SetInt(power)
}

// plainParse reads exponents of at most three digits; the caller sees to that.
func plainParse(s string) (plainQuantity, error) {
	m := plainShape.FindStringSubmatch(s)
	if m == nil || s == "" {
		return plainQuantity{}, ErrFormat
	}
	factor, ok := plainSuffixes[m[4]]
	format := DecimalSI
	if strings.HasSuffix(m[4], "i") {
		format = BinarySI
	}
	if e := plainExponent.FindStringSubmatch(m[4]); e != nil {
		exp, _ := new(big.Int).SetString(e[1], 10)
		factor, ok, format = rat(10, exp.Int64()), true, DecimalExponent
	}
	if !ok {
		return plainQuantity{}, ErrSuffix
	}
	digits := m[2] + strings.TrimPrefix(m[3], ".")
	if digits == "" && (m[4] == "Pi" || m[4] == "Ei" || factor.Cmp(plainNano) < 0) {
		return plainQuantity{}, ErrNumeric
	}
	value, _ := new(big.Rat).SetString("0" + m[2] + m[3] + "0")
	if m[3] == "" {
		value, _ = new(big.Rat).SetString("0" + m[2])
	}
	value = plainRound(value.Mul(value, factor), plainNano)
	if limit := new(big.Rat).Sub(rat(2, 63), rat(2, 0)); format == BinarySI && value.Cmp(limit) > 0 {
		value = limit
	}
	if format == BinarySI && value.Sign() > 0 && value.Cmp(rat(2, 0)) < 0 {
		format = DecimalSI
	}
	if value.Cmp(plainLimit) >= 0 {
		return plainQuantity{}, ErrRange
	}
	if m[1] == "-" {
		value.Neg(value)
	}
	return plainQuantity{value, format}, nil
}

// plainRound rounds v away from zero to a multiple of unit.
func plainRound(v, unit *big.Rat) *big.Rat {
	n := new(big.Rat).Quo(v, unit)
	whole, rest := new(big.Int).QuoRem(n.Num(), n.Denom(), new(big.Int))
	if rest.Sign() != 0 {
		whole.Add(whole, big.NewInt(int64(n.Sign())))
	}
	return n.Mul(new(big.Rat).SetInt(whole), unit)
}

// plainString tries the suffixes from the largest down and takes the first
// that leaves a whole number.
func (p plainQuantity) String() string {
	if p.value.Sign() == 0 {
		return "0"
	}
	abs := new(big.Rat).Abs(p.value)
	names := []string{"E", "P", "T", "G", "M", "k", "", "m", "u", "n"}
	switch {
	case p.format == BinarySI && abs.IsInt() && abs.Cmp(rat(2, 10)) >= 0:
		names = []string{"Ei", "Pi", "Ti", "Gi", "Mi", "Ki", ""}
	case p.format == DecimalExponent:
		for exp := int64(57); ; exp -= 3 {
			if n := new(big.Rat).Quo(p.value, rat(10, exp)); n.IsInt() {
				if exp == 0 {
					return n.Num().String()
				}
				return n.Num().String() + "e" + big.NewInt(exp).String()
			}
		}
	}
	for _, name := range names {
		if n := new(big.Rat).Quo(p.value, plainSuffixes[name]); n.IsInt() {
			return n.Num().String() + name
		}
	}
	panic("no suffix for " + p.value.String())
}

// plainScaled is Value, MilliValue and ScaledValue.
func (p plainQuantity) scaled(scale int64) int64 {
	n := plainRound(new(big.Rat).Quo(p.value, rat(10, scale)), rat(2, 0)).Num()
	switch {
	case n.IsInt64():
		return n.Int64()
	case n.Sign() < 0:
		return -1 << 63
	}
	return 1<<63 - 1
}
