package wal

import (
	"io"
	"slices"
)

// memFile is an open file of a MemFS.
type memFile struct {
	fs    *MemFS
	name  string
	inode *memInode
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.dead {
		return 0, ErrCrashed
	}
	if off >= int64(len(f.inode.now)) {
		return 0, io.EOF
	}
	n := copy(p, f.inode.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fault(OpWrite); err != nil {
		return 0, err
	}
	f.inode.now = overwrite(f.inode.now, off, p)
	w := memWrite{off, slices.Clone(p)}
	f.inode.pending = append(f.inode.pending, w)
	f.inode.overwritten(w, true, false)
	return len(p), nil
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fault(OpWrite); err != nil {
		return err
	}
	f.inode.now = resize(f.inode.now, size)
	f.inode.pending = append(f.inode.pending, memWrite{off: size})
	return nil
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err := f.fault(OpSync)
	if err == nil {
		for _, w := range f.inode.pending {
			if w.data == nil {
				f.inode.durable = resize(f.inode.durable, w.off)
			} else {
				f.inode.durable = overwrite(f.inode.durable, w.off, w.data)
				f.inode.overwritten(w, false, true)
			}
		}
	}
	f.inode.pending = nil
	return err
}

func (f *memFile) fault(op Op) error {
	if f.fs.dead {
		return ErrCrashed
	}
	if f.fs.Fault != nil {
		return f.fs.Fault(op, f.name)
	}
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.dead {
		return 0, ErrCrashed
	}
	return int64(len(f.inode.now)), nil
}

func (f *memFile) Close() error { return nil }
