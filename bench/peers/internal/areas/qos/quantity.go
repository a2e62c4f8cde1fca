package qos

import (
	"errors"
	"fmt"
	"iter"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"

	inf "gopkg.in/inf.v0"
	upstream "k8s.io/apimachinery/pkg/api/resource"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos/resource"
)

// quantityCase is a pair of texts, mostly quantities.
type quantityCase struct {
	A string `json:"a"`
	B string `json:"b"`
}

// The classes of wanted differences, as doc.go words them.
const (
	differsRange     = "quantities end at 2^191 nanos"
	differsExponent  = "exponents of quantities keep all their bits"
	differsCanonical = "quantities always print in canonical form"
	differsAboveE    = "quantities above E keep their factor"
	differsValue     = "the values of quantities saturate"
)

func quantitySuite() compare.Suite {
	return &compare.Cases[quantityCase]{
		Parts:    []string{"quantity/parse", "quantity/print", "quantity/value", "quantity/compare", "quantity/add", "quantity/sub", "quantity/round"},
		Corners:  quantityCorners(),
		Generate: func(r *rand.Rand) quantityCase { return quantityCase{quantityText(r), quantityText(r)} },
		Compare:  compareQuantities,
		Shrink:   shrinkQuantities,
		Documented: []compare.Difference[quantityCase]{
			{Differs: differsRange, Applies: isRange},
			{Differs: differsExponent, Applies: isLongExponent},
			{Differs: differsCanonical, Applies: isEchoed},
			{Differs: differsAboveE, Applies: isAboveE},
			{Differs: differsValue, Applies: isValue},
		},
	}
}

func quantityCorners() []quantityCase {
	var out []quantityCase
	for _, a := range []string{
		"", "0", "+", "-", ".", "-.", "m", "Ki", "Ti", "Pi", ".Ei", "e5", "e-10", "1.", ".5", "+1", "1E3", "1e+3", "1.500", "01",
		"1e", "1E", "1K", "1ki", "1KiB", " 1", "1 ", "--1", "1.2.3", "0.1n", "-0.0000000001", "8Ei", "-8Ei", "0.5Ki", "1.1Ki",
		"0.00000000001Ki", "1000E", "10000E", "1000e18", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
		"9223372036854775807E", "1e48", "1e49", "-1e49", "1e4294967296", "1e4294967299", "1e-4294967299", "1e99999999999999999999",
		"0e4294967296", "-1.5", "-1500m", "1e-9", "1023.9Ki", "1024", "0.9999999999Ki", "7.99999999999999999999Ei", "1E1", "0Ki", "0.0Ki",
	} {
		out = append(out, quantityCase{a, "1.5Gi"}, quantityCase{"1536Mi", a}, quantityCase{a, "-1n"})
	}
	return out
}

