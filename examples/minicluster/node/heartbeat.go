package node

import (
	"encoding/json"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
)

// Heartbeats renews a lease for every node that is ready.
type Heartbeats struct {
	// Period is the time between two renewals; zero means 10 s, as on real nodes.
	Period time.Duration
}

const (
	periodDefault        = 10 * time.Second
	leaseDurationSeconds = 40
	leaseNamespace       = "kube-node-lease"
	batchMax             = 50 // leases renewed in one transaction
)

// Name implements control.Controller.
func (h *Heartbeats) Name() string { return "heartbeat" }

// Kinds implements control.Controller.
func (h *Heartbeats) Kinds() []api.Kind { return []api.Kind{api.Nodes, api.Leases} }

// Reconcile implements control.Controller.
func (h *Heartbeats) Reconcile(view *control.View, now time.Time) ([]control.Action, time.Duration, error) {
	period := h.Period
	if period == 0 {
		period = periodDefault
	}
	recheck := period
	var batches []control.Action
	for n := range view.Nodes.All() {
		if !n.Object.Ready() {
			continue
		}
		name := n.Object.Metadata.Name
		w := control.Write{Key: api.Leases.Key(leaseNamespace, name)}
		if old := view.Leases[w.Key]; old != nil {
			w.Revision = old.Revision
			// A lease from the future was written under another clock: renew it now.
			if age := now.Sub(old.Object.Spec.RenewTime); age >= 0 && age < period {
				recheck = min(recheck, period-age)
				continue
			}
		}
		value, err := json.Marshal(lease(name, now))
		if err != nil {
			return nil, 0, err
		}
		w.Value = value
		if len(batches) == 0 || len(batches[len(batches)-1].Writes) == batchMax {
			batches = append(batches, control.Action{Verb: "renew", Object: "node leases"})
		}
		last := &batches[len(batches)-1]
		last.Writes = append(last.Writes, w)
	}
	return batches, recheck, nil
}

func lease(node string, now time.Time) api.Lease {
	return api.Lease{
		TypeMeta: api.TypeMeta{APIVersion: api.Leases.APIVersion, Kind: api.Leases.Name},
		Metadata: api.ObjectMeta{Name: node, Namespace: leaseNamespace},
		Spec: api.LeaseSpec{
			HolderIdentity: node, LeaseDurationSeconds: leaseDurationSeconds, RenewTime: now.UTC().Truncate(time.Microsecond),
		},
	}
}
