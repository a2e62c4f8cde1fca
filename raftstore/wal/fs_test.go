package wal

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A directory that is not there yet is durable with all its parents, each after it was
// made.
func TestOSDirectoriesAreSyncedInTheirParents(t *testing.T) {
	top := t.TempDir()
	var synced []string
	sync := func(dir string) error {
		names, err := OS.List(dir)
		require.NoError(t, err)
		require.Len(t, names, 1, "synced before the entry was made")
		synced = append(synced, dir)
		return nil
	}
	deep := filepath.Join(top, "a", "b", "c")
	require.NoError(t, mkdirAll(deep, sync))
	require.Equal(t, []string{top, filepath.Join(top, "a"), filepath.Join(top, "a", "b")}, synced)
	require.NoError(t, mkdirAll(deep, sync))
	require.Len(t, synced, 3, "nothing new")
	require.NoError(t, OS.MkdirAll(filepath.Join(deep, "d")))
	require.Error(t, mkdirAll(filepath.Join(deep, "e"), func(string) error { return syscall.EIO }))
}

// What cannot be synced says so, which shows that somebody was asked: the kernel knows
// no way to sync a pipe, or a directory of /proc.
func TestOSSyncsReachTheKernel(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("relies on what Linux refuses")
	}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	require.ErrorIs(t, osFile{w}.Sync(), syscall.EINVAL)
	require.ErrorIs(t, OS.SyncDir("/proc/self"), syscall.EINVAL)
	require.NoError(t, OS.SyncDir(t.TempDir()))
}
