package mvcc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidate(t *testing.T) {
	put := func(key string) Op { return Op{Put: &PutRequest{Key: []byte(key)}} }
	del := func(key, end string) Op { return Op{Delete: &DeleteRequest{Key: []byte(key), End: []byte(end)}} }
	txn := func(ops ...Op) Op { return Op{Txn: &Txn{Then: ops}} }
	either := func(then, otherwise Op) Op { return Op{Txn: &Txn{Then: []Op{then}, Else: []Op{otherwise}}} }
	tests := map[string]struct {
		ops  []Op
		want error
		text string
	}{
		"fine":             {[]Op{put("a"), put("b"), del("c", "d")}, nil, ""},
		"twice":            {[]Op{put("a"), put("a")}, ErrDuplicateKey, `mvcc: duplicate key given in txn request: txn: key "a"`},
		"put and delete":   {[]Op{del("a", "c"), put("b")}, ErrDuplicateKey, ""},
		"end is exclusive": {[]Op{del("a", "b"), put("b")}, nil, ""},
		"two deletes":      {[]Op{del("a", "c"), del("b", "d")}, nil, ""},
		"from key on":      {[]Op{del("a", "\x00"), put("b")}, nil, ""},
		"nested":           {[]Op{put("a"), txn(put("a"))}, ErrDuplicateKey, ""},
		"branches exclude": {[]Op{either(put("a"), put("a"))}, nil, ""},
		"then and sibling": {[]Op{either(put("a"), put("b")), txn(put("b"))}, ErrDuplicateKey, ""},
		"put then delete":  {[]Op{txn(put("a")), txn(del("a", ""))}, nil, ""},
		"delete then put":  {[]Op{txn(del("a", "")), txn(put("a"))}, ErrDuplicateKey, ""},
		"empty op":         {[]Op{put("a"), {}}, ErrInvalidOp, "mvcc: operation must have exactly one kind: then[1].op: 0 of range, put, delete and txn are set"},
		"two kinds":        {[]Op{{Put: &PutRequest{Key: []byte("a")}, Txn: &Txn{}}}, ErrInvalidOp, ""},
		"no key":           {[]Op{txn(put("b"), put(""))}, ErrEmptyKey, "mvcc: key is not provided: then[0].then[1].put.key"},
		"no delete key":    {[]Op{del("", "x")}, ErrEmptyKey, "mvcc: key is not provided: then[0].delete.key"},
		"value":            {[]Op{{Put: &PutRequest{Key: []byte("a"), Value: []byte("v"), IgnoreValue: true}}}, ErrValueProvided, ""},
		"lease":            {[]Op{{Put: &PutRequest{Key: []byte("a"), Lease: 4, IgnoreLease: true}}}, ErrLeaseProvided, "mvcc: lease is provided: then[0].put.lease: 4 beside ignoreLease"},
		"sort order":       {[]Op{{Range: &RangeOptions{Key: []byte("a"), SortOrder: 3}}}, ErrInvalidSortOption, "mvcc: invalid sort option: then[0].range.sortOrder: 3, expected 0 to 2"},
		"sort target":      {[]Op{{Range: &RangeOptions{Key: []byte("a"), SortTarget: 5}}}, ErrInvalidSortOption, ""},
		"range key":        {[]Op{{Range: &RangeOptions{}}}, ErrEmptyKey, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := Validate(&Txn{Then: test.ops}, Limits{})
			if test.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, test.want)
			var request *RequestError
			require.ErrorAs(t, err, &request)
			if test.text != "" {
				require.EqualError(t, err, test.text)
			}
			s := New()
			if !errors.Is(test.want, ErrDuplicateKey) { // which Apply can cope with
				_, err = s.Apply(&Txn{Then: test.ops})
				require.ErrorIs(t, err, test.want)
				require.EqualValues(t, 1, s.Revision())
			}
		})
	}
	require.ErrorIs(t, Validate(&Txn{If: []Compare{{}}}, Limits{}), ErrEmptyKey)
	require.ErrorIs(t, Validate(&Txn{If: []Compare{{Key: []byte("a"), Target: 5}}}, Limits{}), ErrInvalidCompare)
	require.ErrorIs(t, Validate(&Txn{If: []Compare{{Key: []byte("a"), Operator: 4}}}, Limits{}), ErrInvalidCompare)
	require.ErrorIs(t, ValidateRange(&RangeOptions{}), ErrEmptyKey)
	require.ErrorIs(t, ValidateDelete(&DeleteRequest{}), ErrEmptyKey)
	require.ErrorIs(t, ValidatePut(&PutRequest{}, Limits{}), ErrEmptyKey)
}

