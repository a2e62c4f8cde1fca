package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
)

// sectorSize is the unit that a disk writes whole or not at all.
const sectorSize = 512

// ErrCrashed is returned by every operation on a MemFS after Crash.
var ErrCrashed = errors.New("wal: file system has crashed")

// MemFS is a file system in memory that can crash: Crash returns what a disk
// would hold after a power failure, where any part of what was not synced may be
// missing. It is meant for tests. It is safe for concurrent use.
type MemFS struct {
	mu    sync.Mutex
	dirs  map[string]*memDir
	locks map[string]bool
	dead  bool

	// Fault, if set, is asked before every write and sync of a file and may return
	// the error that the operation ends with. A sync that fails loses the unsynced
	// data for good, as Linux does: the pages are clean and a second sync says nil.
	// It must not call back into the file system.
	Fault func(op Op, name string) error
}

// Op is a kind of file operation that MemFS.Fault can fail.
type Op uint8

const (
	// OpWrite is File.WriteAt.
	OpWrite Op = iota
	// OpSync is File.Sync.
	OpSync
	// OpSyncDir is FS.SyncDir.
	OpSyncDir
)

type memDir struct {
	// now is what the process sees, durable what survives a crash.
	now, durable map[string]*memInode
	pending      []dirChange
}

// dirChange is one atomic change of a directory: remove a name, set a name, or both.
type dirChange struct {
	remove, set string
	inode       *memInode
}

type memInode struct {
	now, durable []byte
	pending      []memWrite
	flips        []flip
}

// flip is what Corrupt has done to a byte, as far as it has not been overwritten since:
// in what the process sees, in what survives a crash.
type flip struct {
	off          int64
	mask         byte
	now, durable bool
}

// overwritten takes note of a write.
func (n *memInode) overwritten(w memWrite, now, durable bool) {
	for i := range n.flips {
		if f := &n.flips[i]; w.data != nil && f.off >= w.off && f.off < w.off+int64(len(w.data)) {
			f.now, f.durable = f.now && !now, f.durable && !durable
		}
	}
}

// memWrite is one write since the last sync; data == nil means a truncation to off.
type memWrite struct {
	off  int64
	data []byte
}

// NewMemFS returns an empty file system.
func NewMemFS() *MemFS {
	return &MemFS{dirs: map[string]*memDir{}, locks: map[string]bool{}}
}

// Crash ends the file system and returns its disk as a restarted machine finds
// it. Of the writes and directory changes that were not synced, rng decides
// which survive: all, none, or each sector and change by itself.
func (m *MemFS) Crash(rng *rand.Rand) *MemFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	keep := func() bool { return rng.IntN(2) == 0 }
	switch rng.IntN(4) {
	case 0:
		keep = func() bool { return false }
	case 1:
		keep = func() bool { return true }
	}
	after := NewMemFS()
	inodes := map[*memInode]*memInode{}
	for _, dir := range sortedKeys(m.dirs) {
		after.dirs[dir] = m.dirs[dir].crash(keep, inodes)
	}
	return after
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (d *memDir) crash(keep func() bool, inodes map[*memInode]*memInode) *memDir {
	entries := make(map[string]*memInode, len(d.durable))
	for name, inode := range d.durable {
		entries[name] = inode
	}
	for _, c := range d.pending {
		if keep() {
			c.applyTo(entries)
		}
	}
	after := &memDir{now: map[string]*memInode{}, durable: map[string]*memInode{}}
	for _, name := range sortedKeys(entries) {
		inode := entries[name]
		if inodes[inode] == nil {
			inodes[inode] = inode.crash(keep)
		}
		after.now[name], after.durable[name] = inodes[inode], inodes[inode]
	}
	return after
}

func (c dirChange) applyTo(entries map[string]*memInode) {
	if c.remove != "" {
		delete(entries, c.remove)
	}
	if c.set != "" {
		entries[c.set] = c.inode
	}
}

// crash returns the durable bytes with some of the unsynced sectors on top.
func (n *memInode) crash(keep func() bool) *memInode {
	data := slices.Clone(n.durable)
	after := &memInode{flips: slices.Clone(n.flips)}
	for _, w := range n.pending {
		if w.data == nil {
			if keep() {
				data = resize(data, w.off)
			}
			continue
		}
		for off := int64(0); off < int64(len(w.data)); {
			end := min(int64(len(w.data)), off+sectorSize-(w.off+off)%sectorSize)
			if keep() {
				data = overwrite(data, w.off+off, w.data[off:end])
				after.overwritten(memWrite{w.off + off, w.data[off:end]}, false, true)
			}
			off = end
		}
	}
	for i := range after.flips {
		after.flips[i].now = after.flips[i].durable
	}
	after.now, after.durable = data, slices.Clone(data)
	return after
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}

