package etcdkv

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/orchcore/orchcore/raftstore"
)

// The data models are the same, and the enumerations have the same numbers.

func pbRange(o *raftstore.RangeOptions) *pb.RangeRequest {
	return &pb.RangeRequest{
		Key: o.Key, RangeEnd: o.End, Limit: max(0, o.Limit), Revision: o.Revision,
		SortOrder: pb.RangeRequest_SortOrder(o.SortOrder), SortTarget: pb.RangeRequest_SortTarget(o.SortTarget),
		KeysOnly: o.KeysOnly, CountOnly: o.CountOnly,
		MinModRevision: o.MinModRevision, MaxModRevision: o.MaxModRevision,
		MinCreateRevision: o.MinCreateRevision, MaxCreateRevision: o.MaxCreateRevision,
		Serializable: o.Serializable,
	}
}

func pbPut(r *raftstore.PutRequest) *pb.PutRequest {
	return &pb.PutRequest{
		Key: r.Key, Value: r.Value, Lease: r.Lease, PrevKv: r.PrevKV,
		IgnoreValue: r.IgnoreValue, IgnoreLease: r.IgnoreLease,
	}
}

func pbDelete(r *raftstore.DeleteRequest) *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: r.Key, RangeEnd: r.End, PrevKv: r.PrevKV}
}

func pbTxn(t *raftstore.Txn) *pb.TxnRequest {
	m := &pb.TxnRequest{Success: pbOps(t.Then), Failure: pbOps(t.Else)}
	for i := range t.If {
		m.Compare = append(m.Compare, pbCompare(&t.If[i]))
	}
	return m
}

func pbOps(ops []raftstore.Op) []*pb.RequestOp {
	list := make([]*pb.RequestOp, len(ops))
	for i, op := range ops {
		m := &pb.RequestOp{}
		switch {
		case op.Range != nil:
			m.Request = &pb.RequestOp_RequestRange{RequestRange: pbRange(op.Range)}
		case op.Put != nil:
			m.Request = &pb.RequestOp_RequestPut{RequestPut: pbPut(op.Put)}
		case op.Delete != nil:
			m.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: pbDelete(op.Delete)}
		case op.Txn != nil:
			m.Request = &pb.RequestOp_RequestTxn{RequestTxn: pbTxn(op.Txn)}
		}
		list[i] = m
	}
	return list
}

func pbCompare(c *raftstore.Compare) *pb.Compare {
	m := &pb.Compare{
		Result: pb.Compare_CompareResult(c.Operator), Target: pb.Compare_CompareTarget(c.Target),
		Key: c.Key, RangeEnd: c.End,
	}
	switch c.Target {
	case raftstore.CompareVersion:
		m.TargetUnion = &pb.Compare_Version{Version: c.Number}
	case raftstore.CompareCreateRevision:
		m.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: c.Number}
	case raftstore.CompareModRevision:
		m.TargetUnion = &pb.Compare_ModRevision{ModRevision: c.Number}
	case raftstore.CompareLease:
		m.TargetUnion = &pb.Compare_Lease{Lease: c.Number}
	default:
		m.TargetUnion = &pb.Compare_Value{Value: c.Value}
	}
	return m
}

func keyValue(m *mvccpb.KeyValue) raftstore.KeyValue {
	return raftstore.KeyValue{
		Key: m.GetKey(), Value: m.GetValue(), CreateRevision: m.GetCreateRevision(), ModRevision: m.GetModRevision(),
		Version: m.GetVersion(), Lease: m.GetLease(),
	}
}

func keyValues(list []*mvccpb.KeyValue) []raftstore.KeyValue {
	if len(list) == 0 {
		return nil
	}
	kvs := make([]raftstore.KeyValue, len(list))
	for i, m := range list {
		kvs[i] = keyValue(m)
	}
	return kvs
}

func prevKV(m *mvccpb.KeyValue) *raftstore.KeyValue {
	if m == nil {
		return nil
	}
	return new(keyValue(m))
}

func rangeResult(m *pb.RangeResponse) *raftstore.RangeResult {
	return &raftstore.RangeResult{KVs: keyValues(m.Kvs), Count: m.Count, More: m.More, Revision: m.GetHeader().GetRevision()}
}

func putResult(m *pb.PutResponse) *raftstore.PutResult {
	return &raftstore.PutResult{Revision: m.GetHeader().GetRevision(), PrevKV: prevKV(m.PrevKv)}
}

func deleteResult(m *pb.DeleteRangeResponse) *raftstore.DeleteResult {
	return &raftstore.DeleteResult{Revision: m.GetHeader().GetRevision(), Deleted: m.Deleted, PrevKVs: keyValues(m.PrevKvs)}
}

func txnResult(m *pb.TxnResponse) *raftstore.TxnResult {
	r := &raftstore.TxnResult{Succeeded: m.Succeeded, Revision: m.GetHeader().GetRevision(), Results: make([]raftstore.OpResult, len(m.Responses))}
	for i, op := range m.Responses {
		switch {
		case op.GetResponseRange() != nil:
			r.Results[i].Range = rangeResult(op.GetResponseRange())
		case op.GetResponsePut() != nil:
			r.Results[i].Put = putResult(op.GetResponsePut())
		case op.GetResponseDeleteRange() != nil:
			r.Results[i].Delete = deleteResult(op.GetResponseDeleteRange())
		case op.GetResponseTxn() != nil:
			r.Results[i].Txn = txnResult(op.GetResponseTxn())
		}
	}
	return r
}

func event(e *mvccpb.Event) raftstore.Event {
	out := raftstore.Event{KV: keyValue(e.GetKv()), PrevKV: prevKV(e.GetPrevKv())}
	if e.GetType() == mvccpb.Event_DELETE {
		out.Type = raftstore.EventDelete
	}
	return out
}
