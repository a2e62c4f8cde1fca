package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomText makes texts of which most are quantities, many of them at an edge.
func randomText(r *rand.Rand) string {
	var b strings.Builder
	pick := func(choices ...string) string { return choices[r.IntN(len(choices))] }
	digits := func(limit int) {
		for range r.IntN(limit + 1) {
			b.WriteString(pick("0", "0", "9", fmt.Sprint(r.IntN(10))))
		}
	}
	b.WriteString(pick("", "", "", "-", "+"))
	if r.IntN(8) == 0 {
		b.WriteString(pick("9223372036854775807", "9223372036854775808", "18446744073709551616", "1023", "1024", "7"))
	} else {
		digits([]int{2, 4, 20, 60}[r.IntN(4)])
	}
	if r.IntN(3) == 0 {
		b.WriteString(".")
		digits([]int{1, 3, 9, 12, 90}[r.IntN(5)])
	}
	switch r.IntN(10) {
	case 0:
		b.WriteString(pick("e", "E") + pick("", "-", "+") + fmt.Sprint(r.IntN(70)))
	case 1:
		b.WriteString(pick("K", "ki", "i", "B", "e", "KiB", " ", "e+", "k3", ".", "mm", "E5k"))
	default:
		b.WriteString(pick("", "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
	}
	return b.String()
}

func checkAgainstPlain(t *testing.T, s string) (Quantity, plainQuantity, bool) {
	t.Helper()
	q, err := Parse(s)
	p, plainErr := plainParse(s)
	if plainErr != nil {
		require.ErrorIs(t, err, plainErr, s)
		return q, p, false
	}
	require.NoError(t, err, s)
	require.Equal(t, p.String(), q.String(), s)
	require.Equal(t, p.format, q.Format(), s)
	require.Equal(t, p.value.Sign(), q.Sign(), s)
	require.Equal(t, p.scaled(0), q.Value(), s)
	require.Equal(t, p.scaled(-3), q.MilliValue(), s)
	back, err := Parse(q.String())
	require.NoError(t, err, s)
	require.Zero(t, back.Cmp(q), "%s reads back as %s", q, back)
	require.Equal(t, q.String(), back.String(), "the canonical form is stable")
	return q, p, true
}

func TestParseEqualsPlain(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	good := 0
	for range 25000 {
		if _, _, ok := checkAgainstPlain(t, randomText(r)); ok {
			good++
		}
	}
	require.Greater(t, good, 12500)
}

func TestArithmeticEqualsPlain(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	saturated := 0
	for range 12000 {
		sa, sb := randomText(r), randomText(r)
		a, pa, ok1 := checkAgainstPlain(t, sa)
		b, pb, ok2 := checkAgainstPlain(t, sb)
		if !ok1 || !ok2 {
			continue
		}
		require.Equal(t, pa.value.Cmp(pb.value), a.Cmp(b), "%s %s", sa, sb)
		m := int64(r.Uint64()) >> r.IntN(64)
		scale := Scale(r.IntN(30) - 10)
		saturated += checkOp(t, "+", a.Add(b), new(big.Rat).Add(pa.value, pb.value), func() (Quantity, bool) { return a.CheckedAdd(b) })
		saturated += checkOp(t, "-", a.Sub(b), new(big.Rat).Sub(pa.value, pb.value), func() (Quantity, bool) { return a.CheckedSub(b) })
		saturated += checkOp(t, "*", a.Mul(m), new(big.Rat).Mul(pa.value, new(big.Rat).SetInt64(m)), func() (Quantity, bool) { return a.CheckedMul(m) })
		checkOp(t, "neg", a.Neg(), new(big.Rat).Neg(pa.value), nil)
		require.Equal(t, pa.scaled(int64(scale)), a.ScaledValue(scale), "%s at scale %d", sa, scale)
		rounded := plainRound(pa.value, rat(10, int64(max(scale, -9))))
		got, exact := a.RoundUp(scale)
		checkOp(t, "round", got, rounded, nil)
		require.Equal(t, rounded.Cmp(pa.value) == 0, exact)
		want := a.Format()
		if a.IsZero() {
			want = b.Format()
		}
		require.Equal(t, want, a.Add(b).Format())
		require.Equal(t, want, a.Sub(b).Format())
	}
	require.NotZero(t, saturated, "the generator must reach the bounds")
}

// checkOp compares got with the exact result, at the bounds with the bound.
func checkOp(t *testing.T, op string, got Quantity, exact *big.Rat, checked func() (Quantity, bool)) int {
	t.Helper()
	over := new(big.Rat).Abs(exact).Cmp(plainLimit) >= 0
	if checked != nil {
		q, ok := checked()
		require.Equal(t, !over, ok, op)
		if ok {
			require.Equal(t, got, q, op)
		} else {
			require.Zero(t, q)
		}
	}
	if !over {
		p := plainQuantity{exact, got.Format()}
		require.Equal(t, p.String(), got.String(), op)
		return 0
	}
	bound := Max()
	if exact.Sign() < 0 {
		bound = Min()
	}
	require.Zero(t, bound.Cmp(got), op)
	return 1
}

func TestBounds(t *testing.T) {
	require.Equal(t, "3138550867693340381917894711603833208051177722232017256447n", Max().String())
	require.Equal(t, "-"+Max().String(), Min().String())
	require.Equal(t, Min(), Max().Neg())
	require.Equal(t, Max(), Max().Add(NewScaled(1, Nano)))
	require.Equal(t, Min(), Min().Sub(NewScaled(1, Nano)))
	require.Equal(t, int64(math.MaxInt64), Max().Value())
	require.Equal(t, int64(math.MinInt64), Min().MilliValue())
	_, ok := Max().CheckedValue()
	require.False(t, ok)
	v, ok := NewInt(math.MinInt64).CheckedValue()
	require.True(t, ok)
	require.Equal(t, int64(math.MinInt64), v)
	_, ok = NewInt(math.MaxInt64).CheckedMilliValue()
	require.False(t, ok)
	for _, s := range []string{Max().String(), Min().String()} {
		_, err := Parse(s)
		require.NoError(t, err)
	}
	_, err := Parse("3138550867693340381917894711603833208051177722232017256448n")
	require.ErrorIs(t, err, ErrRange)
	require.Equal(t, "1n", NewScaled(1, -100).String())
	require.Equal(t, "-1n", NewScaled(-1, -100).String())
	require.Equal(t, Max(), NewScaled(1, 127))
	require.Equal(t, "0", NewScaled(0, 127).String())
	require.Equal(t, "-1234567890123m", NewMilli(-1234567890123).String())
}

// Add is commutative and, away from the bounds, associative and undone by Sub.
func TestLaws(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	text := func() Quantity {
		for {
			if q, err := Parse(randomText(r)); err == nil && q.Float64() < 1e47 && q.Float64() > -1e47 {
				return q
			}
		}
	}
	for range 20000 {
		a, b, c := text(), text(), text()
		require.Zero(t, a.Add(b).Cmp(b.Add(a)))
		require.Zero(t, a.Add(b).Add(c).Cmp(a.Add(b.Add(c))))
		require.Zero(t, a.Add(b).Sub(b).Cmp(a))
		require.Equal(t, a.Cmp(b), -b.Cmp(a))
		require.Equal(t, a.Cmp(b), a.Sub(b).Sign())
		if a.Cmp(b) <= 0 && b.Cmp(c) <= 0 {
			require.LessOrEqual(t, a.Cmp(c), 0)
		}
		if a.Cmp(b) <= 0 {
			require.LessOrEqual(t, a.Value(), b.Value())
		}
	}
}

func TestHostileTextsCostLittle(t *testing.T) {
	for _, s := range []string{
		"1e2147483648", "2E6024865272343", "1e-2147483648", "1e9223372036854775807", "1e-9223372036854775808",
		strings.Repeat("9", 1<<20), "0." + strings.Repeat("0", 1<<20) + "1Ei", strings.Repeat("0", 1<<20) + "1",
		"1" + strings.Repeat("0", 1<<20) + "e-1048576", "." + strings.Repeat("9", 1<<20) + "Ki",
	} {
		q, err := Parse(s)
		if err != nil {
			require.ErrorIs(t, err, ErrRange)
			require.Less(t, len(err.Error()), 300, "the message does not repeat a megabyte")
			continue
		}
		require.Less(t, len(q.String()), 80)
	}
	q := MustParse("1" + strings.Repeat("0", 1<<20) + "e-1048576")
	require.Equal(t, "1", q.String())
}

func TestJSON(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`"1.5Gi"`, `"1536Mi"`}, {`1.5`, `"1500m"`}, {`null`, `"0"`}, {`" 1 "`, `"1"`}, {`1e3`, `"1e3"`}, {`"\t2"`, ""}, {`true`, ""}, {`{}`, ""}, {`""`, ""}, {`"\u0031"`, ""},
	} {
		q := NewInt(7)
		err := json.Unmarshal([]byte(c.in), &q)
		if c.want == "" {
			require.Error(t, err, c.in)
			require.Equal(t, NewInt(7), q, "an error changes nothing")
			continue
		}
		require.NoError(t, err, c.in)
		out, err := json.Marshal(q)
		require.NoError(t, err)
		require.Equal(t, c.want, string(out))
	}
	var text Quantity
	require.NoError(t, text.UnmarshalText([]byte("100m")))
	require.Equal(t, NewMilli(100), text)
	require.Error(t, text.UnmarshalText([]byte("x")))
}

