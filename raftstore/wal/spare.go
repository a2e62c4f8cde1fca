package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// A log at its steady size fills no file with zeros: the segments that Release gives
// up become the next ones, and each byte is written once. What such a file held
// before stays behind the batches; the salt keeps it from being taken for them. Spares
// outlive a restart: a member that returns has better things to do with its disk.

// sparesMax is how many files are kept to become segments.
const sparesMax = 4

// takePrepared returns a file of at least need bytes.
func (w *WAL) takePrepared(need int64) (*prepared, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if need > w.opts.SegmentSizeBytes || len(w.spares) == 0 {
		return w.prepare(max(need, w.opts.SegmentSizeBytes))
	}
	next := w.spares[0]
	w.spares = w.spares[1:]
	return next, nil
}

// prepare makes a zero-filled file. w.mu is held.
func (w *WAL) prepare(size int64) (*prepared, error) {
	return prepareFile(w.opts.FS, w.spareName(preparedSuffix), size)
}

// A file that is being filled with zeros has preparedSuffix, and is worth nothing after
// a crash. With spareSuffix it is whole.
const (
	preparedSuffix = ".tmp"
	spareSuffix    = ".spare"
)

// spareName returns a name that was not used yet: the spare before may not have got its
// final name. w.mu is held.
func (w *WAL) spareName(suffix string) string {
	w.prepares++
	return filepath.Join(w.dir, fmt.Sprintf("next-%d%s", w.prepares, suffix))
}

// adopt takes over what may be a spare of the process before this one, and removes it
// if it is none. Its name may not be durable, and a crash bring back that of a segment:
// secure must come before it is used.
func (w *WAL) adopt(name string) error {
	fs, path := w.opts.FS, filepath.Join(w.dir, name)
	digits := strings.TrimSuffix(strings.TrimPrefix(name, "next-"), spareSuffix)
	number, err := strconv.ParseUint(digits, 10, 32) // no process makes that many
	if err != nil || len(w.spares) >= sparesMax {
		return fs.Remove(path)
	}
	w.prepares = max(w.prepares, number)
	file, err := fs.Open(path)
	if err != nil {
		return err
	}
	size, err := file.Size()
	if err != nil || size != w.opts.SegmentSizeBytes {
		return errors.Join(err, file.Close(), fs.Remove(path))
	}
	w.spares = append(w.spares, &prepared{file: file, name: path, size: size, reused: true})
	return nil
}

func (w *WAL) closeSpares() (err error) {
	for _, spare := range w.spares {
		err = errors.Join(err, spare.file.Close())
	}
	w.spares = nil
	return err
}

// NeedsPrepare reports whether the next segment will soon be needed and is not
// there yet. A caller that never prepares pays for it inside of a Flush.
func (w *WAL) NeedsPrepare() bool {
	if w.err != nil || w.off < int64(w.segments[len(w.segments)-1].header.size)/2 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.spares) == 0
}

// Prepare makes the file that becomes the next segment. It may run on another
// goroutine than the rest, one at a time; it must end before Close is called. An
// error is not final: the segment is then made when it is needed.
func (w *WAL) Prepare() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.spares) > 0 {
		return nil
	}
	next, err := w.prepare(w.opts.SegmentSizeBytes)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(next.name, preparedSuffix) + spareSuffix
	if err := w.opts.FS.Rename(next.name, name); err != nil {
		return errors.Join(err, next.file.Close())
	}
	next.name = name
	w.spares = append(w.spares, next)
	return nil
}

// Release gives up the oldest segments as far as they hold nothing above index, and
// returns what takes their files away, nil if there are none: some are kept for later
// segments, the rest is deleted. That may take a while, and may run on another
// goroutine, one at a time and in order; it must end before Close is called. Until it
// has, the next Open reads the old segments again, to no harm.
func (w *WAL) Release(index uint64) (remove func() error) {
	if w.err != nil {
		return nil
	}
	var released []segment
	for len(w.segments) > 1 && w.segments[0].lastIndex <= index {
		released = append(released, w.segments[0])
		w.segments = w.segments[1:]
	}
	if len(released) == 0 {
		return nil
	}
	w.spans.dropBefore(w.segments[0].header.sequence)
	return func() error {
		for _, s := range released {
			if err := w.discard(s); err != nil {
				return err
			}
		}
		return nil
	}
}

// discard takes a segment's name away, durably and before that of the next one:
// removals that reach the disk in another order would leave a hole in the sequence.
// Nor may the file be written again before, under a name that a crash brings back.
// No lock is held meanwhile: Flush does not wait for a directory.
func (w *WAL) discard(s segment) error {
	fs, name := w.opts.FS, filepath.Join(w.dir, s.name)
	w.mu.Lock()
	spare, enough := w.spareName(spareSuffix), len(w.spares) >= sparesMax
	w.mu.Unlock()
	if enough || int64(s.header.size) != w.opts.SegmentSizeBytes {
		if err := fs.Remove(name); err != nil {
			return err
		}
		return fs.SyncDir(w.dir)
	}
	if err := fs.Rename(name, spare); err != nil {
		return err
	}
	if err := fs.SyncDir(w.dir); err != nil {
		return err
	}
	file, err := fs.Open(spare)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spares = append(w.spares, &prepared{file: file, name: spare, size: int64(s.header.size), reused: true})
	return nil
}
