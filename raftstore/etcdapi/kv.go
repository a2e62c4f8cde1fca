package etcdapi

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/orchcore/orchcore/raftstore"
)

type kvServer struct {
	pb.UnimplementedKVServer
	*Server
}

// Range implements pb.KVServer.
func (s kvServer) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	res, err := s.store.Range(call, rangeOptions(r))
	if err == nil {
		err = s.admit(ctx, rangeSize(&res))
	}
	if err != nil {
		return nil, wireError(call, err)
	}
	return rangeResponse(&res, s.header(res.Revision)), nil
}

// rangeSize is what a result takes on the wire, roughly.
func rangeSize(r *raftstore.RangeResult) int {
	return pairsSize(r.KVs)
}

// pairBytes is the part of an encoded pair that is neither key nor value.
const pairBytes = 24

func pairsSize(kvs []raftstore.KeyValue) int {
	n := 0
	for i := range kvs {
		n += len(kvs[i].Key) + len(kvs[i].Value) + pairBytes
	}
	return n
}

// Put implements pb.KVServer.
func (s kvServer) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	res, err := s.store.Put(call, putRequest(r))
	if err != nil {
		return nil, wireError(call, err)
	}
	return putResponse(&res, s.header(res.Revision)), nil
}

// DeleteRange implements pb.KVServer.
func (s kvServer) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	res, err := s.store.DeleteRange(call, deleteRequest(r))
	if err == nil {
		err = s.admit(ctx, pairsSize(res.PrevKVs))
	}
	if err != nil {
		return nil, wireError(call, err)
	}
	return deleteResponse(&res, s.header(res.Revision)), nil
}

// Txn implements pb.KVServer.
func (s kvServer) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	res, err := s.store.Txn(call, txn(r))
	if err == nil {
		err = s.admit(ctx, txnSize(&res))
	}
	if err != nil {
		return nil, wireError(call, err)
	}
	return txnResponse(&res, s.header(res.Revision)), nil
}

func txnSize(r *raftstore.TxnResult) int {
	n := 0
	for i := range r.Results {
		switch op := &r.Results[i]; {
		case op.Range != nil:
			n += rangeSize(op.Range)
		case op.Delete != nil:
			n += pairsSize(op.Delete.PrevKVs)
		case op.Txn != nil:
			n += txnSize(op.Txn)
		}
	}
	return n
}

// Compact implements pb.KVServer. Memory is given back bit by bit afterwards; there
// is nothing to wait for, so Physical changes nothing.
func (s kvServer) Compact(ctx context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.store.Compact(call, r.GetRevision()); err != nil {
		return nil, wireError(call, err)
	}
	return &pb.CompactionResponse{Header: s.headerNow()}, nil
}
