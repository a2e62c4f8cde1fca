package mvcc

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAdvanceLeavesTheDataAndCompactsItsHistory(t *testing.T) {
	s := New()
	for range 3 {
		_, err := s.Put(&PutRequest{Key: []byte("k"), Value: []byte("v")})
		require.NoError(t, err)
	}
	_, err := s.Delete(&DeleteRequest{Key: []byte("k")})
	require.NoError(t, err)
	_, err = s.Put(&PutRequest{Key: []byte("a"), Value: []byte("b")})
	require.NoError(t, err)
	require.ErrorIs(t, s.Advance(6), ErrFutureRevision)
	require.NoError(t, s.Advance(1000))

	var image bytes.Buffer
	_, err = s.Snapshot().WriteTo(&image)
	require.NoError(t, err)
	loaded, err := Load(&image)
	require.NoError(t, err)
	require.Equal(t, s.Hash(), loaded.Hash())
	for _, s := range []*Store{s, loaded} {
		require.Equal(t, int64(1000), s.Revision())
		require.Equal(t, int64(1000), s.CompactedRevision())
		for s.Reclaim(100) {
		}
		r, err := s.Range(&RangeOptions{Key: []byte{0}, End: []byte{0}})
		require.NoError(t, err)
		require.Len(t, r.KVs, 1)
		require.Equal(t, KeyValue{Key: []byte("a"), Value: []byte("b"), CreateRevision: 6, ModRevision: 6, Version: 1}, r.KVs[0])
		_, err = s.Range(&RangeOptions{Key: []byte("a"), Revision: 6})
		require.ErrorIs(t, err, ErrCompacted)
		_, err = s.Watch(WatchOptions{Key: []byte("a"), StartRevision: 7})
		require.ErrorIs(t, err, ErrCompacted)
		put, err := s.Put(&PutRequest{Key: []byte("k"), Value: []byte("new")})
		require.NoError(t, err)
		require.Equal(t, int64(1001), put.Revision)
	}
}
