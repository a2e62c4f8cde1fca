package mvcc

import "encoding/binary"

// version is one version of one key, or a tombstone: its entry and what is noted there.
type version struct {
	entry ref
	// value is where in the chunk of the entry the value's length is.
	value uint32
	mod   int64 // the revision that made it
	// create is the revision that began the key's life; 0 marks a tombstone.
	create  int64
	version int64
	lease   int64
}

// An entry is written once and never changed. Its numbers are uvarints, but for the
// lease, a varint; a tombstone ends with its version, which is 0.
//
//	entry   ┌───────┬─────┬─────┬─────────┬────────────┬───────┬─────────┬───────┐
//	        │ key n │ key │ mod │ version │ mod−create │ lease │ value m │ value │
//	        └───────┴─────┴─────┴─────────┴────────────┴───────┴─────────┴───────┘

// entryBytesMax bounds the size of an entry.
func entryBytesMax(key, value []byte) int {
	return 6*binary.MaxVarintLen64 + len(key) + len(value)
}

// appendEntry encodes a version.
func appendEntry(b, key, value []byte, ver *version) []byte {
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = append(b, key...)
	b = binary.AppendUvarint(b, uint64(ver.mod))
	b = binary.AppendUvarint(b, uint64(ver.version))
	if ver.create == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(ver.mod-ver.create))
	b = binary.AppendVarint(b, ver.lease)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// uvarint is binary.Uvarint, which most numbers here are too small for.
func uvarint(b []byte) (uint64, int) {
	if b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return binary.Uvarint(b)
}

// key returns the key of an entry.
func (d directory) key(r ref) []byte {
	b := d[r>>32][uint32(r):]
	n, i := uvarint(b)
	return b[i : i+int(n) : i+int(n)]
}

// mod returns the revision of an entry.
func (d directory) mod(r ref) int64 {
	b := d[r>>32][uint32(r):]
	n, i := uvarint(b)
	mod, _ := uvarint(b[i+int(n):])
	return int64(mod)
}

// version returns what is noted in an entry.
func (d directory) version(r ref) version {
	b := d[r>>32][uint32(r):]
	n, at := uvarint(b)
	at += int(n)
	mod, n1 := uvarint(b[at:])
	at += n1
	number, n2 := uvarint(b[at:])
	at += n2
	ver := version{entry: r, mod: int64(mod)}
	if number == 0 {
		ver.value = uint32(r) + uint32(at)
		return ver
	}
	age, n3 := uvarint(b[at:])
	at += n3
	lease, n4 := uvarint(b[at:])
	at += n4
	ver.value = uint32(r) + uint32(at)
	ver.version, ver.create = int64(number), int64(mod-age)
	ver.lease = int64(lease>>1) ^ -int64(lease&1) // zigzag, as binary.Varint has it
	return ver
}

// value returns the value of a version; a tombstone has none.
func (d directory) value(ver *version) []byte {
	if ver.create == 0 {
		return nil
	}
	b := d[ver.entry>>32][ver.value:]
	m, i := uvarint(b)
	return b[i : i+int(m) : i+int(m)]
}

// entry returns the key and the value of an entry.
func (d directory) entry(r ref) (key, value []byte) {
	ver := d.version(r)
	return d.key(r), d.value(&ver)
}

// fill sets a pair to that of an entry which is no tombstone: key, version and value in
// one go, which is what a range spends its time on.
func (d directory) fill(kv *KeyValue, r ref) {
	b := d[r>>32][uint32(r):]
	n, i := uvarint(b)
	kv.Key = b[i : i+int(n) : i+int(n)]
	b = b[i+int(n):]
	mod, i := uvarint(b)
	b = b[i:]
	number, i := uvarint(b)
	b = b[i:]
	age, i := uvarint(b)
	b = b[i:]
	lease, i := uvarint(b)
	b = b[i:]
	m, i := uvarint(b)
	kv.Value = b[i : i+int(m) : i+int(m)]
	kv.CreateRevision, kv.ModRevision, kv.Version = int64(mod-age), int64(mod), int64(number)
	kv.Lease = int64(lease>>1) ^ -int64(lease&1)
}

// entryBytes returns the size of an entry.
func (d directory) entryBytes(r ref) int {
	ver := d.version(r)
	n := int(ver.value - uint32(r))
	if ver.create == 0 {
		return n
	}
	m, i := uvarint(d[r>>32][ver.value:])
	return n + i + int(m)
}
