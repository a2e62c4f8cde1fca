// Package iptwatch notices when somebody changed the rules of iptables-legacy,
// without iptables-save. The kernel counts no generations of those tables, and
// tells nobody; but it says how large they are, where each hook's chain begins
// and which rules are in them.
//
// A Watch asks for the sizes of tables filter and nat (IPT_SO_GET_INFO) at
// each Observe, a few microseconds however many rules there are. ObserveAll
// also reads the rules themselves (IPT_SO_GET_ENTRIES) and hashes them without
// their counters: that notices what leaves all sizes as they are, such as one
// rule in place of another or a policy, and takes time in proportion to them.
// So observe before each update, and observe all every minute or so.
//
// What a Watch sees becomes an Observation for proxyrules.Guard: each change
// is a generation of its own, and touches what is ours, since there is no
// telling whose rules it concerned.
//
// # Limits
//
// All changes between two looks are one: what a stranger does between the look
// before a load of our own and the look after it passes for ours. Asking about
// a table that nobody used yet creates it, empty, where the kernel makes tables
// on demand. Reading rules while they are changed is an error (EAGAIN).
package iptwatch
