package nftwatch

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/orchcore/orchcore/proxyrules"
)

// From linux/netfilter/nfnetlink.h and nf_tables.h.
const (
	subsystem = 10 // NFNL_SUBSYS_NFTABLES
	newChain  = 3  // NFT_MSG_NEWCHAIN
	delChain  = 5  // NFT_MSG_DELCHAIN
	newRule   = 6  // NFT_MSG_NEWRULE
	delRule   = 8  // NFT_MSG_DELRULE
	newGen    = 15 // NFT_MSG_NEWGEN
	getGen    = 16 // NFT_MSG_GETGEN

	headerSize  = 16 // struct nlmsghdr
	genmsgSize  = 4  // struct nfgenmsg
	attrHeader  = 4  // struct nlattr
	attrTable   = 1  // NFTA_TABLE_NAME, and the table in messages on chains, rules, sets …
	attrRuleOf  = 2  // NFTA_RULE_CHAIN
	attrChain   = 3  // NFTA_CHAIN_NAME
	attrGenID   = 1  // NFTA_GEN_ID
	attrTypes   = 1<<14 - 1
	messageSize = 1 << 16 // more than the kernel puts into one
)

var (
	errShort   = errors.New("nftwatch: a netlink message shorter than it says")
	errRefused = errors.New("nftwatch: the kernel refused a request")
)

// reader turns messages into commits. The kernel sends what a transaction
// changed, object by object, and then the generation that it made.
type reader struct {
	family  byte                               // of the tables: NFPROTO_IPV4 or NFPROTO_IPV6
	ours    func(kind byte, attrs []byte) bool // what a message of the family is about
	touched bool                               // by the transaction that is being reported
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
	r.touched = r.touched || body[0] == r.family && r.ours(byte(kind), body[genmsgSize:])
	return nil
}

const table = "kube-proxy"

// inTable: something in the table that RuleSet.AppendNFT makes.
func inTable(_ byte, attrs []byte) bool { return name(attrs, attrTable) == table }

// inIPTables: something in the tables of iptables-nft that RuleSet.AppendIPTables
// writes to, and AppendIPTablesJumps. What others do in chains of their own
// does not matter.
func inIPTables(kind byte, attrs []byte) bool {
	if t := name(attrs, attrTable); t != "filter" && t != "nat" {
		return false
	}
	switch kind {
	case newRule, delRule:
		return isOurChain(name(attrs, attrRuleOf))
	case newChain, delChain:
		return isOurChain(name(attrs, attrChain))
	}
	return true
}

// isOurChain: one of kube-proxy's, or one of the kernel's, from where rules
// jump to those.
func isOurChain(chain string) bool {
	switch chain {
	case "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING":
		return true
	}
	return strings.HasPrefix(chain, "KUBE-")
}

// name is a string attribute; "" when there is none.
func name(attrs []byte, kind uint16) string {
	b, _ := attribute(attrs, kind)
	return strings.TrimSuffix(string(b), "\x00")
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
