package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/raftstore"
)

// leaseStore keeps an election's record as the spec of a Lease object.
type leaseStore struct {
	kv   raftstore.KV
	name string
}

var _ raftstore.LeaseStore = leaseStore{}

// leaseObject is a Lease around the record of an election.
type leaseObject struct {
	api.TypeMeta
	Metadata api.ObjectMeta  `json:"metadata"`
	Spec     json.RawMessage `json:"spec"`
}

const systemNamespace = "kube-system"

func (s leaseStore) key() []byte { return []byte(api.Leases.Key(systemNamespace, s.name)) }

// LoadLease implements raftstore.LeaseStore.
func (s leaseStore) LoadLease(ctx context.Context) ([]byte, int64, error) {
	kv, ok, err := raftstore.Get(ctx, s.kv, s.key())
	if err != nil || !ok {
		return nil, 0, err
	}
	var object leaseObject
	if err := json.Unmarshal(kv.Value, &object); err != nil {
		return nil, 0, fmt.Errorf("object %s: %w", s.key(), err)
	}
	return object.Spec, kv.ModRevision, nil
}

// SwapLease implements raftstore.LeaseStore.
func (s leaseStore) SwapLease(ctx context.Context, record []byte, revision int64) (int64, bool, error) {
	value, err := json.Marshal(leaseObject{
		TypeMeta: api.TypeMeta{APIVersion: api.Leases.APIVersion, Kind: api.Leases.Name},
		Metadata: api.ObjectMeta{Namespace: systemNamespace, Name: s.name},
		Spec:     record,
	})
	if err != nil {
		return 0, false, err
	}
	return raftstore.CompareAndSwap(ctx, s.kv, s.key(), value, revision)
}
