package proxyrules

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// iptables chains of one service port: a prefix, and 16 characters of a hash,
// since xtables allows 28 characters in a name.
const (
	chainCluster  = "KUBE-SVC-"
	chainLocal    = "KUBE-SVL-"
	chainExternal = "KUBE-EXT-"
	chainFirewall = "KUBE-FW-"
	chainEndpoint = "KUBE-SEP-"
)

const iptablesHashLen = 16

// sum is the hash that the names of a service port's iptables chains begin
// with: of "ns/name:port" and the protocol.
func (k PortKey) sum() [sha256.Size]byte {
	var buf [256]byte
	b := append(append(append(buf[:0], k.Namespace...), '/'), k.Service...)
	if k.Port != "" {
		b = append(append(b, ':'), k.Port...)
	}
	return sha256.Sum256(append(b, k.Protocol.String()...))
}

// appendIPTablesHash appends the part of a chain's name after its prefix.
func appendIPTablesHash(dst []byte, sum *[sha256.Size]byte) []byte {
	return base32.StdEncoding.AppendEncode(dst, sum[:iptablesHashLen/8*5])
}

// iptablesNames are the chains of a service port without those of endpoints,
// in one string.
func iptablesNames(p *Policy) (cluster, local, external, firewall string) {
	var hash [iptablesHashLen]byte
	var buf [4 * 28]byte
	appendIPTablesHash(hash[:0], &p.sum)
	b := append(append(buf[:0], chainCluster...), hash[:]...)
	b = append(append(b, chainLocal...), hash[:]...)
	b = append(append(b, chainExternal...), hash[:]...)
	all := string(append(append(b, chainFirewall...), hash[:]...))
	const n = len(chainCluster) + iptablesHashLen // as of the next two
	return all[:n], all[n : 2*n], all[2*n : 3*n], all[3*n:]
}

// nftables objects of one service port.
const (
	nftCluster  = "service-"
	nftLocal    = "local-"
	nftExternal = "external-"
	nftFirewall = "firewall-"
	nftEndpoint = "endpoint-"
	nftAffinity = "affinity-"
)

const (
	nftHashLen = 8
	nftNameMax = 240 // 256 less the longest prefix
)

// nftName is the part of a name after its prefix: a hash, so that names stay
// distinct when cut, and "ns/name/protocol/port", which a person can read.
// endpoint is "" or "ip:port".
func nftName(k PortKey, endpoint string) string {
	var buf [512]byte
	return string(appendNFTName(buf[:0], k, endpoint))
}

// appendNFTName appends to a buffer that is empty.
func appendNFTName(buf []byte, k PortKey, endpoint string) []byte {
	const hashed = nftHashLen + len("-")
	name := append(buf, "xxxxxxxx-"...)
	name = append(name, k.Namespace...)
	name = append(append(name, '/'), k.Service...)
	name = append(append(name, '/'), k.Protocol.String()...)
	name = append(append(name, '/'), k.Port...)
	if endpoint != "" {
		i := strings.LastIndexByte(endpoint, ':')
		ip := strings.Trim(endpoint[:i], "[]")
		name = append(append(name, "__"...), strings.ReplaceAll(ip, ":", ".")...)
		name = append(append(name, '/'), endpoint[i+1:]...)
	}
	sum := sha256.Sum256(name[hashed:])
	base32.StdEncoding.Encode(name[:nftHashLen], sum[:nftHashLen/8*5])
	name[nftHashLen] = '-'
	if len(name) > nftNameMax {
		name = append(name[:nftNameMax-3], "..."...)
	}
	return name
}
