package nftwatch

import (
	"encoding/binary"
	"errors"

	"github.com/orchcore/orchcore/proxyrules"
)

// From linux/netfilter/nfnetlink.h and nf_tables.h.
const (
	subsystem = 10 // NFNL_SUBSYS_NFTABLES
	newGen    = 15 // NFT_MSG_NEWGEN
	getGen    = 16 // NFT_MSG_GETGEN

	headerSize  = 16 // struct nlmsghdr
	genmsgSize  = 4  // struct nfgenmsg
	attrHeader  = 4  // struct nlattr
	attrTable   = 1  // NFTA_TABLE_NAME, and the table in messages on chains, rules, sets …
	attrGenID   = 1  // NFTA_GEN_ID
	attrTypes   = 1<<14 - 1
	messageSize = 1 << 16 // more than the kernel puts into one
)

const table = "kube-proxy"

var (
	errShort   = errors.New("nftwatch: a netlink message shorter than it says")
	errRefused = errors.New("nftwatch: the kernel refused a request")
)

// reader turns messages into commits. The kernel sends what a transaction
// changed, object by object, and then the generation that it made.
type reader struct {
	family  byte // of the table: NFPROTO_IPV4 or NFPROTO_IPV6
	touched bool // by the transaction that is being reported
	trusted uint32
	commits []proxyrules.Commit
	last    uint32 // generation of the last commit, or trusted
}

// distrust starts over: what is known begins after a generation.
func (r *reader) distrust(generation uint32) {
	r.trusted, r.last, r.commits, r.touched = generation, generation, nil, false
}

// read takes a datagram in.
func (r *reader) read(b []byte) error {
	for len(b) > 0 {
		if len(b) < headerSize {
			return errShort
		}
		size := int(binary.NativeEndian.Uint32(b))
		if size < headerSize || size > len(b) {
			return errShort
		}
		if err := r.message(binary.NativeEndian.Uint16(b[4:]), b[headerSize:size]); err != nil {
			return err
		}
		b = b[min(align(size), len(b)):]
	}
	return nil
}

func align(n int) int { return (n + 3) &^ 3 }

func (r *reader) message(kind uint16, body []byte) error {
	if kind>>8 != subsystem {
		return nil
	}
	if len(body) < genmsgSize {
		return errShort
	}
	if kind&0xff == newGen {
		generation, err := generationOf(body)
		if err == nil && generation-r.trusted-1 < 1<<31 {
			r.commits = append(r.commits, proxyrules.Commit{Generation: generation, Touched: r.touched})
			r.last = generation
		}
		r.touched = false
		return err
	}
	if name, ok := attribute(body[genmsgSize:], attrTable); body[0] == r.family && ok {
		r.touched = r.touched || string(name) == table+"\x00"
	}
	return nil
}

func generationOf(body []byte) (uint32, error) {
	if len(body) < genmsgSize {
		return 0, errShort
	}
	id, ok := attribute(body[genmsgSize:], attrGenID)
	if !ok || len(id) != 4 {
		return 0, errShort
	}
	return binary.BigEndian.Uint32(id), nil
}

// attribute finds the first one of a type.
func attribute(b []byte, kind uint16) ([]byte, bool) {
	for len(b) >= attrHeader {
		size := int(binary.NativeEndian.Uint16(b))
		if size < attrHeader || size > len(b) {
			return nil, false
		}
		if binary.NativeEndian.Uint16(b[2:])&attrTypes == kind {
			return b[attrHeader:size], true
		}
		b = b[min(align(size), len(b)):]
	}
	return nil, false
}