// quantityText makes texts of which most are quantities. Exponents stay small
// enough for upstream to finish, or so large that it cuts them to a small one.
func quantityText(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString(pick(r, "", "", "", "", "-", "+"))
	if r.IntN(8) == 0 {
		b.WriteString(pick(r, "9223372036854775807", "9223372036854775808", "18446744073709551616", "1023", "1024", "1000", "0"))
	} else {
		digits(r, &b, pick(r, 2, 4, 19, 40))
	}
	if r.IntN(3) == 0 {
		b.WriteByte('.')
		digits(r, &b, pick(r, 1, 3, 9, 12, 90))
	}
	switch r.IntN(12) {
	case 0:
		b.WriteString(pick(r, "e", "E") + pick(r, "", "-", "+") + strconv.Itoa(r.IntN(40)))
	case 1:
		b.WriteString(pick(r, "K", "ki", "i", "B", "e", "KiB", " ", "e+", "k3", ".", "mm", "E5k", "\x00", "é"))
	case 2:
		if r.IntN(20) == 0 {
			b.WriteString("e" + pick(r, "4294967296", "4294967299", "-4294967297", "8589934590", "9223372036854775808"))
		}
	default:
		b.WriteString(pick(r, "", "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
	}
	return b.String()
}

func digits(r *rand.Rand, b *strings.Builder, limit int) {
	for range r.IntN(limit + 1) {
		b.WriteByte(pick(r, byte('0'), '0', '9', byte('0'+r.IntN(10))))
	}
}

func compareQuantities(c quantityCase, rec *compare.Record) {
	ua, uerr := upstream.ParseQuantity(c.A)
	oa, oerr := resource.Parse(c.A)
	rec.Text("quantity/parse", errorText(uerr), errorText(oerr))
	if uerr != nil || oerr != nil {
		return
	}
	rec.Text("quantity/print", ua.String(), oa.String())
	rec.Text("quantity/value", values(ua), fmt.Sprint(oa.Sign(), oa.IsZero(), oa.Value(), oa.MilliValue(), oa.ScaledValue(resource.Mega)))
	ub, uerr := upstream.ParseQuantity(c.B)
	ob, oerr := resource.Parse(c.B)
	if uerr != nil || oerr != nil {
		return
	}
	cmp := func(u, v upstream.Quantity) int { u, v = u.DeepCopy(), v.DeepCopy(); return u.Cmp(v) }
	rec.Text("quantity/compare", fmt.Sprint(cmp(ua, ub), cmp(ub, ua), cmp(ua, ua)), fmt.Sprint(oa.Cmp(ob), ob.Cmp(oa), oa.Cmp(oa)))
	sum, difference, rounded := ua.DeepCopy(), ua.DeepCopy(), ua.DeepCopy()
	sum.Add(ub.DeepCopy())
	difference.Sub(ub.DeepCopy())
	rec.Text("quantity/add", described(sum), oa.Add(ob).Format().String()+" "+oa.Add(ob).String())
	rec.Text("quantity/sub", described(difference), oa.Sub(ob).Format().String()+" "+oa.Sub(ob).String())
	exact := rounded.RoundUp(upstream.Milli)
	ours, ourExact := oa.RoundUp(resource.Milli)
	rec.Text("quantity/round", fmt.Sprintf("%s %v", uncached(rounded), exact), fmt.Sprintf("%s %v", ours, ourExact))
}

// errorText names the kind of error: both sides have the same three.
func errorText(err error) string {
	for _, kind := range []struct {
		name string
		errs []error
	}{
		{"format", []error{upstream.ErrFormatWrong, resource.ErrFormat}},
		{"numeric", []error{upstream.ErrNumeric, resource.ErrNumeric}},
		{"suffix", []error{upstream.ErrSuffix, resource.ErrSuffix}},
		{"range", []error{resource.ErrRange}},
	} {
		for _, e := range kind.errs {
			if errors.Is(err, e) {
				return kind.name
			}
		}
	}
	return fmt.Sprint(err)
}

func values(q upstream.Quantity) string {
	q = q.DeepCopy()
	return fmt.Sprint(q.Sign(), q.IsZero(), q.Value(), q.MilliValue(), q.ScaledValue(upstream.Mega))
}

func described(q upstream.Quantity) string { return string(q.Format) + " " + uncached(q) }

// uncached is the text that upstream makes of the amount, where String may
// give back the text that was parsed.
func uncached(q upstream.Quantity) string {
	q = q.DeepCopy()
	q.Add(upstream.Quantity{})
	return q.String()
}

// exact returns the amount that a text stands for and its exponent, if the
// exponent has more than 31 bits.
func exact(text string) (amount *inf.Dec, longExponent *big.Int) {
	if m := exponentShape.FindStringSubmatch(text); m != nil {
		exp, _ := new(big.Int).SetString(m[1], 10)
		if new(big.Int).Abs(exp).BitLen() > 31 {
			return nil, exp
		}
	}
	q, err := upstream.ParseQuantity(text)
	if err != nil {
		return nil, nil
	}
	return q.AsDec(), nil
}

var (
	exponentShape = regexp.MustCompile(`[eE]([-+]?[0-9]+)$`)
	limit         = inf.NewDecBig(new(big.Int).Lsh(big.NewInt(1), 191), 9)
)

func isRange(c quantityCase, d compare.Disagreement) bool {
	if d.Part != "quantity/parse" || d.Upstream != "<nil>" || d.Ours != "range" {
		return false
	}
	amount, _ := exact(c.A)
	return amount != nil && new(inf.Dec).Abs(amount).Cmp(limit) >= 0
}

// isLongExponent: one of the texts has such an exponent, and ours takes it as it
// is written: out of range, or too small for a nano.
func isLongExponent(c quantityCase, _ compare.Disagreement) bool {
	for _, text := range []string{c.A, c.B} {
		if _, exp := exact(text); exp != nil {
			ours, err := resource.Parse(text)
			tiny := ours.IsZero() || ours.CmpInt(0) < 0 && ours.Neg() == smallest(ours) || ours == smallest(ours)
			switch {
			case exp.Sign() > 0 && (errors.Is(err, resource.ErrRange) || err == nil && ours.IsZero()),
				exp.Sign() < 0 && (errors.Is(err, resource.ErrNumeric) || err == nil && tiny):
				return true
			}
		}
	}
	return false
}

// smallest is a nano in q's notation.
func smallest(q resource.Quantity) resource.Quantity {
	return resource.NewScaled(1, resource.Nano).WithFormat(q.Format())
}

// isEchoed: upstream printed the text that it had parsed.
func isEchoed(c quantityCase, d compare.Disagreement) bool {
	if d.Part != "quantity/print" || d.Upstream != c.A {
		return false
	}
	q, err := upstream.ParseQuantity(c.A)
	return err == nil && sameButForFactor(uncached(q), d.Ours)
}

// isAboveE: upstream printed the mantissa without its suffix.
func isAboveE(_ quantityCase, d compare.Disagreement) bool {
	return slices.Contains([]string{"quantity/print", "quantity/add", "quantity/sub", "quantity/round"}, d.Part) &&
		d.Upstream != d.Ours && sameButForFactor(d.Upstream, d.Ours)
}

func sameButForFactor(upstreams, ours string) bool {
	if upstreams == ours {
		return true
	}
	upstreams, ours = strings.TrimSuffix(upstreams, " true"), strings.TrimSuffix(ours, " true")
	if mantissa, ok := strings.CutSuffix(ours, "E"); ok {
		zeros := strings.TrimPrefix(mantissa, upstreams)
		return len(zeros) < len(mantissa) && len(zeros) > 0 && len(zeros)%3 == 0 && strings.Trim(zeros, "0") == ""
	}
	if mantissa, ok := strings.CutSuffix(ours, "Ei"); ok {
		_, text, _ := strings.Cut(" "+mantissa, " ")
		whole, good := new(big.Int).SetString(text[strings.LastIndexByte(text, ' ')+1:], 10)
		for range 4 {
			if !good {
				return false
			}
			var rest *big.Int
			whole, rest = new(big.Int).QuoRem(whole, big.NewInt(1024), new(big.Int))
			if rest.Sign() != 0 {
				return false
			}
			if strings.HasSuffix(" "+upstreams, " "+whole.String()) {
				return true
			}
		}
	}
	return false
}

// isValue: ours is the exact amount rounded away from zero, at the bounds of
// int64 the bound; and the amount is one where upstream is known to err.
func isValue(c quantityCase, d compare.Disagreement) bool {
	if d.Part != "quantity/value" {
		return false
	}
	amount, _ := exact(c.A)
	if amount == nil {
		return false
	}
	text := fmt.Sprint(amount.Sign(), amount.Sign() == 0)
	suspicious := amount.Sign() < 0
	for _, scale := range []inf.Scale{0, 3, -6} {
		n := new(inf.Dec).Round(amount, scale, inf.RoundUp).UnscaledBig()
		v := n.Int64()
		if !n.IsInt64() {
			suspicious = true
			v = 1<<63 - 1
			if n.Sign() < 0 {
				v = -1 << 63
			}
		}
		text += fmt.Sprint(" ", v)
	}
	return suspicious && text == d.Ours
}

func shrinkQuantities(c quantityCase) iter.Seq[quantityCase] {
	return func(yield func(quantityCase) bool) {
		for _, simple := range []string{"0", "1", ""} {
			if c.B != simple && !yield(quantityCase{c.A, simple}) {
				return
			}
		}
		for i := range c.A {
			if !yield(quantityCase{c.A[:i] + c.A[i+1:], c.B}) {
				return
			}
		}
		for i := range c.B {
			if !yield(quantityCase{c.A, c.B[:i] + c.B[i+1:]}) {
				return
			}
		}
	}
}
