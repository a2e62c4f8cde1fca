package wal

import (
	"encoding/binary"
	"hash/crc32"

	pb "go.etcd.io/raft/v3/raftpb"
)

// batch collects the records of one Flush. The data of large entries stays where it
// is until it is written: copying it would cost a fast disk a third of its bandwidth.
type batch struct {
	buf   []byte // header and records, without the data of large entries
	large []piece
	// largeBytes is the size of all pieces.
	largeBytes int
}

// piece is data that belongs behind buf[:at].
type piece struct {
	at   int
	data []byte
}

// largeMin is the size from which the data of an entry is not copied, in bytes. Below
// it a system call of its own costs more than the copy.
const largeMin = 32 << 10

func (b *batch) empty() bool { return len(b.buf) == 0 }

func (b *batch) size() int { return len(b.buf) + b.largeBytes }

// room reserves the header.
func (b *batch) room() {
	if len(b.buf) == 0 {
		b.buf = append(b.buf, make([]byte, batchHeaderSize)...)
	}
}

func (b *batch) entry(group uint64, e *pb.Entry) {
	b.room()
	b.buf = appendEntryHead(b.buf, group, e)
	if len(e.Data) < largeMin {
		b.buf = append(b.buf, e.Data...)
		return
	}
	b.large = append(b.large, piece{len(b.buf), e.Data})
	b.largeBytes += len(e.Data)
}

// seal completes the header and pads. It returns the checksum.
func (b *batch) seal(salt, chain uint32) uint32 {
	size := b.size()
	binary.LittleEndian.PutUint32(b.buf[4:], uint32(size-batchHeaderSize))
	binary.LittleEndian.PutUint32(b.buf[8:], chain)
	binary.LittleEndian.PutUint32(b.buf[12:], salt)
	crc, from := uint32(0), 4
	for _, p := range b.large {
		crc = crc32.Update(crc, castagnoli, b.buf[from:p.at])
		crc = crc32.Update(crc, castagnoli, p.data)
		from = p.at
	}
	crc = crc32.Update(crc, castagnoli, b.buf[from:])
	binary.LittleEndian.PutUint32(b.buf, crc)
	for ; size%8 != 0; size++ {
		b.buf = append(b.buf, 0)
	}
	return crc
}

// writeAt writes the batch: one write, and two more for each large entry.
func (b *batch) writeAt(f File, off int64) error {
	from := 0
	for _, p := range b.large {
		for _, part := range [...][]byte{b.buf[from:p.at], p.data} {
			if _, err := f.WriteAt(part, off); err != nil {
				return err
			}
			off += int64(len(part))
		}
		from = p.at
	}
	if from == len(b.buf) {
		return nil
	}
	_, err := f.WriteAt(b.buf[from:], off)
	return err
}

// bufferKeepMax is the largest batch buffer kept for the next batch, in bytes.
const bufferKeepMax = 4 << 20

func (b *batch) reset() {
	clear(b.large)
	b.buf, b.large, b.largeBytes = b.buf[:0], b.large[:0], 0
	if cap(b.buf) > bufferKeepMax {
		b.buf = nil
	}
}
