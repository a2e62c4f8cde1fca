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

// appendIPTablesChain appends prefix and the hash of "ns/name:port" +
// protocol + endpoint, where endpoint is empty for all but chainEndpoint.
func appendIPTablesChain(dst []byte, prefix string, k PortKey, endpoint string) []byte {
	dst = append(dst, prefix...)
	return appendHash(dst, k.String()+k.Protocol.String()+endpoint, iptablesHashLen)
}

// appendHash appends the first n characters of the base32 form of s's
// SHA-256; 5 bytes make 8 characters.
func appendHash(dst []byte, s string, n int) []byte {
	sum := sha256.Sum256([]byte(s))
	return base32.StdEncoding.AppendEncode(dst, sum[:n/8*5])
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
	s := k.Namespace + "/" + k.Service + "/" + k.Protocol.String() + "/" + k.Port
	if endpoint != "" {
		i := strings.LastIndexByte(endpoint, ':')
		ip := strings.Trim(endpoint[:i], "[]")
		s += "__" + strings.ReplaceAll(ip, ":", ".") + "/" + endpoint[i+1:]
	}
	name := string(appendHash(nil, s, nftHashLen)) + "-" + s
	if len(name) > nftNameMax {
		name = name[:nftNameMax-3] + "..."
	}
	return name
}