func TestValidateLimits(t *testing.T) {
	many := func(n int) []Op {
		ops := make([]Op, n)
		for i := range ops {
			ops[i] = Op{Put: &PutRequest{Key: fmt.Append(nil, i)}}
		}
		return ops
	}
	require.NoError(t, Validate(&Txn{Then: many(128), Else: many(128)}, Limits{}))
	require.ErrorIs(t, Validate(&Txn{Else: many(129)}, Limits{}), ErrTooManyOps)
	require.ErrorIs(t, Validate(&Txn{If: make([]Compare, 129)}, Limits{}), ErrTooManyOps)
	require.ErrorIs(t, Validate(&Txn{Then: many(3)}, Limits{MaxTxnOps: 2}), ErrTooManyOps)
	// A nested transaction gets what its parent leaves: 128 - 100.
	nested := many(99)
	require.NoError(t, Validate(&Txn{Then: append(nested, Op{Txn: &Txn{Else: many(28)[:0]}})}, Limits{}))
	err := Validate(&Txn{Then: append(nested, Op{Txn: &Txn{Else: many(29)}})}, Limits{})
	require.ErrorIs(t, err, ErrTooManyOps)
	require.ErrorContains(t, err, "then[99].txn: 29 conditions or operations, at most 28 allowed here")

	big := &PutRequest{Key: []byte("a"), Value: make([]byte, 3<<19)}
	require.ErrorIs(t, ValidatePut(big, Limits{}), ErrRequestTooLarge)
	require.NoError(t, ValidatePut(big, Limits{MaxRequestBytes: 2 << 20}))
	require.ErrorIs(t, Validate(&Txn{Then: []Op{{Put: big}}}, Limits{}), ErrRequestTooLarge)
}

// Nesting without end is refused by Apply too, whatever the proposer let through.
func TestApplyBoundsDepth(t *testing.T) {
	deep := &Txn{}
	for range 100_000 {
		deep = &Txn{Then: []Op{{Txn: deep}}}
	}
	_, err := New().Apply(deep)
	require.ErrorIs(t, err, ErrTooManyOps)
	require.ErrorIs(t, Validate(deep, Limits{MaxTxnOps: 1 << 30}), ErrTooManyOps)
}

// plainOverlap is the definition of duplicate keys without nesting: a put
// meets another put of the key, or a delete that covers it.
func plainOverlap(ops []Op) bool {
	for i, a := range ops {
		for j, b := range ops {
			switch {
			case i == j || a.Put == nil:
			case b.Put != nil && string(a.Put.Key) == string(b.Put.Key):
				return true
			case b.Delete != nil && string(b.Delete.End) != "\x00" && inRange(string(a.Put.Key), b.Delete.Key, b.Delete.End):
				return true
			}
		}
	}
	return false
}

func TestOverlapEqualsPlain(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 17))
	outcomes := map[bool]int{}
	for range 20_000 {
		s := script{r}
		var ops []Op
		for range 1 + r.IntN(6) {
			if r.IntN(2) == 0 {
				ops = append(ops, Op{Put: &PutRequest{Key: s.key()}})
			} else {
				ops = append(ops, Op{Delete: s.delete()})
			}
		}
		_, err := checkOverlap(ops)
		require.Equal(t, plainOverlap(ops), err != nil, "%+v", ops)
		outcomes[err != nil]++
	}
	require.Greater(t, min(outcomes[true], outcomes[false]), 2000)
}

func TestNilIsRefused(t *testing.T) {
	s := New()
	_, err := s.Apply(nil)
	require.ErrorIs(t, err, ErrInvalidOp)
	_, err = s.ApplyReadOnly(nil)
	require.ErrorIs(t, err, ErrInvalidOp)
	_, err = s.Put(nil)
	require.EqualError(t, err, "mvcc: operation must have exactly one kind: put: nil, expected a request")
	_, err = s.Delete(nil)
	require.ErrorIs(t, err, ErrInvalidOp)
	_, err = s.Range(nil)
	require.ErrorIs(t, err, ErrInvalidOp)
	require.ErrorIs(t, Validate(nil, Limits{}), ErrInvalidOp)
	s.Restore(s)
	require.EqualValues(t, 1, s.Revision())
}

