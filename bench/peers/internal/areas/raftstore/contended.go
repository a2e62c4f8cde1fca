package raftstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/raftstore"
)

// updater replaces a key's value by what f makes of it, atomically. seen is what the
// client knows of the key from its last call: it may be used, and is kept up to date.
type updater interface {
	update(ctx context.Context, key []byte, seen *clientView, f func([]byte) []byte) error
}

type clientView struct {
	value    []byte
	revision int64
}

// update uses the store's own way; any client can have it.
func (c *ourCluster) update(ctx context.Context, key []byte, _ *clientView, f func([]byte) []byte) error {
	_, err := c.leader.Update(ctx, key, func(current []byte, _ bool) ([]byte, error) { return f(current), nil })
	return err
}

// update is the best that etcd's transactions allow: compare-and-swap with what the
// client has seen last, where a failure brings the present value along.
func (e etcdClients) update(ctx context.Context, key []byte, seen *clientView, f func([]byte) []byte) error {
	k := string(key)
	for {
		next := f(seen.value)
		r, err := e.of(key).Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(k), "=", seen.revision)).
			Then(clientv3.OpPut(k, string(next))).Else(clientv3.OpGet(k)).Commit()
		if err != nil {
			return err
		}
		if r.Succeeded {
			*seen = clientView{next, r.Header.Revision}
			return nil
		}
		kv := r.Responses[0].GetResponseRange().Kvs[0]
		*seen = clientView{kv.Value, kv.ModRevision}
	}
}

// updateRow is all clients counting in one key. What counts are successes, and in the
// end the key must hold their number.
func updateRow(clients int) measure.Row {
	key := []byte("contended")
	return row(fmt.Sprintf("cas/clients=%d", clients), client, "updates/s", load{
		prepare: func(ctx context.Context, s store) error { return s.put(ctx, key, make([]byte, valueBytes)) },
		run: func(ctx context.Context, s store) (int, error) {
			u, ok := s.(updater)
			if !ok {
				return 0, errors.ErrUnsupported
			}
			if err := s.put(ctx, key, make([]byte, valueBytes)); err != nil {
				return 0, err
			}
			seen := make([]clientView, clients)
			return forAWhile(ctx, clients, func(ctx context.Context, c, _ int) (int, error) {
				return 1, u.update(ctx, key, &seen[c], func(current []byte) []byte {
					next := make([]byte, valueBytes)
					if len(current) > 0 {
						binary.LittleEndian.PutUint64(next, binary.LittleEndian.Uint64(current)+1)
					}
					return next
				})
			})
		},
		check: func(ctx context.Context, s store, before int64, operations int) error {
			if err := everyOneARevision(ctx, s, before, operations+1); err != nil {
				return err
			}
			value, err := valueOf(ctx, s, key)
			if err == nil && binary.LittleEndian.Uint64(value) != uint64(operations) {
				err = fmt.Errorf("counted to %d in %d updates", binary.LittleEndian.Uint64(value), operations)
			}
			return err
		},
	})
}

func valueOf(ctx context.Context, s store, key []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch s := s.(type) {
	case *ourCluster:
		pair, _, err := raftstore.Get(ctx, s.leader, key)
		return pair.Value, err
	case etcdClients:
		r, err := s.of(key).Get(ctx, string(key))
		if err != nil || len(r.Kvs) == 0 {
			return nil, errors.Join(err, errors.New("no value"))
		}
		return r.Kvs[0].Value, nil
	}
	return nil, errors.ErrUnsupported
}
