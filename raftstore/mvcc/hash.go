package mvcc

import (
	"encoding/binary"
	"math/bits"
)

// The digest is a chain of folded multiplications: 64×64 to 128 bits, halves
// xored. It finds members that have diverged, by bugs or bad memory; it is no
// defence against an adversary. Its value is part of the image format.
const (
	hashMul1 = 0x9e3779b97f4a7c15 // 2^64 / golden ratio, odd
	hashMul2 = 0xd6e8feb86659fd93
)

// What a step of the digest covers, besides changes of keys. The numbers are part of
// the image format: new ones go to the end.
const (
	hashLeaseGrant = iota + 1
	hashLeaseRevoke
	hashCompact
	hashKeyState
	hashLeaseCheckpoint
	hashAdvance
)

func hashFold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func hashNumbers(h, a, b, c uint64) uint64 {
	h = hashFold(h^a^hashMul1, b^hashMul2)
	return hashFold(h^hashMul1, c^h^hashMul2)
}

// hashBytes covers the length as well, so that no two sequences of strings run
// together.
func hashBytes(h uint64, b []byte) uint64 {
	h ^= uint64(len(b)) * hashMul1
	for ; len(b) >= 16; b = b[16:] {
		h = hashFold(h^binary.LittleEndian.Uint64(b), hashMul2^binary.LittleEndian.Uint64(b[8:]))
	}
	var tail [16]byte
	copy(tail[:], b)
	return hashFold(h^hashMul1^binary.LittleEndian.Uint64(tail[:]), hashMul2^binary.LittleEndian.Uint64(tail[8:]))
}

// hashChange is the step for one change of one key.
func hashChange(h uint64, ver *version, key, value []byte) uint64 {
	h = hashNumbers(h, uint64(ver.mod), uint64(ver.create), uint64(ver.version))
	h = hashNumbers(h, uint64(ver.lease), 0, 0)
	return hashBytes(hashBytes(h, key), value)
}
