package wal

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Mend takes back what Corrupt has done, except where somebody has written since: to
// what is seen, and, when that is synced, to what survives.
func TestMemFSMends(t *testing.T) {
	fs := NewMemFS()
	require.NoError(t, fs.MkdirAll("d"))
	f, err := fs.Create("d/f")
	require.NoError(t, err)
	write := func(text string, off int64) {
		_, err := f.WriteAt([]byte(text), off)
		require.NoError(t, err)
	}
	content := func(fs *MemFS) string { return string(fs.dirs["d"].now["f"].now) }
	write("abcdef", 0)
	require.NoError(t, f.Sync())
	require.NoError(t, fs.SyncDir("d"))
	for off := range int64(3) {
		require.NoError(t, fs.Corrupt("d/f", off*2, 0x20))
	}
	require.Equal(t, "AbCdEf", content(fs))
	write("x", 2)
	require.NoError(t, f.Sync())
	write("y", 4) // not synced
	require.Equal(t, "Abxdyf", content(fs))
	for range 20 {
		after := fs.Crash(rand.New(rand.NewPCG(rand.Uint64(), 0)))
		kept := content(after) == "Abxdyf"
		after.Mend()
		want := "abxdef"
		if kept {
			want = "abxdyf"
		}
		require.Equal(t, want, content(after))
	}
	fs.Mend()
	require.Equal(t, "abxdyf", content(fs))
}
