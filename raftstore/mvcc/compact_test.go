package mvcc

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// settle does all the work that compaction left.
func settle(s *Store) {
	for s.Reclaim(1 << 20) {
	}
}

// Overwriting the same keys for ever, with compactions, needs memory for the
// keys and not for what was written.
func TestCompactionFreesMemory(t *testing.T) {
	s := New()
	value := strings.Repeat("x", 1000)
	for round := range 200 {
		for key := range 100 {
			mustPut(t, s, fmt.Sprint("key-", key), value)
		}
		require.NoError(t, s.Compact(s.Revision()))
		if round == 100 {
			settle(s)
		}
	}
	settle(s)
	checkInvariants(t, s)
	const live = 100 * (1000 + 8 + 6)
	require.LessOrEqual(t, s.arena.liveBytes, live+1100, "the last revision is in the history as well")
	require.Less(t, s.arena.usedBytes, 4*live+2*chunkBytesMax, "dead chunks must go")
	require.Less(t, len(s.arena.dir), 12, "chunk numbers must be used again")
	require.LessOrEqual(t, len(s.live.history.blocks), 2)
	require.Equal(t, 100, s.index.length)
}

// Writers that never pause do the work of a compaction before the next one, however
// many changes a transaction makes.
func TestWritesKeepUpWithCompaction(t *testing.T) {
	const changes = 20_000 // from one compaction to the next
	for _, together := range []int{1, 100} {
		for _, keys := range []int{100, 10_000} {
			t.Run(fmt.Sprintf("together=%d/keys=%d", together, keys), func(t *testing.T) {
				s, value := New(), []byte(strings.Repeat("x", 100))
				for i := 0; i < 5*changes; i += together {
					txn := &Txn{}
					for j := range together {
						key := fmt.Appendf(nil, "key-%d", (i+j)*7919%keys)
						txn.Then = append(txn.Then, Op{Put: &PutRequest{Key: key, Value: value}})
					}
					_, err := s.Apply(txn)
					require.NoError(t, err)
					if i%changes == 0 && i > 0 {
						require.True(t, s.reclaim.scanned && len(s.reclaim.chunks) == 0 || i == changes, "after %d changes", i)
						require.NoError(t, s.Compact(s.Revision()))
					}
				}
				checkInvariants(t, s)
			})
		}
	}
}

// What a snapshot, a result and an event hold stays as it was, whatever is
// compacted and reused after it.
func TestCompactionLeavesReadersAlone(t *testing.T) {
	s := New()
	for key := range 500 {
		mustPut(t, s, fmt.Sprint("key-", key), strings.Repeat(fmt.Sprint(key), 300))
	}
	snapshot := s.Snapshot()
	result, err := s.Range(&RangeOptions{Key: []byte{0}, End: []byte{0}})
	require.NoError(t, err)
	kept := make([]string, len(result.KVs))
	for i, kv := range result.KVs {
		kept[i] = string(kv.Value)
	}
	hash, err := snapshot.HashKV(0)
	require.NoError(t, err)
	for round := range 5 {
		for key := range 500 {
			mustPut(t, s, fmt.Sprint("key-", key), strings.Repeat("y", 500+round))
		}
		require.NoError(t, s.Compact(s.Revision()))
		settle(s)
	}
	for i, kv := range result.KVs {
		require.Equal(t, kept[i], string(kv.Value))
	}
	again, err := snapshot.HashKV(0)
	require.NoError(t, err)
	require.Equal(t, hash, again)
	_, err = snapshot.Range(&RangeOptions{Key: []byte{0}, End: []byte{0}, Revision: 2})
	require.NoError(t, err, "the snapshot has its own floor")
}

// A chunk with little left in it stays while a record of the history needs it.
func TestCompactionKeepsWhatRecordsNeed(t *testing.T) {
	s := New()
	value := strings.Repeat("x", 300)
	for range 90 {
		mustPut(t, s, "a", value)
	}
	first := mustPut(t, s, "b", value+"1")
	second := mustPut(t, s, "b", value+"2")
	require.Equal(t, 1, s.arena.tail, "all of it in one chunk")
	for range 90 {
		mustPut(t, s, "c", value)
	}
	require.NotEqual(t, 1, s.arena.tail)
	require.NoError(t, s.Compact(first))
	settle(s)
	require.Less(t, 2*s.arena.use[1].live, s.arena.use[1].used)
	for revision, want := range map[int64]string{first: value + "1", second: value + "2"} {
		kv, ok, err := s.Lookup([]byte("b"), revision)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, string(kv.Value))
	}
	checkInvariants(t, s)
	require.NoError(t, s.Compact(s.Revision()))
	settle(s)
	require.True(t, s.arena.dir[1] == nil, "now nothing needs it")
	checkInvariants(t, s)
}

// The answers do not depend on how far the work behind the floor has come.
func TestReclaimIsInvisible(t *testing.T) {
	build := func() *Store {
		s := New()
		for i := range 300 {
			key := fmt.Sprint("key-", i%17)
			mustPut(t, s, key, fmt.Sprint(i))
			if i%5 == 0 {
				_, err := s.Delete(&DeleteRequest{Key: []byte(key)})
				require.NoError(t, err)
			}
		}
		s.mu.Lock() // the floor alone, without any work
		s.live.floor = 250
		s.mu.Unlock()
		return s
	}
	image := func(s *Store) []byte {
		var b bytes.Buffer
		_, err := s.Snapshot().WriteTo(&b)
		require.NoError(t, err)
		return b.Bytes()
	}
	want := image(build())
	for steps := range 300 {
		s := build()
		s.Reclaim(steps)
		require.True(t, bytes.Equal(want, image(s)), "after %d steps", steps)
		checkInvariants(t, s)
	}
}

func TestCompactRefuses(t *testing.T) {
	s := New()
	require.NoError(t, s.Compact(0), "as etcd: nothing is below it yet")
	require.ErrorIs(t, s.Compact(0), ErrCompacted)
	require.NoError(t, s.Compact(1))
	require.ErrorIs(t, s.Compact(2), ErrFutureRevision)
	mustPut(t, s, "a", "1")
	mustPut(t, s, "a", "2")
	require.NoError(t, s.Compact(3))
	_, err := s.Range(&RangeOptions{Key: []byte("a"), Revision: 2})
	var compacted *CompactedError
	require.ErrorAs(t, err, &compacted)
	require.Equal(t, CompactedError{Revision: 2, Floor: 3}, *compacted)
	require.EqualError(t, err, "mvcc: required revision has been compacted: 2 is below the floor 3")
}