func TestList(t *testing.T) {
	var a, b List
	require.NoError(t, json.Unmarshal([]byte(`{"cpu":"1","memory":"1Gi"}`), &a))
	require.NoError(t, json.Unmarshal([]byte(`{"cpu":"500m","pods":3}`), &b))
	require.Equal(t, `{"cpu":"1500m","memory":"1Gi","pods":"3"}`, marshal(t, a.Add(b)))
	require.Equal(t, `{"cpu":"500m","memory":"1Gi","pods":"-3"}`, marshal(t, a.Sub(b)))
	require.Equal(t, `{"cpu":"1","memory":"1Gi","pods":"3"}`, marshal(t, a.Max(b)))
	require.Equal(t, `{"cpu":"1","memory":"1Gi"}`, marshal(t, a), "operands stay as they are")
	require.True(t, b.Sub(List{"pods": NewInt(3)}).Fits(a))
	require.False(t, b.Fits(a))
	require.Equal(t, []string{"cpu", "memory"}, a.Lacking(b))
	require.True(t, List{"gpu": NewInt(-1)}.Fits(nil), "what is not positive fits everywhere")
	require.Equal(t, a, AmountsOf(a).List())
	require.Equal(t, marshal(t, a), marshal(t, AmountsOf(a)))
	require.Nil(t, AmountsOf(nil).List())
	_, found := AmountsOf(a).Lookup("pods")
	require.False(t, found)

	for _, target := range []any{&a, &Amounts{}} {
		err := json.Unmarshal([]byte(`{"cpu":"1","memory":"1Gib","x":"?"}`), target)
		var entry *EntryError
		require.True(t, errors.As(err, &entry))
		require.Equal(t, "memory", entry.Resource)
		require.ErrorContains(t, err, `resource "memory": parse quantity "1Gib"`)
		require.ErrorIs(t, err, ErrFormat)
		require.Error(t, json.Unmarshal([]byte(`[]`), target))
	}
	require.Len(t, a, 2, "an error changes nothing")
	require.NoError(t, json.Unmarshal([]byte(`null`), &a))
	require.Nil(t, a)
}

func marshal(t *testing.T, v any) string {
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return string(data)
}

func TestParseShortEqualsLong(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	short := 0
	for range 25000 {
		s := randomText(r)
		got, ok := parseShort(s)
		if !ok {
			continue
		}
		short++
		want, err := parseLong(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	require.Greater(t, short, 2500)
}

func TestShortTextEqualsLong(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 40000 {
		v := int64(r.Uint64()) >> r.IntN(64)
		for range r.IntN(7) {
			v = v / 1000 * 1000 << r.IntN(2)
		}
		q := NewScaled(v, Scale(r.IntN(10)-9)).WithFormat(Format(r.IntN(3)))
		if q.IsZero() || !q.short() {
			continue
		}
		require.Equal(t, string(q.appendLong(nil)), q.String())
	}
}
