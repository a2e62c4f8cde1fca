package wal

import (
	"fmt"
	"path/filepath"
)

// A log at its steady size fills no file with zeros: the segments that Release gives
// up become the next ones, and each byte is written once. What such a file held
// before stays behind the batches; the salt keeps it from being taken for them.

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
	return prepareFile(w.opts.FS, w.spareName(), size)
}

// spareName returns a name that was not used since Open: the spare before may not have
// got its final name yet. w.mu is held.
func (w *WAL) spareName() string {
	w.prepares++
	return filepath.Join(w.dir, fmt.Sprintf("next-%d%s", w.prepares, preparedSuffix))
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
	spare, enough := w.spareName(), len(w.spares) >= sparesMax
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
