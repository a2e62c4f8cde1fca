package wal

import (
	"os"
	"syscall"
)

// syncData skips the flush of timestamps, which the zero-filled segments turn into
// one write without a journal commit.
func syncData(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) {
		for {
			// An interrupted call has not looked at the pages yet: unlike every other
			// failure it may be repeated.
			if syncErr = syscall.Fdatasync(int(fd)); syncErr != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if syncErr != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: syncErr}
	}
	return nil
}
