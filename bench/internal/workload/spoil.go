package workload

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// odd are values of the right JSON type that an API server would refuse, or
// that nobody writes, by member name.
var odd = map[string][]any{
	"operator":           {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Equal", "Bogus", ""},
	"values":             {list{}, list{"a b"}, list{"5", "6"}, list{"-1"}, list{"+7"}, list{""}, list{"999999999999999999999"}},
	"key":                {"", "a b", "a/b/c", "-x", "disk", "gen"},
	"effect":             {"", "Bogus", "NoSchedule"},
	"value":              {"", "a b", "7"},
	"topologyKey":        {"", "none", hostnameKey},
	"weight":             {0, -5, 101, 1 << 30},
	"maxSkew":            {0, -1, 1 << 30},
	"minDomains":         {0, -1, 1 << 30},
	"whenUnsatisfiable":  {"", "Bogus"},
	"nodeTaintsPolicy":   {"", "Bogus"},
	"nodeAffinityPolicy": {"", "Bogus"},
	"matchLabelKeys":     {list{}, list{""}, list{"app", "app"}, list{"a b"}},
	"protocol":           {"", "SCTP", "Bogus"},
	"hostIP":             {"::", "not an address"},
	"hostPort":           {0, -1, 70000},
	"restartPolicy":      {"Never", "Bogus"},
	"preemptionPolicy":   {"", "Bogus"},
	"priority":           {-2147483648, 2147483647},
	"cpu":                {"-1", "1n", "999999999999", "0"},
	"memory":             {"-1Gi", "1n", "1Ei", "0"},
	"pods":               {"-1", "2147483648", "1500m"},
	"image":              {"", "img/a@sha256:0", "UPPER:case"},
	"sizeBytes":          {-1, 1 << 40},
	"namespaces":         {list{}, list{""}, list{"default", "default"}},
	"app":                {"", "a b"},
	"gen":                {"+7", "0x10", "9223372036854775808"},
	"kind":               {"", "replicaset"},
	"apiVersion":         {"", "apps/v1beta1"},
	"controller":         {false},
	"disruptionsAllowed": {-1},
}

// Spoil puts odd values in up to three places of a cluster. They decode, but
// break the rules that mixed clusters keep: how a scheduler without an API
// server before it takes them is part of what it does.
func Spoil(r *rand.Rand, c *Cluster) {
	var sites []site
	for _, objects := range [][]Object{c.Nodes, c.Pods, c.Services, c.ReplicationControllers, c.ReplicaSets, c.StatefulSets, c.PDBs} {
		for _, o := range objects {
			sites = appendSites(sites, o)
		}
	}
	for range min(1+r.IntN(3), len(sites)) {
		s := sites[r.IntN(len(sites))]
		values := odd[s.key]
		s.object[s.key] = values[r.IntN(len(values))]
	}
}

// site is a member that an odd value can replace.
type site struct {
	object Object
	key    string
}

func appendSites(sites []site, v any) []site {
	switch v := v.(type) {
	case Object:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if values := odd[k]; len(values) > 0 && sameKind(v[k], values[0]) {
				sites = append(sites, site{v, k})
			}
			sites = appendSites(sites, v[k])
		}
	case list:
		for _, e := range v {
			sites = appendSites(sites, e)
		}
	}
	return sites
}

// sameKind tells a resource named "pods" from a list of that name.
func sameKind(a, b any) bool {
	switch a.(type) {
	case string:
		_, ok := b.(string)
		return ok
	case int:
		_, ok := b.(int)
		return ok
	case bool:
		_, ok := b.(bool)
		return ok
	case list:
		_, ok := b.(list)
		return ok
	}
	return false
}
