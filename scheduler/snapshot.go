package scheduler

// view is the cluster at one moment, immutable.
type view struct {
	config CacheConfig
	// changes is the change log without its ring.
	changes changeLog
	// infos are copies of the nodes by slot, nil where there is none, and slot
	// their numbers by name.
	infos []*NodeInfo
	slot  map[string]int32
	pods  podTable
	order nodeOrder
	list  []*NodeInfo
	at    []int32
	stale bool
	dirty []*NodeInfo
	slots int32
	freed []int32
	objects
}

func (v *view) node(name string) *NodeInfo {
	if slot, ok := v.slot[name]; ok {
		return v.infos[slot]
	}
	return nil
}
