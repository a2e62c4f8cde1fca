package etcdapi

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// Messages and the store's requests have the same fields with the same meaning, and
// enumerations the same numbers, so that conversion is copying. Byte slices are
// shared, not copied, in both directions: the store copies what it keeps, and what
// it returns is immutable.

// enum brings an enumeration of the wire into the byte that the store has for it,
// where what is out of range must stay out of range.
func enum[T ~uint8, E ~int32](e E) T {
	if e < 0 || e > 0xff {
		return T(0xff)
	}
	return T(e)
}

func rangeOptions(r *pb.RangeRequest) raftstore.RangeOptions {
	return raftstore.RangeOptions{
		Key: r.Key, End: r.RangeEnd, Revision: r.Revision, Limit: r.Limit,
		SortOrder:  enum[mvcc.SortOrder](r.SortOrder),
		SortTarget: enum[mvcc.SortTarget](r.SortTarget),
		KeysOnly:   r.KeysOnly, CountOnly: r.CountOnly,
		MinModRevision: r.MinModRevision, MaxModRevision: r.MaxModRevision,
		MinCreateRevision: r.MinCreateRevision, MaxCreateRevision: r.MaxCreateRevision,
		Serializable: r.Serializable,
	}
}

func putRequest(r *pb.PutRequest) raftstore.PutRequest {
	return raftstore.PutRequest{
		Key: r.Key, Value: r.Value, Lease: r.Lease, PrevKV: r.PrevKv,
		IgnoreValue: r.IgnoreValue, IgnoreLease: r.IgnoreLease,
	}
}

func deleteRequest(r *pb.DeleteRangeRequest) raftstore.DeleteRequest {
	return raftstore.DeleteRequest{Key: r.Key, End: r.RangeEnd, PrevKV: r.PrevKv}
}

func txn(r *pb.TxnRequest) raftstore.Txn {
	t := raftstore.Txn{Then: ops(r.Success), Else: ops(r.Failure)}
	if len(r.Compare) > 0 {
		t.If = make([]raftstore.Compare, len(r.Compare))
		for i, c := range r.Compare {
			t.If[i] = compare(c)
		}
	}
	return t
}

func ops(requests []*pb.RequestOp) []raftstore.Op {
	if len(requests) == 0 {
		return nil
	}
	out := make([]raftstore.Op, len(requests))
	for i, r := range requests {
		// A request that is absent leaves the Op empty, which the store refuses.
		switch {
		case r.GetRequestRange() != nil:
			out[i].Range = new(rangeOptions(r.GetRequestRange()))
		case r.GetRequestPut() != nil:
			out[i].Put = new(putRequest(r.GetRequestPut()))
		case r.GetRequestDeleteRange() != nil:
			out[i].Delete = new(deleteRequest(r.GetRequestDeleteRange()))
		case r.GetRequestTxn() != nil:
			out[i].Txn = new(txn(r.GetRequestTxn()))
		}
	}
	return out
}

// compare takes, like etcd, the operand of the target's own type; one of another
// type counts as absent.
func compare(c *pb.Compare) raftstore.Compare {
	out := raftstore.Compare{
		Target:   enum[mvcc.CompareTarget](c.GetTarget()),
		Operator: enum[mvcc.CompareOperator](c.GetResult()),
		Key:      c.GetKey(), End: c.GetRangeEnd(),
	}
	switch out.Target {
	case raftstore.CompareVersion:
		out.Number = c.GetVersion()
	case raftstore.CompareCreateRevision:
		out.Number = c.GetCreateRevision()
	case raftstore.CompareModRevision:
		out.Number = c.GetModRevision()
	case raftstore.CompareValue:
		out.Value = c.GetValue()
	case raftstore.CompareLease:
		out.Number = c.GetLease()
	}
	return out
}

func setKeyValue(m *mvccpb.KeyValue, kv *raftstore.KeyValue) {
	m.Key, m.Value = kv.Key, kv.Value
	m.CreateRevision, m.ModRevision = kv.CreateRevision, kv.ModRevision
	m.Version, m.Lease = kv.Version, kv.Lease
}

// keyValues converts pairs with two allocations, whatever their number.
func keyValues(kvs []raftstore.KeyValue) []*mvccpb.KeyValue {
	if len(kvs) == 0 {
		return nil
	}
	slab := make([]mvccpb.KeyValue, len(kvs))
	out := make([]*mvccpb.KeyValue, len(kvs))
	for i := range kvs {
		setKeyValue(&slab[i], &kvs[i])
		out[i] = &slab[i]
	}
	return out
}

func prevKV(kv *raftstore.KeyValue) *mvccpb.KeyValue {
	if kv == nil {
		return nil
	}
	m := &mvccpb.KeyValue{}
	setKeyValue(m, kv)
	return m
}

// eventSlab is an event with its pair, allocated together.
type eventSlab struct {
	event mvccpb.Event
	kv    mvccpb.KeyValue
}

func events(in []raftstore.Event) []*mvccpb.Event {
	slab := make([]eventSlab, len(in))
	out := make([]*mvccpb.Event, len(in))
	for i := range in {
		e := &slab[i]
		if in[i].Type == raftstore.EventDelete {
			e.event.Type = mvccpb.Event_DELETE
		}
		setKeyValue(&e.kv, &in[i].KV)
		e.event.Kv, e.event.PrevKv = &e.kv, prevKV(in[i].PrevKV)
		out[i] = &e.event
	}
	return out
}

// The answers inside a transaction have a header with nothing but the revision of
// the transaction, as etcd's have.

func rangeResponse(r *raftstore.RangeResult, h *pb.ResponseHeader) *pb.RangeResponse {
	return &pb.RangeResponse{Header: h, Kvs: keyValues(r.KVs), More: r.More, Count: r.Count}
}

func putResponse(r *raftstore.PutResult, h *pb.ResponseHeader) *pb.PutResponse {
	return &pb.PutResponse{Header: h, PrevKv: prevKV(r.PrevKV)}
}

func deleteResponse(r *raftstore.DeleteResult, h *pb.ResponseHeader) *pb.DeleteRangeResponse {
	return &pb.DeleteRangeResponse{Header: h, Deleted: r.Deleted, PrevKvs: keyValues(r.PrevKVs)}
}

func txnResponse(r *raftstore.TxnResult, h *pb.ResponseHeader) *pb.TxnResponse {
	m := &pb.TxnResponse{Header: h, Succeeded: r.Succeeded}
	if len(r.Results) > 0 {
		m.Responses = make([]*pb.ResponseOp, len(r.Results))
	}
	for i := range r.Results {
		m.Responses[i] = opResponse(&r.Results[i])
	}
	return m
}

func opResponse(r *raftstore.OpResult) *pb.ResponseOp {
	m := &pb.ResponseOp{}
	switch {
	case r.Range != nil:
		m.Response = &pb.ResponseOp_ResponseRange{ResponseRange: rangeResponse(r.Range, at(r.Range.Revision))}
	case r.Put != nil:
		m.Response = &pb.ResponseOp_ResponsePut{ResponsePut: putResponse(r.Put, at(r.Put.Revision))}
	case r.Delete != nil:
		m.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: deleteResponse(r.Delete, at(r.Delete.Revision))}
	case r.Txn != nil:
		m.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: txnResponse(r.Txn, at(r.Txn.Revision))}
	}
	return m
}

func at(revision int64) *pb.ResponseHeader { return &pb.ResponseHeader{Revision: revision} }
