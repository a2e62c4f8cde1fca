package raftstore

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	ours "github.com/orchcore/orchcore/raftstore/mvcc"
)

// Requests become etcd's messages, and etcd's answers our results.

func pbRange(o *ours.RangeOptions) *pb.RangeRequest {
	return &pb.RangeRequest{
		Key: o.Key, RangeEnd: wireEnd(o.End), Limit: o.Limit, Revision: o.Revision,
		SortOrder:  pb.RangeRequest_SortOrder(o.SortOrder),
		SortTarget: pb.RangeRequest_SortTarget(o.SortTarget),
		KeysOnly:   o.KeysOnly, CountOnly: o.CountOnly,
		MinModRevision: o.MinModRevision, MaxModRevision: o.MaxModRevision,
		MinCreateRevision: o.MinCreateRevision, MaxCreateRevision: o.MaxCreateRevision,
	}
}

// wireEnd is what an end is after the wire, where empty and absent are one.
func wireEnd(end []byte) []byte {
	if len(end) == 0 {
		return nil
	}
	return end
}

func pbPut(r *ours.PutRequest) *pb.PutRequest {
	return &pb.PutRequest{
		Key: r.Key, Value: r.Value, Lease: r.Lease, PrevKv: r.PrevKV,
		IgnoreValue: r.IgnoreValue, IgnoreLease: r.IgnoreLease,
	}
}

func pbDelete(r *ours.DeleteRequest) *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: r.Key, RangeEnd: wireEnd(r.End), PrevKv: r.PrevKV}
}

func pbTxn(t *ours.Txn) *pb.TxnRequest {
	p := &pb.TxnRequest{Success: pbOps(t.Then), Failure: pbOps(t.Else)}
	for i := range t.If {
		p.Compare = append(p.Compare, pbCompare(&t.If[i]))
	}
	return p
}

func pbOps(ops []ours.Op) []*pb.RequestOp {
	var out []*pb.RequestOp
	for _, op := range ops {
		p := &pb.RequestOp{}
		switch {
		case op.Range != nil:
			p.Request = &pb.RequestOp_RequestRange{RequestRange: pbRange(op.Range)}
		case op.Put != nil:
			p.Request = &pb.RequestOp_RequestPut{RequestPut: pbPut(op.Put)}
		case op.Delete != nil:
			p.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: pbDelete(op.Delete)}
		case op.Txn != nil:
			p.Request = &pb.RequestOp_RequestTxn{RequestTxn: pbTxn(op.Txn)}
		}
		out = append(out, p)
	}
	return out
}

func pbCompare(c *ours.Compare) *pb.Compare {
	p := &pb.Compare{
		Result: pb.Compare_CompareResult(c.Operator),
		Target: pb.Compare_CompareTarget(c.Target),
		Key:    c.Key, RangeEnd: wireEnd(c.End),
	}
	switch c.Target {
	case ours.CompareVersion:
		p.TargetUnion = &pb.Compare_Version{Version: c.Number}
	case ours.CompareCreateRevision:
		p.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: c.Number}
	case ours.CompareModRevision:
		p.TargetUnion = &pb.Compare_ModRevision{ModRevision: c.Number}
	case ours.CompareLease:
		p.TargetUnion = &pb.Compare_Lease{Lease: c.Number}
	default:
		p.TargetUnion = &pb.Compare_Value{Value: c.Value}
	}
	return p
}

func ourKV(kv *mvccpb.KeyValue) ours.KeyValue {
	return ours.KeyValue{
		Key: kv.Key, Value: kv.Value, CreateRevision: kv.CreateRevision,
		ModRevision: kv.ModRevision, Version: kv.Version, Lease: kv.Lease,
	}
}

func ourKVs(kvs []*mvccpb.KeyValue) []ours.KeyValue {
	var out []ours.KeyValue
	for _, kv := range kvs {
		out = append(out, ourKV(kv))
	}
	return out
}

func ourRange(r *pb.RangeResponse) *ours.RangeResult {
	return &ours.RangeResult{KVs: ourKVs(r.Kvs), Count: r.Count, More: r.More, Revision: r.Header.Revision}
}

func ourPut(r *pb.PutResponse) *ours.PutResult {
	out := &ours.PutResult{Revision: r.Header.Revision}
	if r.PrevKv != nil {
		kv := ourKV(r.PrevKv)
		out.PrevKV = &kv
	}
	return out
}

func ourDelete(r *pb.DeleteRangeResponse) *ours.DeleteResult {
	return &ours.DeleteResult{Revision: r.Header.Revision, Deleted: r.Deleted, PrevKVs: ourKVs(r.PrevKvs)}
}

func ourTxn(r *pb.TxnResponse) *ours.TxnResult {
	out := &ours.TxnResult{Succeeded: r.Succeeded, Revision: r.Header.Revision}
	for _, resp := range r.Responses {
		var o ours.OpResult
		switch v := resp.Response.(type) {
		case *pb.ResponseOp_ResponseRange:
			o.Range = ourRange(v.ResponseRange)
		case *pb.ResponseOp_ResponsePut:
			o.Put = ourPut(v.ResponsePut)
		case *pb.ResponseOp_ResponseDeleteRange:
			o.Delete = ourDelete(v.ResponseDeleteRange)
		case *pb.ResponseOp_ResponseTxn:
			o.Txn = ourTxn(v.ResponseTxn)
		}
		out.Results = append(out.Results, o)
	}
	return out
}
