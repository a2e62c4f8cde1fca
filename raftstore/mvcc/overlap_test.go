package mvcc

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// What apart lets pass without a look at the sets, the sets let pass, too; and it does
// so for the transactions that are common.
func TestApartMeansNoOverlap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	key := func() []byte { return []byte{byte('a' + rng.IntN(6))} }
	passed := 0
	for range 20_000 {
		var ops []Op
		for range rng.IntN(5) {
			switch rng.IntN(8) {
			case 0:
				ops = append(ops, Op{Range: &RangeOptions{Key: key()}})
			case 1:
				ops = append(ops, Op{Delete: &DeleteRequest{Key: key(), End: [][]byte{nil, key(), {0}}[rng.IntN(3)]}})
			case 2:
				ops = append(ops, Op{Txn: &Txn{Then: []Op{{Put: &PutRequest{Key: key()}}}}})
			default:
				ops = append(ops, Op{Put: &PutRequest{Key: key()}})
			}
		}
		if apart(ops) {
			passed++
			_, err := checkOverlap(ops)
			require.NoError(t, err, "%+v", ops)
		}
	}
	require.Greater(t, passed, 5000)

	a, b := Op{Put: &PutRequest{Key: []byte("a")}}, Op{Put: &PutRequest{Key: []byte("b")}}
	read, wipe := Op{Range: &RangeOptions{Key: []byte("a")}}, Op{Delete: &DeleteRequest{Key: []byte("a")}}
	for _, ops := range [][]Op{nil, {a}, {a, b}, {a, read, b}, {wipe}, {wipe, wipe}, {read}} {
		require.True(t, apart(ops))
	}
	for _, ops := range [][]Op{{b, a}, {a, a}, {wipe, a}, {a, wipe}, {{Txn: &Txn{}}}} {
		require.False(t, apart(ops))
	}
}
