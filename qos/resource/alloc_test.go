package resource

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoAllocations(t *testing.T) {
	a, b := MustParse("1.5Gi"), MustParse("-1536Mi")
	amounts := Amounts{{"cpu", a}, {"memory", b}}
	list := List{"cpu": a, "memory": b}
	buf := make([]byte, 0, 80)
	for name, f := range map[string]func(){
		"Parse/128Mi":        func() { _, _ = Parse("128Mi") },
		"Parse/1.5Gi":        func() { _, _ = Parse("1.5Gi") },
		"Parse/long":         func() { _, _ = Parse("0.000000000000000000000000012345678901234567890Ei") },
		"Parse/exponent":     func() { _, _ = Parse("12.5e-3") },
		"Add":                func() { a = a.Add(b) },
		"Cmp":                func() { a.Cmp(b) },
		"Mul":                func() { a.Mul(-3) },
		"RoundUp":            func() { a.RoundUp(Kilo) },
		"Value":              func() { a.Value() },
		"MilliValue":         func() { a.MilliValue() },
		"ScaledValue":        func() { a.ScaledValue(Micro) },
		"AppendText":         func() { buf, _ = a.AppendText(buf[:0]) },
		"AppendText/largest": func() { buf, _ = Max().AppendText(buf[:0]) },
		"Amounts.Of":         func() { amounts.Of("memory") },
		"List.Fits":          func() { list.Fits(list) },
	} {
		require.Zero(t, testing.AllocsPerRun(100, f), name)
	}
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = b.String() }), 1.0)
}
