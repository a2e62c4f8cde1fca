// Package transport carries frames between the members of a cluster. It knows
// nothing of Raft: a frame is a payload with a lane and a group.
//
// # Terms
//
// A lane separates traffic that must not wait for each other: heartbeats and votes,
// log entries, snapshots. A peer is another member as seen from here. A group is the
// Raft group that a frame belongs to, so that several can share connections.
//
// # Algorithm
//
// For each peer and lane there is one connection in each direction, dialled by the
// sender when it first has something to send, and again, with growing pauses, when
// it breaks. Send appends the frame to the lane's queue. If nothing else is queued and
// the frame is small, it writes it itself, as far as the socket takes it without
// waiting: followers then have an entry before the leader begins to sync its own.
// Otherwise the lane's goroutine swaps the queue for an empty buffer and writes all of
// it with one system call: O(bytes), no allocation, and the busier the lane the fewer
// calls. TLS connections are written by the goroutine alone. What does not fit into
// the queue, or cannot be delivered, is dropped and reported: Raft sends again what
// still matters, and a queue of old frames would only delay it.
//
// # Layout
//
//	hello   magic · clusterID · from · to · lane · crc        answer  magic · verdict
//	frame   length · crc · group · lane · payload             see frame.go
//
// # Guarantees
//
// Send never waits. Frames arrive whole (CRC32C) or not at all; in order within a
// lane while its connection lasts. A connection of another cluster, to another
// member, or from a removed one ends after the handshake; the removed one is told.
// With TLS both sides must present a certificate of the other's roots before a byte
// of the handshake is answered. Memory is bounded: queues, frames, connections, and
// what a frame may claim before its bytes have come. Handshakes and half frames
// have deadlines, idle connections none. Close ends everything and waits.
//
// Network is the same in memory, over a clock of its own, with delays, loss,
// duplicates and partitions drawn from a seed, for simulations.
//
// # Differences from upstream
//
//   - Differs: etcd streams protobuf over HTTP and sends large messages on pipelines;
//     here every lane is a plain TCP or TLS connection of frames.
//
// # Sources
//
// etcd's server/etcdserver/api/rafthttp for the lanes and the duties towards Raft
// (drop, report, tell the removed); issue #7970 for why heartbeats travel alone.
//
// # Reading order
//
// transport.go, frame.go, tcp.go, peer.go, socket_unix.go, memory.go.
package transport
