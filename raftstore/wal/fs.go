package wal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// FS is what the log needs from a file system. Every path is slash or OS
// separated as given to Open; implementations need no notion of a working
// directory. A method that returns nil has done its work in memory only, unless
// it says that it is durable.
type FS interface {
	// MkdirAll creates a directory with its parents and makes their entries durable.
	MkdirAll(dir string) error
	// List returns the names in a directory, sorted.
	List(dir string) ([]string, error)
	// Create makes an empty file for reading and writing, in place of an old one.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// Rename replaces to by from, atomically.
	Rename(from, to string) error
	// Remove deletes a file.
	Remove(name string) error
	// SyncDir makes creations, renames and removals in a directory durable.
	SyncDir(dir string) error
	// Lock takes a lock that no second process or store can hold; it fails at once
	// when somebody else has it, and ends with Close or with the process.
	Lock(name string) (io.Closer, error)
}

// File is one open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size returns the length in bytes.
	Size() (int64, error)
	// Truncate cuts or extends the file.
	Truncate(sizeBytes int64) error
	// Sync makes the content durable, with as much metadata as reading it back
	// needs (fdatasync).
	Sync() error
}

// Writeback brings what was written to a part of a file to the disk before the sync
// that makes it durable, so that the sync has less to do and others who sync in the
// meantime wait for less. It promises nothing, and does nothing where the file system
// offers no such thing. An error is like that of a sync.
func Writeback(f File, off, sizeBytes int64) error {
	if w, ok := f.(interface {
		writeback(off, sizeBytes int64) error
	}); ok {
		return w.writeback(off, sizeBytes)
	}
	return nil
}

// OS is the file system of the operating system.
var OS FS = osFS{}

// ErrLocked is matched when another process or store holds the lock of a directory.
var ErrLocked = errors.New("wal: directory is in use")

type osFS struct{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f osFile) Sync() error { return syncData(f.File) }

func (f osFile) writeback(off, sizeBytes int64) error { return writeBack(f.File, off, sizeBytes) }

func (osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Open(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

func (fs osFS) MkdirAll(dir string) error { return mkdirAll(dir, fs.SyncDir) }

// mkdirAll syncs the parent of each directory it had to create: an entry that is
// not durable would take everything below with it.
func mkdirAll(dir string, sync func(dir string) error) error {
	if st, err := os.Stat(dir); err == nil {
		if !st.IsDir() {
			return &os.PathError{Op: "mkdir", Path: dir, Err: errors.New("exists and is not a directory")}
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := mkdirAll(parent, sync); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return sync(parent)
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}
