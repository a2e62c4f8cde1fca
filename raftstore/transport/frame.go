package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Lane separates traffic that must not wait for each other: each lane has a
// connection and a queue of its own.
type Lane uint8

const (
	// LaneControl carries heartbeats, votes and acknowledgements: small and urgent.
	LaneControl Lane = iota
	// LaneAppend carries log entries.
	LaneAppend
	// LaneSnapshot carries parts of snapshots.
	LaneSnapshot

	// Lanes is the number of lanes.
	Lanes = 3
)

// String returns the lane's name.
func (l Lane) String() string {
	switch l {
	case LaneControl:
		return "control"
	case LaneAppend:
		return "append"
	case LaneSnapshot:
		return "snapshot"
	}
	return fmt.Sprintf("lane(%d)", uint8(l))
}

// Frame is one message as it arrives. Payload belongs to the receiver.
type Frame struct {
	From    uint64
	Lane    Lane
	Group   uint32
	Payload []byte
}

// On the wire a frame is
//
//	 0        4        8        12     13         16
//	┌────────┬────────┬────────┬──────┬──────────┬─ ─ ─ ─ ─
//	│ length │  crc   │ group  │ lane │ reserved │ payload
//	└────────┴────────┴────────┴──────┴──────────┴─ ─ ─ ─ ─
//
// little endian; length is that of the payload, crc is CRC32C over all that
// follows it, and reserved is zero. TCP's own checksum has 16 bits, which are too few
// for a log.
const frameHeaderSize = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Errors of frames and handshakes that do not come from a well-behaved member.
var (
	// ErrFrame is matched when bytes are not a frame or exceed a limit.
	ErrFrame = errors.New("transport: bad frame")
	// ErrHandshake is matched when the other side is not who it should be.
	ErrHandshake = errors.New("transport: handshake failed")
)

// appendFrame adds the wire form of a frame to dst.
func appendFrame(dst []byte, lane Lane, group uint32, payload []byte) []byte {
	start := len(dst)
	var h [frameHeaderSize]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(h[8:], group)
	h[12] = byte(lane)
	dst = append(dst, h[:]...)
	dst = append(dst, payload...)
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(dst[start+8:], castagnoli))
	return dst
}

// trustedSize is what is allocated for a payload before any of it has arrived; a
// longer one must send bytes to claim memory.
const trustedSize = 256 << 10

// readFrame reads the next frame of a lane, of at most sizeMax bytes payload.
func readFrame(r *bufio.Reader, lane Lane, sizeMax int) (Frame, error) {
	h, err := r.Peek(frameHeaderSize)
	if err != nil {
		return Frame{}, noFrameEOF(len(h), err)
	}
	var header [frameHeaderSize]byte
	copy(header[:], h)
	length := binary.LittleEndian.Uint32(header[0:])
	if uint64(length) > uint64(sizeMax) {
		return Frame{}, fmt.Errorf("%w: payload of %d bytes, expected at most %d", ErrFrame, length, sizeMax)
	}
	if Lane(header[12]) != lane || header[13]|header[14]|header[15] != 0 {
		return Frame{}, fmt.Errorf("%w: lane and reserved bytes are % x, expected %02x 00 00 00", ErrFrame, header[12:], lane)
	}
	if _, err := r.Discard(frameHeaderSize); err != nil {
		return Frame{}, err
	}
	payload, err := readPayload(r, int(length))
	if err != nil {
		return Frame{}, noFrameEOF(frameHeaderSize, err)
	}
	crc := crc32.Update(crc32.Checksum(header[8:], castagnoli), castagnoli, payload)
	if want := binary.LittleEndian.Uint32(header[4:]); crc != want {
		return Frame{}, fmt.Errorf("%w: checksum of the content is %08x, the header has %08x", ErrFrame, crc, want)
	}
	return Frame{Lane: lane, Group: binary.LittleEndian.Uint32(header[8:]), Payload: payload}, nil
}

// noFrameEOF keeps io.EOF for the end between two frames.
func noFrameEOF(have int, err error) error {
	if have > 0 && errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrFrame, io.ErrUnexpectedEOF)
	}
	return err
}

func readPayload(r io.Reader, n int) ([]byte, error) {
	payload := make([]byte, min(n, trustedSize))
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, err
	}
	for len(payload) < n {
		have := len(payload)
		grown := make([]byte, min(n, 2*have))
		copy(grown, payload)
		payload = grown
		if _, err := io.ReadFull(r, payload[have:]); err != nil {
			return nil, err
		}
	}
	return payload, nil
}

// The hello that opens a connection says who wants to reach whom, and on which
// lane; the answer is a verdict, with a notice for who was removed. With TLS all of
// it is encrypted.
//
//	hello   magic: 8 · clusterID: 8 · from: 8 · to: 8 · lane: 1 · zero: 3 · crc: 4
//	answer  magic: 8 · verdict: 1 · length: 2 · notice
const (
	helloMagic = "ocraft\x00\x01"
	helloSize  = 40
	answerSize = 11
)

func encodeAnswer(v verdict, notice []byte) []byte {
	b := append([]byte(helloMagic), byte(v))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(notice)))
	return append(b, notice...)
}

func readAnswer(r io.Reader) (v verdict, notice []byte, err error) {
	b := make([]byte, answerSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint16(b[9:])
	if string(b[:8]) != helloMagic || b[8] >= byte(verdicts) || n > NoticeSizeMax {
		return 0, nil, fmt.Errorf("%w: answer is %q", ErrHandshake, b)
	}
	notice = make([]byte, n)
	_, err = io.ReadFull(r, notice)
	return verdict(b[8]), notice, err
}

type hello struct {
	clusterID, from, to uint64
	lane                Lane
}

func (h hello) encode() []byte {
	b := make([]byte, helloSize)
	copy(b, helloMagic)
	binary.LittleEndian.PutUint64(b[8:], h.clusterID)
	binary.LittleEndian.PutUint64(b[16:], h.from)
	binary.LittleEndian.PutUint64(b[24:], h.to)
	b[32] = byte(h.lane)
	binary.LittleEndian.PutUint32(b[36:], crc32.Checksum(b[:36], castagnoli))
	return b
}

func decodeHello(b []byte) (hello, error) {
	if len(b) != helloSize || string(b[:8]) != helloMagic {
		return hello{}, fmt.Errorf("%w: begins with %q, expected %q", ErrHandshake, b[:min(len(b), 8)], helloMagic)
	}
	if crc32.Checksum(b[:36], castagnoli) != binary.LittleEndian.Uint32(b[36:]) {
		return hello{}, fmt.Errorf("%w: checksum does not match", ErrHandshake)
	}
	if b[33]|b[34]|b[35] != 0 || b[32] >= Lanes {
		return hello{}, fmt.Errorf("%w: lane and reserved bytes are % x", ErrHandshake, b[32:36])
	}
	return hello{
		clusterID: binary.LittleEndian.Uint64(b[8:]),
		from:      binary.LittleEndian.Uint64(b[16:]),
		to:        binary.LittleEndian.Uint64(b[24:]),
		lane:      Lane(b[32]),
	}, nil
}

// verdict is what the accepting side thinks of a hello.
type verdict uint8

const (
	verdictWelcome verdict = iota
	verdictWrongCluster
	verdictWrongMember
	verdictRemoved
	verdicts
)

func (v verdict) String() string {
	return [...]string{"welcome", "wrong cluster", "wrong member", "removed from the cluster"}[v]
}
