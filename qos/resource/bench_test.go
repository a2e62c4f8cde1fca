package resource

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ in, want string }{
		{"0", "0"}, {"100m", "100m"}, {"128Mi", "128Mi"}, {"1.5Gi", "1536Mi"}, {"1e3", "1e3"},
		{"9223372036854775807", "9223372036854775807"}, {"0.0000000001", "1n"}, {"0.12345678901Ei", "142335986939339250117388534n"},
	} {
		b.Run("in="+c.in, func(b *testing.B) {
			require.Equal(b, c.want, MustParse(c.in).String())
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Parse(c.in)
			}
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	x, y := MustParse("1.5Gi"), MustParse("1536M")
	require.Equal(b, "3072864Ki", x.Add(y).String())
	b.ReportAllocs()
	for b.Loop() {
		x.Add(y)
	}
}

func BenchmarkCmp(b *testing.B) {
	x, y := MustParse("1.5Gi"), MustParse("1536Mi")
	require.Zero(b, x.Cmp(y))
	b.ReportAllocs()
	for b.Loop() {
		x.Cmp(y)
	}
}

func BenchmarkValue(b *testing.B) {
	x := MustParse("1.5Gi")
	require.Equal(b, int64(1536<<20), x.Value())
	b.ReportAllocs()
	for b.Loop() {
		x.Value()
	}
}

func BenchmarkAppendText(b *testing.B) {
	for _, in := range []string{"100m", "128Mi", "1536Mi", "12e6", "123456789012345678901234567890n"} {
		b.Run("in="+in, func(b *testing.B) {
			q := MustParse(in)
			require.Equal(b, in, q.String())
			buf := make([]byte, 0, 80)
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = q.AppendText(buf[:0])
			}
		})
	}
}
