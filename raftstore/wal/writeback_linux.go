//go:build linux && (amd64 || arm64)

package wal

import (
	"os"
	"syscall"
)

// writeBack writes dirty pages and waits for them, without a flush of the disk's
// cache or a commit of the journal.
func writeBack(f *os.File, off, sizeBytes int64) error {
	const waitBefore, write, waitAfter = 1, 2, 4 // SYNC_FILE_RANGE_*
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) {
		syncErr = syscall.SyncFileRange(int(fd), off, sizeBytes, waitBefore|write|waitAfter)
	})
	if err != nil {
		return err
	}
	switch syncErr {
	case nil, syscall.EINTR, syscall.ENOSYS, syscall.ESPIPE:
		return nil // it was a hint
	}
	return &os.PathError{Op: "sync_file_range", Path: f.Name(), Err: syncErr}
}
