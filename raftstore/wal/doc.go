// Package wal is the write-ahead log of a Raft member: entries, hard states and the
// marks of snapshots, durable before anybody is told.
//
// # Terms
//
// A record is one entry, hard state, mark or small value of the caller's. A batch
// is what one Flush writes. A segment is a file of batches. The tail is what lies
// behind the last batch of the last segment.
//
// # Algorithm
//
// Append calls encode records into memory; Flush completes the batch and costs one
// write (two more for each entry of 32 KiB or more, whose data is not copied) and one
// fdatasync however many records there are, which is what makes group commit nearly
// free: on the disk this was measured on, 64 KiB cost what 4 KiB do.
// Segments are filled with zeros before their first use, so that fdatasync has no
// metadata to journal; the next one is prepared while the current one fills. Segments
// that Release gives up are used again as they are, up to four of them, so that a log
// at its steady size writes each byte once. What is prepared outlives a restart.
//
// Open reads all segments in order, O(bytes). Batches carry their own checksum, that
// of the batch before, and a salt of their segment, so that a batch that is damaged,
// missing, swapped or of another log is found. One that does not verify at the very
// end is what a crash leaves of a batch that was never acknowledged: it is cut off.
// If a whole batch follows anywhere behind it, it had been acknowledged, and Open
// refuses. The end of a segment that is not the last is where the header of the next
// one says; what a file held as an older segment has another salt. The one case that
// cannot be told apart is damage to the very last batch: it looks like a torn write.
//
// Entries reads back what is durable, for whoever does not hold the whole log in memory:
// an index of the batches says in which file they are. O(log batches + bytes).
//
// # Layout
//
//	segment: header (a sector) · batch · batch · … · zeros or old  see segment.go
//	batch:   crc · length · chain · salt · records · padding      see record.go
//
// Every segment begins with a batch that repeats the hard state, the last two marks
// and the caller's values, so that Release can give up the segments before it.
//
// # Guarantees
//
// When Flush returns nil, everything appended before is durable, and so are the
// names of the files it is in. A failed write or sync is final: every later call
// returns ErrFailed. Nothing is retried, since the kernel may count lost pages as
// written; and what the process finds after a restart is written again before use.
// Append and Flush allocate nothing once their buffer has grown. A WAL belongs to
// one goroutine at a time, Prepare, Entries and what Release returns excepted. Lengths
// are checked against the file before memory is taken.
//
// # Differences from upstream
//
//   - Differs: etcd chains a checksum over records and takes a torn sector for the
//     end; here the unit is the batch, so that sectors of one write may reach the disk
//     in any order, and acknowledged data is never taken for torn.
//   - Differs: segments are zero-filled, not preallocated with unwritten extents, and
//     used again.
//   - Differs: records carry a group id, but one log holds one group; another one is
//     refused.
//
// # Sources
//
// etcd's server/storage/wal and its issues #6368, #6378, #14098; Rebello et al., Can
// Applications Recover from fsync Failures? (2020); hashicorp/raft-wal for the
// crashable file system in tests.
//
// # Reading order
//
// record.go, batch.go, segment.go, wal.go, spare.go, recover.go, tail.go, entries.go,
// read.go, fs.go; memfs.go for tests.
package wal
