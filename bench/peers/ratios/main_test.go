package main

import "testing"

// The rows that others refer to by name.
var promised = map[string][]string{
	"selector": {
		"parse/reqs=1", "parse/reqs=3", "parse/reqs=6", "match/reqs=1", "match/reqs=3", "match/reqs=6", "nodeselector/terms=2",
		"select/query=app/count", "select/query=app/iterate", "select/query=app-tier/count", "select/query=notin/count",
		"select/query=gen-gt/count", "registry/selectors=10000", "registry/selectors=10000/skewed",
	},
	"qos": {
		"parse/128Mi", "parse/1.5Gi", "add/mixed", "cmp/mixed", "string/uncached", "class/containers=3",
		"rank/memory/pods=10000/order", "rank/memory/pods=10000/first", "rank/disk/pods=10000/order",
	},
	"scheduler": {
		"basic/nodes=5000", "nodeaffinity/nodes=5000", "taints/nodes=5000", "onepernode/nodes=5000", "spread/nodes=5000",
		"antiaffinity/nodes=5000", "prefaffinity/nodes=5000", "preemption/nodes=5000", "mixed/nodes=5000",
	},
	"proxyrules": {
		"cold/mode=iptables", "cold/mode=nft", "render/mode=iptables", "render/mode=nft",
		"incremental/mode=iptables", "incremental/mode=nft", "kernel-load/mode=nft", "kernel-sync-one/mode=nft",
	},
	"raftstore": {
		"put/clients=1/peer=etcd-direct", "put/clients=64/peer=etcd-client", "put/clients=1000/peer=hashicorp",
		"get-linearizable/clients=64/peer=etcd-direct", "range/keys=1000/peer=etcd-client", "cas/clients=64/peer=etcd-client",
		"watch/watchers=1000/peer=etcd-client",
	},
}

func TestRowNames(t *testing.T) {
	have := map[string]map[string]bool{}
	for _, a := range areas() {
		if have[a.Name] != nil {
			t.Errorf("two areas are named %s", a.Name)
		}
		have[a.Name] = map[string]bool{}
		for _, r := range a.Rows {
			if have[a.Name][r.Name] {
				t.Errorf("area %s has two rows %s", a.Name, r.Name)
			}
			if r.Unit == "" || r.Open == nil {
				t.Errorf("area %s, row %s: no unit, or nothing to open", a.Name, r.Name)
			}
			have[a.Name][r.Name] = true
		}
	}
	for area, rows := range promised {
		for _, row := range rows {
			if !have[area][row] {
				t.Errorf("area %s has no row %s", area, row)
			}
		}
	}
}
