package mvcc

import (
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
	const entry = entryHeaderBytes
	used := 2*(entry+4) + 2*(entry+1)
	require.Equal(t, Stats{
		Revision: 5, Keys: 1, Records: 4, Leases: 1, Watchers: 1, LiveBytes: used, UsedBytes: used,
	}, s.Stats())
	require.NoError(t, s.Compact(5))
	settle(s)
	require.Equal(t, "revision 5 (floor 5), 1 keys, 1 records, 1 leases, 1 watchers, 30 of 42 bytes live", s.Stats().String())
}
