package mvcc

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// storeFor returns a store with everything that an image can hold.
func storeFor(t testing.TB, seed uint64) *Store {
	t.Helper()
	s, r := New(), rand.New(rand.NewPCG(seed, 13))
	require.NoError(t, s.LeaseGrant(7, 60))
	require.NoError(t, s.LeaseGrant(-3, MaxLeaseTTL))
	require.NoError(t, s.LeaseCheckpoint(7, 20))
	for i := range 200 {
		p := &PutRequest{Key: fmt.Appendf(nil, "key-%d", r.IntN(40)), Value: bytes.Repeat([]byte{byte(i)}, r.IntN(50))}
		if r.IntN(4) == 0 {
			p.Lease = 7
		}
		_, err := s.Put(p)
		require.NoError(t, err)
		if r.IntN(5) == 0 {
			_, err = s.Delete(&DeleteRequest{Key: fmt.Appendf(nil, "key-%d", r.IntN(40)), End: fmt.Appendf(nil, "key-%d", r.IntN(40))})
			require.NoError(t, err)
		}
	}
	require.NoError(t, s.Compact(s.Revision()-50))
	return s
}

func imageOf(t testing.TB, s *Store) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := s.Snapshot().WriteTo(&b)
	require.NoError(t, err)
	require.EqualValues(t, b.Len(), n)
	return b.Bytes()
}

// The format is a promise to files already written.
func TestImageGolden(t *testing.T) {
	file := filepath.Join("testdata", "image.bin")
	got := imageOf(t, storeFor(t, 1))
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o777))
		require.NoError(t, os.WriteFile(file, got, 0o666))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the image format has changed")
	s, err := Load(bytes.NewReader(want))
	require.NoError(t, err)
	require.Equal(t, storeFor(t, 1).Hash(), s.Hash())
	checkInvariants(t, s)
}

// An image of an image is the same image, and what follows is the same too.
func TestImageRoundTrip(t *testing.T) {
	for seed := range uint64(20) {
		s := storeFor(t, seed)
		image := imageOf(t, s)
		// Whatever follows the image is left to the reader.
		in := io.MultiReader(iotest.HalfReader(bytes.NewReader(image)), strings.NewReader("next"))
		loaded, err := Load(in)
		require.NoError(t, err)
		rest, err := io.ReadAll(in)
		require.NoError(t, err)
		require.Equal(t, "next", string(rest))
		require.True(t, bytes.Equal(image, imageOf(t, loaded)))
		checkInvariants(t, loaded)
		for _, store := range []*Store{s, loaded} {
			_, err = store.LeaseRevoke(7)
			require.NoError(t, err)
			mustPut(t, store, "key-1", "after")
		}
		require.Equal(t, s.Hash(), loaded.Hash())
		require.True(t, bytes.Equal(imageOf(t, s), imageOf(t, loaded)))
	}
}

func TestImageOfLargeValues(t *testing.T) {
	s := New()
	for _, n := range []int{0, 1, imageBlockBytes - 1, imageBlockBytes, imageBlockBytes + 1, 3 << 20} {
		mustPut(t, s, fmt.Sprint("key-", n), strings.Repeat("v", n))
	}
	loaded, err := Load(bytes.NewReader(imageOf(t, s)))
	require.NoError(t, err)
	kv, ok, err := loaded.Lookup([]byte(fmt.Sprint("key-", 3<<20)), 0)
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, kv.Value, 3<<20)
}

// Every cut and every flipped byte is found.
func TestImageDamage(t *testing.T) {
	image := imageOf(t, storeFor(t, 2))
	for n := range len(image) {
		if n%7 == 0 || n < 200 || n > len(image)-200 {
			_, err := Load(bytes.NewReader(image[:n]))
			require.ErrorIs(t, err, ErrCorruptImage, "cut at %d", n)
		}
		damaged := bytes.Clone(image)
		damaged[n] ^= 1 << (n % 8)
		_, err := Load(bytes.NewReader(damaged))
		require.ErrorIs(t, err, ErrCorruptImage, "flipped at %d", n)
	}
	fault := errors.New("disk fault")
	_, err := Load(io.MultiReader(bytes.NewReader(image[:100]), iotest.ErrReader(fault)))
	require.ErrorIs(t, err, fault, "a fault of the reader is no corruption")
	require.NotErrorIs(t, err, ErrCorruptImage)
	_, err = storeFor(t, 2).Snapshot().WriteTo(&shortWriter{room: 100})
	require.ErrorIs(t, err, io.ErrShortWrite)
}

type shortWriter struct{ room int }

func (w *shortWriter) Write(b []byte) (int, error) {
	if len(b) > w.room {
		return w.room, io.ErrShortWrite
	}
	w.room -= len(b)
	return len(b), nil
}