func TestPrefixEnd(t *testing.T) {
	for prefix, want := range map[string]string{
		"a": "b", "a/": "a0", "a\xff": "b", "a\xff\xff": "b", "\xff": "\x00", "\xff\xff": "\x00", "": "\x00", "\x00": "\x01",
	} {
		require.Equal(t, want, string(PrefixEnd([]byte(prefix))), "%q", prefix)
	}
	prefix := []byte("pods/")
	_ = append(PrefixEnd(prefix[:4]), "xx"...)
	require.Equal(t, "pods/", string(prefix), "the prefix is left alone")
}

func TestErrorsNameTheKey(t *testing.T) {
	s := New()
	_, err := s.Put(&PutRequest{Key: []byte("a"), Lease: 77})
	require.ErrorIs(t, err, ErrLeaseNotFound)
	require.EqualError(t, err, "mvcc: requested lease not found: put.lease: lease 77")
	_, err = s.Apply(&Txn{If: []Compare{{Key: []byte("a"), Operator: Greater}}, Else: []Op{{Put: &PutRequest{Key: []byte("a\n"), IgnoreValue: true}}}})
	require.EqualError(t, err, `mvcc: key not found: else[0].put.key: key "a\n"`)
	_, err = s.Put(&PutRequest{Key: []byte(strings.Repeat("k", 1000)), IgnoreLease: true})
	require.ErrorContains(t, err, "(1000 bytes)")
	require.Less(t, len(err.Error()), 300)
	_, _, err = s.Lookup(nil, 0)
	require.ErrorIs(t, err, ErrEmptyKey)
	_, err = s.Range(&RangeOptions{Key: []byte("a"), Revision: 9})
	require.EqualError(t, err, "mvcc: required revision is a future revision: 9 is above 1")
	_, err = s.ApplyReadOnly(&Txn{Then: []Op{{Put: &PutRequest{Key: []byte("a")}}}})
	require.ErrorIs(t, err, ErrInvalidOp)
	for _, l := range []Lease{{ID: 0, TTL: 1}, {ID: 1, TTL: 0}, {ID: 1, TTL: -1}} {
		require.ErrorIs(t, s.LeaseGrant(l.ID, l.TTL), ErrInvalidLease)
	}
	require.ErrorIs(t, s.LeaseGrant(1, MaxLeaseTTL+1), ErrLeaseTTLTooLarge)
	require.NoError(t, s.LeaseGrant(1, 1))
	require.ErrorIs(t, s.LeaseGrant(1, 1), ErrLeaseExists)
	require.ErrorIs(t, s.LeaseCheckpoint(2, 1), ErrLeaseNotFound)
	require.ErrorIs(t, s.LeaseCheckpoint(1, -1), ErrInvalidLease)
	require.ErrorIs(t, s.LeaseCheckpoint(1, 2), ErrInvalidLease)
	require.NoError(t, s.LeaseCheckpoint(1, 1))
	_, err = s.LeaseRevoke(2)
	require.ErrorIs(t, err, ErrLeaseNotFound)
	_, err = s.LeaseKeys(2)
	require.ErrorIs(t, err, ErrLeaseNotFound)
}

// A transaction that fails half-way leaves no trace: contents, digest, leases,
// revision and memory are as before.
func TestRollback(t *testing.T) {
	s := New()
	require.NoError(t, s.LeaseGrant(1, 10))
	for _, key := range []string{"a", "b", "c"} {
		_, err := s.Put(&PutRequest{Key: []byte(key), Lease: 1})
		require.NoError(t, err)
	}
	w, err := s.Watch(WatchOptions{Key: []byte("a"), End: []byte{0}})
	require.NoError(t, err)
	before, hash := imageOf(t, s), s.Hash()
	txn := &Txn{Then: []Op{
		{Put: &PutRequest{Key: []byte("new")}},
		{Delete: &DeleteRequest{Key: []byte("a"), End: []byte{0}}},
		{Put: &PutRequest{Key: []byte("b"), IgnoreValue: true}}, // deleted by now
	}}
	require.NoError(t, Validate(txn, Limits{}), "etcd lets it through, too")
	_, err = s.Apply(txn)
	require.EqualError(t, err, `mvcc: key not found: then[2].put.key: key "b"`)
	require.Equal(t, hash, s.Hash())
	require.Equal(t, before, imageOf(t, s))
	checkInvariants(t, s)
	_, ok, err := w.Poll()
	require.NoError(t, err)
	require.False(t, ok)
	mustPut(t, s, "b", "goes on")
	checkInvariants(t, s)
	keys, err := s.LeaseKeys(1)
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("a"), []byte("c")}, keys)
}
