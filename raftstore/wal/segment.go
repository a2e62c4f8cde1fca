package wal

// Sizes of segments in bytes.
const (
	// DefaultSegmentSize is used when Options.SegmentSizeBytes is zero.
	DefaultSegmentSize = 64 << 20
	// SegmentSizeMin and SegmentSizeMax bound Options.SegmentSizeBytes.
	SegmentSizeMin = 4 << 10
	SegmentSizeMax = 1 << 30
)