func overwrite(data []byte, off int64, part []byte) []byte {
	if end := off + int64(len(part)); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[off:], part)
	return data
}

// Corrupt flips the bits of mask in one byte of a file, durably.
func (m *MemFS) Corrupt(name string, off int64, mask byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	inode, err := m.lookup(name)
	if err != nil {
		return err
	}
	if off < 0 || off >= int64(len(inode.now)) {
		return fmt.Errorf("wal: offset %d is outside of %s (%d bytes)", off, name, len(inode.now))
	}
	f := flip{off: off, mask: mask, now: true, durable: off < int64(len(inode.durable))}
	f.toggle(inode)
	inode.flips = append(inode.flips, f)
	return nil
}

func (f *flip) toggle(n *memInode) {
	if f.now {
		n.now[f.off] ^= f.mask
	}
	if f.durable {
		n.durable[f.off] ^= f.mask
	}
}

// Mend takes back what Corrupt has done, as far as it was not overwritten since.
func (m *MemFS) Mend() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.dirs {
		for _, entries := range []map[string]*memInode{d.now, d.durable} {
			for _, inode := range entries {
				for i := range inode.flips {
					inode.flips[i].toggle(inode)
				}
				inode.flips = nil
			}
		}
	}
}

func (m *MemFS) dir(dir string) (*memDir, error) {
	if m.dead {
		return nil, ErrCrashed
	}
	d := m.dirs[filepath.Clean(dir)]
	if d == nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
	}
	return d, nil
}

func (m *MemFS) lookup(name string) (*memInode, error) {
	d, err := m.dir(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	inode := d.now[filepath.Base(name)]
	if inode == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return inode, nil
}

func (d *memDir) change(c dirChange) {
	c.applyTo(d.now)
	d.pending = append(d.pending, c)
}

// Kill ends the process that uses the file system, but not the machine: locks are
// free, and what was written is still seen, durable or not. Files that were open
// must not be used any more.
func (m *MemFS) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.locks)
}

// MkdirAll implements FS.
func (m *MemFS) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return ErrCrashed
	}
	dir = filepath.Clean(dir)
	if m.dirs[dir] == nil {
		m.dirs[dir] = &memDir{now: map[string]*memInode{}, durable: map[string]*memInode{}}
	}
	return nil
}

// List implements FS.
func (m *MemFS) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dir(dir)
	if err != nil {
		return nil, err
	}
	return sortedKeys(d.now), nil
}

// Create implements FS.
func (m *MemFS) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dir(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	inode := &memInode{}
	d.change(dirChange{set: filepath.Base(name), inode: inode})
	return &memFile{fs: m, name: name, inode: inode}, nil
}

// Open implements FS.
func (m *MemFS) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	inode, err := m.lookup(name)
	if err != nil {
		return nil, err
	}
	return &memFile{fs: m, name: name, inode: inode}, nil
}

// Rename implements FS within one directory.
func (m *MemFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	inode, err := m.lookup(from)
	if err != nil {
		return err
	}
	if filepath.Dir(from) != filepath.Dir(to) {
		return fmt.Errorf("wal: rename of %s to %s crosses directories", from, to)
	}
	d, err := m.dir(filepath.Dir(from))
	if err != nil {
		return err
	}
	d.change(dirChange{remove: filepath.Base(from), set: filepath.Base(to), inode: inode})
	return nil
}

// Remove implements FS.
func (m *MemFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.lookup(name); err != nil {
		return err
	}
	d, err := m.dir(filepath.Dir(name))
	if err != nil {
		return err
	}
	d.change(dirChange{remove: filepath.Base(name)})
	return nil
}

// SyncDir implements FS.
func (m *MemFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dir(dir)
	if err != nil {
		return err
	}
	if m.Fault != nil {
		if err := m.Fault(OpSyncDir, dir); err != nil {
			return err
		}
	}
	for _, c := range d.pending {
		c.applyTo(d.durable)
	}
	d.pending = nil
	return nil
}

// Lock implements FS.
func (m *MemFS) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return nil, ErrCrashed
	}
	if m.locks[name] {
		return nil, fmt.Errorf("%w: %s", ErrLocked, name)
	}
	m.locks[name] = true
	return closerFunc(func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.locks, name)
		return nil
	}), nil
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }
