package mvcc

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAllocations(t *testing.T) {
	s := New()
	for i := range 10_000 {
		mustPut(t, s, fmt.Sprintf("key-%05d", i), "value")
	}
	key, value := []byte("key-05000"), []byte("value of some length")
	one := &RangeOptions{Key: key}
	hundred := &RangeOptions{Key: key, End: []byte("key-05100")}
	count := &RangeOptions{Key: []byte{0}, End: []byte{0}, CountOnly: true}
	put := &PutRequest{Key: key, Value: value}
	cas := &Txn{
		If:   []Compare{{Target: CompareVersion, Operator: Greater, Key: key}},
		Then: []Op{{Put: put}},
		Else: []Op{{Range: one}},
	}
	tests := []struct {
		name string
		most float64
		act  func() error
	}{
		{"lookup", 0, func() error { _, _, err := s.Lookup(key, 0); return err }},
		{"put", 0, func() error { _, err := s.Put(put); return err }}, // amortised: blocks, chunks
		{"range/keys=1", 1, func() error { _, err := s.Range(one); return err }},
		{"range/keys=100", 2, func() error { _, err := s.Range(hundred); return err }},
		{"count", 0, func() error { _, err := s.Range(count); return err }},
		{"txn", 2, func() error { _, err := s.Apply(cas); return err }}, // the results
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.LessOrEqual(t, testing.AllocsPerRun(1000, func() { require.NoError(t, test.act()) }), test.most)
		})
	}
}

// A million keys must not be a million objects.
func TestFewObjects(t *testing.T) {
	const n = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := New()
	value := make([]byte, 256)
	for i := range n {
		_, err := s.Put(&PutRequest{Key: fmt.Appendf(nil, "/registry/pods/ns/pod-%06d", i), Value: value})
		require.NoError(t, err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	objects := after.HeapObjects - before.HeapObjects
	bytesPerKey := float64(after.HeapAlloc-before.HeapAlloc) / n
	t.Logf("%d objects, %.0f bytes for each key of 28 and value of 256 bytes", objects, bytesPerKey)
	require.Less(t, objects, uint64(n/10))
	require.Less(t, bytesPerKey, 450.0)
	runtime.KeepAlive(s)
}
