package nftwatch

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
)

// message builds one as the kernel does, with one attribute of type 1.
func message(kind uint8, family byte, value []byte) []byte {
	attr := attrHeader + len(value)
	b := make([]byte, headerSize+genmsgSize+align(attr))
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], subsystem<<8|uint16(kind))
	b[headerSize] = family
	binary.NativeEndian.PutUint16(b[headerSize+genmsgSize:], uint16(attr))
	binary.NativeEndian.PutUint16(b[headerSize+genmsgSize+2:], 1)
	copy(b[headerSize+genmsgSize+attrHeader:], value)
	return b
}

func generationMessage(n uint32) []byte {
	return message(newGen, 0, binary.BigEndian.AppendUint32(nil, n))
}

func TestMessages(t *testing.T) {
	r := &reader{family: 2, ours: inTable}
	r.distrust(4)
	ours, other, otherFamily := message(newRule, 2, []byte(table+"\x00")), message(newRule, 2, []byte("kube-proxy2\x00")), message(newRule, 10, []byte(table+"\x00"))
	for _, datagram := range [][]byte{
		ours, generationMessage(4), // of the time before
		append(append([]byte(nil), other...), otherFamily...), generationMessage(5),
		append(append(append([]byte(nil), other...), ours...), generationMessage(6)...),
		generationMessage(7),
	} {
		require.NoError(t, r.read(datagram))
	}
	require.Equal(t, []proxyrules.Commit{{Generation: 5}, {Generation: 6, Touched: true}, {Generation: 7}}, r.commits)
	require.Equal(t, uint32(7), r.last)
}

func TestBrokenMessages(t *testing.T) {
	whole := generationMessage(9)
	for n := 1; n < len(whole); n++ {
		require.Error(t, (&reader{ours: inTable}).read(whole[:n]), n)
	}
	for _, size := range []uint32{0, 1, headerSize - 1, uint32(len(whole)) + 1, 1 << 31} {
		b := append([]byte(nil), whole...)
		binary.NativeEndian.PutUint32(b, size)
		require.Error(t, (&reader{ours: inTable}).read(b), size)
	}
	for _, size := range []uint16{0, 3, 4, 7, 9, 1 << 15} {
		b := append([]byte(nil), whole...)
		binary.NativeEndian.PutUint16(b[headerSize+genmsgSize:], size)
		require.Error(t, (&reader{ours: inTable}).read(b), size)
	}
}

// attr is an attribute with a string.
func attr(kind uint16, value string) []byte {
	b := make([]byte, align(attrHeader+len(value)+1))
	binary.NativeEndian.PutUint16(b, uint16(attrHeader+len(value)+1))
	binary.NativeEndian.PutUint16(b[2:], kind)
	copy(b[attrHeader:], value)
	return b
}

func TestInIPTables(t *testing.T) {
	for _, c := range []struct {
		kind         byte
		table, chain string
		ours         bool
	}{
		{newRule, "nat", "KUBE-SERVICES", true},
		{delRule, "filter", "KUBE-FORWARD", true},
		{delRule, "filter", "INPUT", true},
		{newRule, "nat", "PREROUTING", true},
		{newRule, "nat", "DOCKER", false},
		{newRule, "mangle", "KUBE-SERVICES", false},
		{newRule, "kube-proxy", "KUBE-SERVICES", false},
		{newChain, "nat", "KUBE-SVC-X", true},
		{delChain, "nat", "CNI-X", false},
		{newChain, "filter", "FORWARD", true},
		{2, "nat", "", true},  // NFT_MSG_DELTABLE
		{9, "nat", "", true},  // NFT_MSG_NEWSET
		{2, "raw", "", false}, // NFT_MSG_DELTABLE
	} {
		kind := uint16(attrRuleOf)
		if c.kind == newChain || c.kind == delChain {
			kind = attrChain
		}
		attrs := append(attr(attrTable, c.table), attr(kind, c.chain)...)
		require.Equal(t, c.ours, inIPTables(c.kind, attrs), "%+v", c)
	}
	require.False(t, inIPTables(newRule, nil))
}

// Datagrams come from the kernel, and still: no panic, and no commit out of
// order.
func FuzzMessages(f *testing.F) {
	f.Add(generationMessage(5))
	f.Add(append(message(newRule, 2, []byte(table+"\x00")), generationMessage(6)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &reader{family: 2, ours: inIPTables}
		r.distrust(4)
		r.read(b)
		for _, c := range r.commits {
			require.NotZero(t, c.Generation-4)
		}
	})
}
