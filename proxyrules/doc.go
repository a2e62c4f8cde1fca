// Package proxyrules compiles Services and EndpointSlices into what a node's
// service proxy does with packets: the rules of kube-proxy 1.36 in iptables
// and nftables modes, as a library. The same compiled state also answers
// directly, connection by connection, and says why.
//
// # Problem
//
// A Service is a set of addresses at which connections are captured, and a
// set of endpoints over which they are spread. Which endpoints, for whom,
// and with whose source address follows from a dozen fields of two kinds of
// objects and from the node that one stands on. kube-proxy knows; nobody can
// import or ask it.
//
// # Terms
//
//   - Frontend: an address that captures connections, (IP, protocol, port)
//     or (protocol, node port).
//   - Policy: what a service port does with them. It has two lists of usable
//     backends, one for traffic policy Cluster and one for Local.
//   - Backend: an endpoint of a service port, "ip:port".
//   - Internal traffic goes to the ClusterIP, external traffic to any other
//     frontend.
//
// # Algorithm
//
// Compile checks and reduces the objects, O(services + endpoints); joins
// ports and slices by service, port name and protocol; sorts the backends of
// each port, O(e log e); picks the lists (ready ones narrowed by hints, or
// else those that terminate but still serve); and resolves claims of one
// address by two Services in favour of the smaller key.
//
// AppendIPTables and AppendNFT write the whole state as text, O(size).
// Lookup is one or two hash map reads, O(1). Trace walks all policies.
//
// ParseIPTables and ParseNFT read rule texts back, also those of kube-proxy
// and of the kernel, into a Program that runs flows over the rules. It shares
// nothing with the renderers, and so tells whether a text means what Trace
// says.
//
// # Data layout
//
//	RuleSet
//	  frontends ──► Policy ──► Cluster   []Backend ─┐ subsets of All,
//	  (sorted)      (sorted)   Local     []Backend ─┤ sorted by "ip:port";
//	                           Reachable []Backend ─┤ the same array when
//	                           All       []Backend ─┘ nothing is left out
//	  table: (address, protocol, port) ──► Policy, kinds of frontends
//
//	nftables
//	  service-ips    addr . proto . port : goto service-…, external-…
//	  service-…      dnat to numgen random mod N offset BASE map @endpoints-tcp-XX
//	  endpoints-tcp-XX (256 of them)  BASE+i : addr . port
//
// # Guarantees
//
// A RuleSet is immutable and safe for concurrent use. Equal state gives equal
// bytes, whatever the order of the objects and however endpoints are cut into
// slices. Lookup allocates nothing and is a function of its arguments. No
// function reads a clock, a file or the network.
//
// Names and addresses reach rule text only after they were checked: names
// are DNS labels, addresses are printed from their parsed form. What does not
// pass is refused with an *InputError that names object, field and value.
//
// # Differences
//
// Differs: when two Services claim one address, the smaller (namespace, name,
// port name, protocol) keeps it and a Diagnostic reports the other; kube-proxy
// leaves the winner to the order of a map.
//
// Differs: one address twice in the slices of a service, both endpoints not
// terminating: the slice with the greater name wins; kube-proxy leaves that
// to the order of a map.
//
// Differs: objects that the API server would not have let pass (names, ports,
// protocols, policies, affinity timeouts outside their range; duplicate names;
// endpoint addresses that do not parse) are refused; kube-proxy does not look.
// Services with the label service.kubernetes.io/service-proxy-name, headless
// Services and headless slices are left out here; kube-proxy's informers do it.
//
// Differs: in nftables, backends lie in 256 named maps that all services share
// and not in one anonymous map per service, whose cost in the kernel grows
// with the square of their number. Source ranges are one rule each and not an
// anonymous set, since nft refuses sets with overlapping ranges. A full
// AppendNFT replaces the table and so forgets affinity.
//
// Differs: masquerading is judged by the packet's mark, also for a backend on
// the node itself that a packet from outside reaches without passing the
// postrouting hook.
//
// Not there: rules for local traffic by bridge or interface name, IPVS,
// nfacct counters. Config has no field for them.
//
// # Sources
//
// kube-proxy 1.36 (pkg/proxy, its tests and KEP-3866 for nftables), KEP-1669
// (terminating endpoints), KEP-2433 and KEP-3015 (hints), KEP-1860 (ipMode),
// KEP-2086 (internal traffic policy), the manual pages of nft(8) and
// iptables-extensions(8), and net/netfilter of Linux 6.
//
// # Reading order
//
// wire.go (objects), config.go (node), service.go and endpoints.go (checks),
// topology.go (which endpoints), compile.go, ruleset.go (the result);
// trace.go (what it means, plainly), lookup.go, filter.go and table.go (the
// same, fast); iptables.go, nft.go, spans.go and names.go (texts); program.go,
// parse_iptables.go, parse_nft.go and parse_nftrule.go (texts read back).
package proxyrules
