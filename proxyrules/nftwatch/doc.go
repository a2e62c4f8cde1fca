// Package nftwatch reads from Linux who changed nftables rules, without
// listing any: the generation that the kernel counts, and which transactions
// touched the table of a service proxy. It makes what proxyrules.Guard
// decides with.
//
// A Watch asks for the generation (NFT_MSG_GETGEN) and subscribes to the
// kernel's notifications about rules (NFNLGRP_NFTABLES), of which it keeps one
// bit per transaction. Both are netlink sockets of the network namespace in
// which Open was called; no goroutine and no command runs. Reading them takes
// a few microseconds when nothing happened, however many rules there are.
//
// # Limits
//
// Notifications wait in the socket's buffer until the next Observe. A large
// transaction, such as the first load of thousands of services, overflows it;
// that is noticed, and the transactions in question are reported as unknown.
// Alone between two observations, our own load is known all the same.
//
// Iptables rules that iptables-nft made lie in other tables; rules of
// iptables-legacy have no generations. Only table kube-proxy of nftables is
// watched. What expires by itself (affinity) and what packets add make no
// transaction and no difference.
package nftwatch
