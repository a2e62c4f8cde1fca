package mvcc

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStats(t *testing.T) {
	s := New()
	require.Equal(t, Stats{Revision: 1}, s.Stats())
	require.NoError(t, s.LeaseGrant(4, 10))
	mustPut(t, s, "a", "one")
	mustPut(t, s, "a", "two")
	mustPut(t, s, "b", "")
	_, err := s.Delete(&DeleteRequest{Key: []byte("b")})
	require.NoError(t, err)
	w, err := s.Watch(WatchOptions{Key: []byte("a")})
	require.NoError(t, err)
	defer w.Close()
	const put, tombstone = 6, 3 // of small numbers
	used := 2*(put+4) + put + 1 + tombstone + 1
	require.Equal(t, Stats{
		Revision: 5, Keys: 1, Records: 4, Leases: 1, Watchers: 1, LiveBytes: used, UsedBytes: used,
	}, s.Stats())
	require.NoError(t, s.Compact(5))
	settle(s)
	require.Equal(t, "revision 5 (floor 5), 1 keys, 1 records, 1 leases, 1 watchers, 21 of 31 bytes live", s.Stats().String())
}

func TestSizeBytes(t *testing.T) {
	s := New()
	require.Zero(t, s.SizeBytes())
	const keys, valueBytes = 1000, 100
	for i := range keys {
		for range 3 {
			_, err := s.Put(&PutRequest{Key: fmt.Appendf(nil, "key-%04d", i), Value: make([]byte, valueBytes)})
			require.NoError(t, err)
		}
	}
	full := s.SizeBytes()
	require.Greater(t, full, int64(3*keys*(valueBytes+recordBytes)))
	require.NoError(t, s.Compact(s.Revision()))
	for s.Reclaim(1000) {
	}
	require.Less(t, s.SizeBytes(), full/2, "history was compacted")

	loaded := New()
	loaded.Restore(imageTwin(t, s))
	require.InDelta(t, s.SizeBytes(), loaded.SizeBytes(), recordBytes)
	_, err := s.Delete(&DeleteRequest{Key: []byte{0}, End: []byte{0}})
	require.NoError(t, err)
	require.NoError(t, s.Compact(s.Revision()))
	_, err = s.Put(&PutRequest{Key: []byte("a")})
	require.NoError(t, err)
	require.NoError(t, s.Compact(s.Revision()))
	for s.Reclaim(1000) {
	}
	small := s.SizeBytes()
	require.Less(t, small, int64(1000), "everything but one key is gone")

	for id := range int64(100) {
		require.NoError(t, s.LeaseGrant(id+1, 10))
	}
	require.Equal(t, small+100*leaseBytes, s.SizeBytes(), "leases count, so that a quota bounds them")
	for id := range int64(100) {
		_, err := s.LeaseRevoke(id + 1)
		require.NoError(t, err)
	}
	require.Equal(t, small, s.SizeBytes())
}

func imageTwin(t *testing.T, s *Store) *Store {
	var b bytes.Buffer
	_, err := s.Snapshot().WriteTo(&b)
	require.NoError(t, err)
	loaded, err := Load(&b)
	require.NoError(t, err)
	return loaded
}
