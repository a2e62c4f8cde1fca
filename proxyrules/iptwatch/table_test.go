package iptwatch

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// rule is one of a size, with a byte for what it does.
func (l layout) rule(size int, what byte) []byte {
	b := make([]byte, size)
	binary.NativeEndian.PutUint16(b[l.nextOffset:], uint16(size))
	b[size-1] = what
	return b
}

func sumOf(t *testing.T, l layout, rules ...[]byte) string {
	t.Helper()
	h := sha256.New()
	for _, r := range rules {
		require.NoError(t, l.sum(h, r))
	}
	return string(h.Sum(nil))
}

func TestSum(t *testing.T) {
	for _, l := range []layout{layout4, layout6} {
		a, b := l.rule(200, 1), l.rule(240, 2)
		want := sumOf(t, l, a, b)
		require.Equal(t, want, sumOf(t, l, append(append([]byte(nil), a...), b...)))
		require.NotEqual(t, want, sumOf(t, l, b, a))
		require.NotEqual(t, want, sumOf(t, l, a, l.rule(240, 3)))
		a[l.counters], a[l.counters+countersSize-1], a[l.comeFrom] = 9, 9, 9
		require.Equal(t, want, sumOf(t, l, a, b), "counters are no change")
		a[0] = 1
		require.NotEqual(t, want, sumOf(t, l, a, b))
	}
}

func TestSumRefusesBrokenRules(t *testing.T) {
	for _, l := range []layout{layout4, layout6} {
		whole := l.rule(200, 1)
		for n := 1; n < len(whole); n++ {
			require.ErrorIs(t, l.sum(sha256.New(), whole[:n]), errTable, n)
		}
		for _, size := range []uint16{0, 1, uint16(l.counters + countersSize - 1), 201, 1<<16 - 1} {
			binary.NativeEndian.PutUint16(whole[l.nextOffset:], size)
			require.ErrorIs(t, l.sum(sha256.New(), whole), errTable, size)
		}
	}
}

func FuzzSum(f *testing.F) {
	f.Add(layout4.rule(200, 1))
	f.Add(append(layout6.rule(176, 1), layout6.rule(200, 2)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, l := range []layout{layout4, layout6} {
			h := sha256.New()
			if l.sum(h, b) == nil && len(b) > 0 {
				require.GreaterOrEqual(t, len(b), l.counters+countersSize)
			}
		}
	})
}