// forge writes an image with good checksums and whatever contents.
func forge(write func(e *imageWriter)) []byte {
	var b bytes.Buffer
	e := newImageWriter(&b)
	write(e)
	if _, err := e.finish(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestImageRefusesWhatNoStoreWrites(t *testing.T) {
	header := func(e *imageWriter, revision uint64, floor int64) {
		e.uvarint(revision)
		e.varint(floor)
		e.buf = append(e.buf, make([]byte, 8)...)
		e.uvarint(1)
	}
	lease := func(e *imageWriter, id, ttl, remaining int64, serial uint64) {
		e.byte(1)
		e.varint(id)
		e.varint(ttl)
		e.varint(remaining)
		e.uvarint(serial)
	}
	base := func(e *imageWriter, key string, create, mod, version, lease int64) {
		e.base(KeyValue{Key: []byte(key), CreateRevision: create, ModRevision: mod, Version: version, Lease: lease})
	}
	tests := map[string]func(e *imageWriter){
		"no revision":          func(e *imageWriter) { header(e, 0, 0) },
		"floor above revision": func(e *imageWriter) { header(e, 5, 6) },
		"floor below -1":       func(e *imageWriter) { header(e, 5, -2) },
		"revision overflow":    func(e *imageWriter) { header(e, 1<<63, 1) },
		"lease 0":              func(e *imageWriter) { header(e, 5, 5); lease(e, 0, 1, 0, 1) },
		"lease without ttl":    func(e *imageWriter) { header(e, 5, 5); lease(e, 1, 0, 0, 1) },
		"lease with too much":  func(e *imageWriter) { header(e, 5, 5); lease(e, 1, 5, 6, 1) },
		"lease never granted":  func(e *imageWriter) { header(e, 5, 5); lease(e, 1, 5, 0, 2) },
		"lease without serial": func(e *imageWriter) { header(e, 5, 5); lease(e, 1, 5, 0, 0) },
		"lease twice": func(e *imageWriter) {
			header(e, 5, 5)
			for range 2 {
				lease(e, 1, 9, 0, 1)
			}
		},
		"bad mark":          func(e *imageWriter) { header(e, 5, 5); e.byte(2) },
		"keys out of order": func(e *imageWriter) { header(e, 5, 5); e.byte(0); base(e, "b", 2, 2, 1, 0); base(e, "a", 2, 2, 1, 0) },
		"key twice":         func(e *imageWriter) { header(e, 5, 5); e.byte(0); base(e, "a", 2, 2, 1, 0); base(e, "a", 2, 2, 1, 0) },
		"base at floor":     func(e *imageWriter) { header(e, 5, 5); e.byte(0); base(e, "a", 2, 5, 2, 0) },
		"create after mod":  func(e *imageWriter) { header(e, 5, 5); e.byte(0); base(e, "a", 3, 2, 1, 0) },
		"version overflow":  func(e *imageWriter) { header(e, 5, 5); e.byte(0); base(e, "a", 2, 2, 1<<63-1, 0) },
		"version 0":         func(e *imageWriter) { header(e, 5, 5); e.byte(0); base(e, "a", 2, 2, 0, 0) },
		"unknown lease":     func(e *imageWriter) { header(e, 5, 5); e.byte(0); base(e, "a", 2, 2, 1, 8); e.bytes(nil); e.byte(0) },
		"revision missing":  func(e *imageWriter) { header(e, 6, 5); e.byte(0); e.bytes(nil); e.byte(0) },
		"delete of nothing": func(e *imageWriter) {
			header(e, 6, 5)
			e.byte(0)
			e.bytes(nil)
			e.record(&version{}, 1, []byte("a"), nil)
			e.byte(0)
		},
		"record without key": func(e *imageWriter) {
			header(e, 6, 5)
			e.byte(0)
			e.bytes(nil)
			e.record(&version{create: 1}, 1, nil, nil)
			e.byte(0)
		},
		"revision left out": func(e *imageWriter) {
			header(e, 7, 5)
			e.byte(0)
			e.bytes(nil)
			e.record(&version{create: 1}, 2, []byte("a"), nil)
			e.byte(0)
		},
		"record at revision 1": func(e *imageWriter) {
			header(e, 1, -1)
			e.byte(0)
			e.bytes(nil)
			e.record(&version{create: 1}, 0, []byte("a"), nil)
			e.byte(0)
		},
		"more behind": func(e *imageWriter) { header(e, 5, 5); e.byte(0); e.bytes(nil); e.byte(0); e.byte(0) },
		"huge key":    func(e *imageWriter) { header(e, 5, 5); e.byte(0); e.uvarint(1 << 40) },
		"long number": func(e *imageWriter) { e.buf = append(e.buf, bytes.Repeat([]byte{0x80}, 11)...) },
	}
	for name, write := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := Load(bytes.NewReader(forge(write)))
			require.ErrorIs(t, err, ErrCorruptImage)
			require.Nil(t, s)
		})
	}
}

// A promise of two gigabytes in an image of a few bytes costs a few bytes.
func TestImageBoundsMemory(t *testing.T) {
	image := forge(func(e *imageWriter) {
		e.uvarint(5)
		e.varint(5)
		e.buf = append(e.buf, make([]byte, 8)...)
		e.byte(0)
		e.uvarint(maxEntryPartBytes)
		e.byte(0)
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Load(bytes.NewReader(image))
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, ErrCorruptImage)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(nil), false)
	f.Add(imageOf(f, New()), false)
	f.Add(imageOf(f, storeFor(f, 3)), false)
	f.Add([]byte("\x05\x0a01234567\x00\x00\x00"), true)
	f.Add([]byte("\x06\x0a01234567\x00\x00\x01\x01\x01a\x01b\x00\x00"), true)
	f.Fuzz(func(t *testing.T, data []byte, payload bool) {
		if payload { // with good checksums, or the fuzzer will not get past them
			data = forge(func(e *imageWriter) {
				for len(data) > 0 {
					n := min(len(data), imageBlockBytes)
					e.buf = append(e.buf, data[:n]...)
					e.flush()
					data = data[n:]
				}
			})
		}
		s, err := Load(bytes.NewReader(data))
		if err != nil {
			require.ErrorIs(t, err, ErrCorruptImage)
			return
		}
		checkInvariants(t, s)
		again, err := Load(bytes.NewReader(imageOf(t, s)))
		require.NoError(t, err)
		want, err := s.Snapshot().HashKV(0)
		require.NoError(t, err)
		got, err := again.Snapshot().HashKV(0)
		require.NoError(t, err)
		require.Equal(t, want, got)
		mustPut(t, s, "a", "b")
		require.NoError(t, s.Compact(s.Revision()))
		settle(s)
		checkInvariants(t, s)
	})
}
