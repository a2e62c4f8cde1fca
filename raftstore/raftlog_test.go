package raftstore

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/orchcore/orchcore/raftstore/wal"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// plainLog is a raftLog that keeps all entries in memory: entries[i] has index offset+1+i.
type plainLog struct {
	offset, offsetTerm uint64
	entries            []*pb.Entry
}

func (p *plainLog) last() uint64 { return p.offset + uint64(len(p.entries)) }

func (p *plainLog) append(entries []*pb.Entry) {
	p.entries = append(p.entries[:entries[0].GetIndex()-p.offset-1:entries[0].GetIndex()-p.offset-1], entries...)
}

func (p *plainLog) compact(index uint64) {
	if index > p.offset && index <= p.last() {
		p.offsetTerm = p.entries[index-p.offset-1].GetTerm()
		p.offset, p.entries = index, p.entries[index-p.offset:]
	}
}

func (p *plainLog) sizeBytes(above, upTo uint64) (size int64) {
	for i := max(above, p.offset); i < min(upTo, p.last()); i++ {
		size += entrySize(p.entries[i-p.offset])
	}
	return size
}

// However entries are appended, replaced, applied, let go of and compacted, the log says
// what one says that keeps them all, and what is not applied stays in memory, but for
// what was not when the member started.
func TestRaftLogEqualsPlain(t *testing.T) {
	readBack := 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		plain := &plainLog{}
		log := &raftLog{heldMax: 1 + rng.Int64N(3000)}
		older := func(lo, hi, _ uint64) ([]*pb.Entry, error) {
			require.Greater(t, lo, plain.offset)
			require.LessOrEqual(t, hi, log.held+1, "only what was let go of is read back")
			readBack++
			return plain.entries[lo-plain.offset-1 : hi-plain.offset-1], nil
		}
		log.older = older
		term, applied, recovered := uint64(1), uint64(0), uint64(0)
		for range 200 {
			switch rng.IntN(8) {
			case 0, 1, 2, 3:
				first := plain.last() + 1
				if rng.IntN(3) == 0 { // another leader replaces what is not committed
					first = applied + 1 + rng.Uint64N(plain.last()-applied+1)
					term++
				}
				var entries []*pb.Entry
				for i := range 1 + rng.Uint64N(8) {
					entries = append(entries, &pb.Entry{Index: new(first + i), Term: new(term), Data: bytes.Repeat([]byte("x"), rng.IntN(300))})
				}
				require.NoError(t, log.append(entries))
				plain.append(entries)
			case 4:
				applied += rng.Uint64N(plain.last() - applied + 1)
			case 5:
				log.trim(applied)
			case 6:
				index := plain.offset + rng.Uint64N(applied-plain.offset+1)
				log.compact(index)
				plain.compact(index)
			case 7:
				switch rng.IntN(20) {
				case 0: // a snapshot takes the place of all
					applied = plain.last() + 1 + rng.Uint64N(10)
					term++
					log.reset(applied, term)
					*plain = plainLog{offset: applied, offsetTerm: term}
				case 1: // a start, after which nothing is in memory
					log = &raftLog{offset: plain.offset, offsetTerm: plain.offsetTerm, heldMax: log.heldMax, older: older}
					var heads []wal.EntryHead
					for _, e := range plain.entries {
						heads = append(heads, wal.EntryHead{Index: e.GetIndex(), Term: e.GetTerm(), DataBytes: len(e.Data)})
					}
					log.recover(heads, nil)
					recovered = plain.last()
				}
			}
			require.LessOrEqual(t, log.held, max(applied, recovered))
			checkRaftLog(t, rng, log, plain)
		}
	}
	require.Greater(t, readBack, 1000, "the log lets go of entries")
}

func checkRaftLog(t *testing.T, rng *rand.Rand, log *raftLog, plain *plainLog) {
	t.Helper()
	first, _ := log.FirstIndex()
	last, _ := log.LastIndex()
	require.Equal(t, [2]uint64{plain.offset + 1, plain.last()}, [2]uint64{first, last})
	require.Equal(t, plain.sizeBytes(plain.offset, last), log.sizeBytes)
	require.Equal(t, plain.sizeBytes(log.held, last), log.heldBytes)
	above, upTo := rng.Uint64N(last+2), rng.Uint64N(last+2)
	require.Equal(t, plain.sizeBytes(above, upTo), log.size(above, upTo))
	term, err := log.Term(plain.offset)
	require.NoError(t, err)
	require.Equal(t, plain.offsetTerm, term)
	_, err = log.Term(last + 1)
	require.ErrorIs(t, err, raft.ErrUnavailable)
	for range 3 {
		if last == plain.offset {
			return
		}
		lo := plain.offset + 1 + rng.Uint64N(last-plain.offset)
		hi := lo + 1 + rng.Uint64N(last-lo+1)
		want := plain.entries[lo-plain.offset-1 : hi-plain.offset-1]
		term, err := log.Term(lo)
		require.NoError(t, err)
		require.Equal(t, want[0].GetTerm(), term)
		// The log may return fewer, but not none, and stops where the size is reached.
		sizeMax := rng.Uint64N(3000)
		got, err := log.Entries(lo, hi, sizeMax)
		require.NoError(t, err)
		require.NotEmpty(t, got)
		require.LessOrEqual(t, len(got), len(want))
		size := uint64(0)
		for i, e := range got {
			require.Same(t, want[i], e)
			size += uint64(entrySize(e))
		}
		require.True(t, len(got) == 1 || size <= sizeMax)
		if lo > log.held && len(got) < len(want) {
			require.Greater(t, size+uint64(entrySize(want[len(got)])), sizeMax)
		}
	}
}
