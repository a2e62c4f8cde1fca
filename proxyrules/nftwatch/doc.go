// Package nftwatch reads from Linux who changed nftables rules, without
// listing any: the generation that the kernel counts, and which transactions
// touched what a service proxy keeps there. It makes what proxyrules.Guard
// decides with.
//
// Open watches table kube-proxy of nftables. OpenIPTables watches the rules of
// iptables-nft, which are nftables underneath: chains KUBE-… in tables filter
// and nat, and the kernel's own chains there, from where rules jump to those.
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
// Rules of iptables-legacy have no generations: see package iptwatch. A rule
// that somebody puts before our jumps counts as a touch and leads to one load
// of ours, which does not remove it. To load our chains again does not bring
// back a jump that was deleted, and to insert all jumps again would double
// those that are there: insert those that iptables-save does not show.
//
// What expires by itself (affinity) and what packets add make no
// transaction and no difference.
package nftwatch
