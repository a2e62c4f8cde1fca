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
//   - Flow: the first packet of a connection.
//
// # Algorithm
//
// Compile checks and reduces the objects, O(services + endpoints); joins
// ports and slices by service, port name and protocol; sorts the backends of
// each port, O(e log e); picks the lists (ready ones narrowed by hints, or
// else those that terminate but still serve); and resolves claims of one
// address by two Services in favour of the smaller key.
//
// Compiler does the same object by object: a change recompiles one service,
// and copies the shards of tables and the block of policies that it touches.
// Diff finds what two RuleSets do not share, block by block, and writes the
// transaction between them; for one endpoint that is two lines of nft.
//
// At 5,000 services of 50 endpoints, two cores compile in 0.1 s what then holds
// 132 bytes an endpoint, without texts; one changed endpoint costs 0.14 ms from
// the slice to the transaction (BenchmarkLarge, on a machine under load).
//
// AppendIPTables and AppendNFT write the whole state. The part of each policy
// is written once and kept with it, so that writing again is copying.
//
// Lookup is O(1). An IPv4 flow to a ClusterIP reads two cache lines, one of the
// service and one of the backend; other flows read one to three entries of a
// hash table and the policy that they find. Affinity adds a memory of clients
// and LookupMaglev a choice by consistent hashing. Trace is the plain form of
// Lookup: it walks all policies.
//
// ParseIPTables and ParseNFT read rule texts back, also those of kube-proxy
// and of the kernel, into a Program that runs flows over the rules. It shares
// nothing with the renderers, and so tells whether a text means what Trace
// says. Equivalent compares two programs, class of flows by class.
//
// Guard tells whether the kernel still has the rules it was given, without
// listing them: from its count of transactions, and from which of those that
// others made touched them, O(transactions). Package nftwatch reads both for
// nftables and iptables-nft, package iptwatch what there is for
// iptables-legacy. Where somebody did, the whole text is loaded again.
//
// # Data layout
//
//	RuleSet
//	  list ─► blocks ─► Policy ──► All       []Backend ─┐ sorted by "ip:port"; the
//	          of 128    (by key)   Cluster   []Backend ─┤ same array where nothing
//	                               Local     []Backend ─┤ is left out
//	                               Reachable []Backend ─┘
//	                               iptables, nft: its part of the texts
//	  table ─► 512 shards ─► (address, protocol, port) : Policy, kinds
//	  direct ─► 256 shards ─► slots  (ClusterIP, port, protocol) : Policy, first, n
//	            of IPv4          │   half a cache line, 32 bytes
//	                             └► hops   address, port: 8 bytes a backend
//	  spans ─► 3 · 256 endpoint maps ─► (Policy, list) : base, n
//
//	nftables
//	  service-ips       addr . proto . port : goto service-…, external-…
//	  service-…         dnat to numgen random mod N offset BASE map @endpoints-tcp-XX
//	  endpoints-tcp-XX  BASE+i : addr . port
//
// # Guarantees
//
// A RuleSet is immutable and safe for concurrent use; so are Program and
// Affinity. A Compiler is for one goroutine. Equal state gives equal bytes,
// whatever the order of the objects, whatever was there before, and however
// endpoints are cut into slices. Lookup and its kin allocate nothing once
// their tables exist, and are functions of their arguments. No function reads
// a clock, a file or the network. Compile and the first text of a RuleSet use
// all processors; no goroutine outlives the call.
//
// What Compile makes lies in pieces of memory that its policies share. A
// Compiler makes each policy alone, since they come and go; texts written for
// many of them at once share pieces of 64 KiB, which stay until the last of
// those policies is replaced.
//
// Names and addresses reach rule text only after they were checked: names
// are DNS labels, addresses are printed from their parsed form. What does not
// pass is refused with an *InputError that names object, field and value.
//
// # Differences
//
// Differs: when two Services claim one address, the smaller (namespace, name,
// port name, protocol) keeps it and a Diagnostic reports the other; kube-proxy
// leaves the winner to the order of a map. In iptables mode that also goes for
// the verdict of services without endpoints where an external IP that is
// an address of the node and a node port of another Service meet.
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
// Differs: in nftables, backends lie in 256 named maps a protocol that all
// services share, and not in one anonymous map per service, whose cost in the
// kernel grows with the square of their number. Source ranges are one rule
// each and not an anonymous set, since nft refuses sets with overlapping
// ranges. A full AppendNFT replaces the table and so forgets affinity; the
// transactions of Diff do not.
//
// Differs: UDP flows to forget (StaleFlows) are also reported when a service
// loses its last serving endpoint; kube-proxy 1.36.3 leaves them
// (kubernetes/kubernetes#139628).
//
// Differs: names of interfaces in Config are letters, digits, dots, underscores
// and hyphens; kube-proxy writes any name into its rules.
//
// Differs: masquerading is judged by the packet's mark, also for a backend on
// the node itself that a packet from outside reaches without passing the
// postrouting hook.
//
// Not there: iptables without --random-fully, nfacct counters, IPVS, an HTTP
// server for health check node ports. Config has no field for them.
//
// # Sources
//
// kube-proxy 1.36 (pkg/proxy), KEP-3866 (nftables), KEP-1669 (terminating
// endpoints), KEP-2433 and KEP-3015 (hints), KEP-1860 (ipMode), KEP-2086
// (internal traffic policy), the Kubernetes DNS specification 1.1.0, Eisenbud
// et al., Maglev (NSDI 2016), the manual pages of nft(8) and
// iptables-extensions(8), and net/netfilter of Linux 6.
//
// # Reading order
//
// wire.go (objects), config.go and detector.go (node), service.go and endpoints.go (checks),
// topology.go (which endpoints), compile.go with arena.go and parallel.go,
// ruleset.go and policies.go (the result);
// trace.go (what it means, plainly), lookup.go, filter.go, table.go, direct.go
// and taken.go (the same, fast), affinity.go, maglev.go; iptables.go, nft.go, spans.go, names.go
// and chunks.go (texts); compiler.go, update.go, update_nft.go (changes), and
// guard.go with packages nftwatch and iptwatch (whether they are there);
// program.go, parse_iptables.go, parse_nft.go, parse_nftrule.go and
// equivalent.go (texts read back); lint.go, health.go, resolve.go (DNS,
// environment).
package proxyrules
