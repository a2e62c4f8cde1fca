package kvtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore"
)

// rule is one promise of the interface.
type rule struct {
	name  string
	check func(*kit)
}

// timeout bounds one rule. It is there to end what hangs.
const timeout = 60 * time.Second

// Test runs all rules against the store that open returns; that of KV alone if it
// grants no leases. open is called once.
func Test(t *testing.T, open func(t *testing.T) raftstore.KV) {
	t.Helper()
	kv := open(t)
	rules := []rule{
		{"Revisions", revisions}, {"PutOptions", putOptions}, {"Ranges", ranges}, {"History", history},
		{"DeleteRange", deleteRange}, {"Transactions", transactions}, {"Compares", compares}, {"Refusals", refusals},
		{"Contention", contention},
		{"WatchFromNow", watchFromNow}, {"WatchFromPast", watchFromPast}, {"WatchOptions", watchOptions},
		{"WatchEnds", watchEnds}, {"WatchRace", watchRace},
	}
	if leases, ok := kv.(raftstore.LeasedKV); ok {
		rules = append(rules, rule{"Leases", func(k *kit) { leaseLife(k, leases) }},
			rule{"LeaseExpires", func(k *kit) { leaseExpires(k, leases) }}, rule{"Mutex", func(k *kit) { mutex(k, leases) }})
	}
	rules = append(rules, rule{"Compaction", compaction})
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			r.check(&kit{T: t, ctx: ctx, kv: kv, prefix: "kvtest/" + r.name + "/"})
		})
	}
}

// kit is what a rule works with: keys below a prefix of its own.
type kit struct {
	*testing.T
	ctx    context.Context
	kv     raftstore.KV
	prefix string
}

func (k *kit) key(name string) []byte { return []byte(k.prefix + name) }

// all is the range of the rule's keys.
func (k *kit) all() raftstore.RangeOptions {
	return raftstore.RangeOptions{Key: []byte(k.prefix), End: raftstore.PrefixEnd([]byte(k.prefix))}
}

// ok ends the rule on an error.
func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatalf("error: %v", err)
	}
}

// same ends the rule when two values print differently.
func (k *kit) same(what string, want, got any) {
	k.Helper()
	if w, g := fmt.Sprintf("%v", want), fmt.Sprintf("%v", got); w != g {
		k.Fatalf("%s is %s, expected %s", what, g, w)
	}
}

// fails ends the rule unless an error is the one that is expected. That of a write
// says as well that it was not applied.
func (k *kit) fails(what string, err, want error, write bool) {
	k.Helper()
	if !errors.Is(err, want) {
		k.Fatalf("%s: error is %v, expected %v", what, err, want)
	}
	if write && !errors.Is(err, raftstore.ErrNotApplied) {
		k.Fatalf("%s: error %v does not match ErrNotApplied", what, err)
	}
}

func (k *kit) put(name, value string) int64 {
	k.Helper()
	r, err := k.kv.Put(k.ctx, raftstore.PutRequest{Key: k.key(name), Value: []byte(value)})
	k.ok(err)
	return r.Revision
}

func (k *kit) get(name string) (raftstore.KeyValue, bool) {
	k.Helper()
	kv, ok, err := raftstore.Get(k.ctx, k.kv, k.key(name))
	k.ok(err)
	return kv, ok
}

// text prints pairs without the prefix.
func (k *kit) text(kvs []raftstore.KeyValue) string {
	s := ""
	for _, kv := range kvs {
		s += fmt.Sprintf("%s=%s ", kv.Key[len(k.prefix):], kv.Value)
	}
	return s
}
