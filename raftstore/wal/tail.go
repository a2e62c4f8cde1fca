package wal

import (
	"errors"
	"fmt"
	"io"
)

// checkTail looks at what lies behind the last batch of a segment that verifies.
// A crash can leave any part of one unfinished batch there, in the last segment
// only. A whole batch further on means that this one was acknowledged and has been
// damaged since. It returns the size of the unfinished batch after zeroing it.
func (w *WAL) checkTail(file File, seg segment, last bool) (torn int64, err error) {
	torn, end, err := w.tornEnd(file, seg, last)
	if err != nil || end == w.off {
		return 0, err
	}
	if err := zeroRange(file, w.off, end); err != nil {
		return 0, err
	}
	return torn, nil
}

// tornEnd returns the size of the unfinished batch at w.off, and where zeros must be
// written up to: w.off if nothing is there.
func (w *WAL) tornEnd(file File, seg segment, last bool) (torn, end int64, err error) {
	if seg.header.reused && !last {
		return 0, w.off, nil // the next segment knows where this one ends; see openSegment
	}
	end, err = lastNonZero(file, w.off, int64(seg.header.size))
	if err != nil || end == w.off {
		return 0, w.off, err
	}
	if !last {
		return 0, 0, &CorruptError{seg.name, w.off, "batch does not verify, and segments follow"}
	}
	// The length itself may be what is damaged, so every position counts.
	found, err := findBatch(file, seg, w.off+8, end)
	if err != nil {
		return 0, 0, err
	}
	if found >= 0 {
		return 0, 0, &CorruptError{seg.name, w.off, fmt.Sprintf("batch does not verify, and a valid one follows at offset %d", found)}
	}
	if !seg.header.reused {
		return end - w.off, end, nil
	}
	// What the file held before stays, as it does behind every batch: up to the whole
	// file would have to be written.
	torn, err = w.tornReused(file, seg)
	return torn, w.off + torn, err
}

// tornReused is the size of an unfinished batch at w.off in a file that was used
// before, as its header has it: without one it cannot be told from what is old.
func (w *WAL) tornReused(file File, seg segment) (int64, error) {
	room := int64(seg.header.size) - w.off
	if room < batchHeaderSize {
		return 0, nil
	}
	var head [batchHeaderSize]byte
	if _, err := file.ReadAt(head[:], w.off); err != nil {
		return 0, err
	}
	if h := decodeBatchHeader(head[:]); h.plausible(seg.crc, room) {
		return h.size(), nil
	}
	return 0, nil
}

const scanWindow = 256 << 10

// scanWindows calls f with consecutive parts of a file until it returns false.
func scanWindows(file File, from, to int64, f func(off int64, b []byte) bool) error {
	buf := make([]byte, min(scanWindow, to-from))
	for off := from; off < to; off += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), to-off)]
		if _, err := file.ReadAt(buf, off); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !f(off, buf) {
			return nil
		}
	}
	return nil
}

// lastNonZero returns the end of the last byte that is not zero, or from.
func lastNonZero(file File, from, to int64) (int64, error) {
	end := from
	err := scanWindows(file, from, to, func(off int64, b []byte) bool {
		for i := len(b); i > 0; i-- {
			if b[i-1] != 0 {
				end = off + int64(i)
				break
			}
		}
		return true
	})
	return end, err
}

// findBatch returns the offset of the first batch of the segment that verifies and
// begins in [from, to), -1 if there is none.
func findBatch(file File, seg segment, from, to int64) (int64, error) {
	size := int64(seg.header.size)
	candidates := []int64{}
	carried := make([]byte, 0, scanWindow+batchHeaderSize)
	err := scanWindows(file, from, min(size, to+batchHeaderSize), func(off int64, b []byte) bool {
		start := off - int64(len(carried))
		carried = append(carried, b...)
		i := 0
		for ; i+batchHeaderSize <= len(carried); i += 8 {
			if decodeBatchHeader(carried[i:]).plausible(seg.crc, size-start-int64(i)) {
				candidates = append(candidates, start+int64(i))
			}
		}
		carried = append(carried[:0], carried[i:]...)
		return true
	})
	if err != nil {
		return -1, err
	}
	// Nobody who does not know the salt can make many candidates; if there are, it is
	// not the trace of a crash.
	budget := 4 * size
	for _, off := range candidates {
		var head [batchHeaderSize]byte
		if _, err := file.ReadAt(head[:], off); err != nil {
			return -1, err
		}
		h := decodeBatchHeader(head[:])
		if budget -= int64(h.length); budget < 0 {
			return off, nil
		}
		b := make([]byte, h.size())
		if _, err := file.ReadAt(b, off); err != nil {
			return -1, err
		}
		if h.valid(b) {
			return off, nil
		}
	}
	return -1, nil
}

// zeroRange overwrites and syncs.
func zeroRange(file File, from, to int64) error {
	for off := from; off < to; off += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros[:min(int64(len(zeros)), to-off)], off); err != nil {
			return err
		}
	}
	return file.Sync()
}
