package raftstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// hashicorpCluster is three replicas of hashicorp/raft over raft-wal, with a Go
// map as the state: no revisions, no versions, no watches.
type hashicorpCluster struct {
	dir    string
	nodes  []*raft.Raft
	states []*mapState
	logs   []*wal.WAL
	leader int
}

func openHashicorp() (*hashicorpCluster, error) {
	dir, err := os.MkdirTemp("", "ratios-hashicorp")
	if err != nil {
		return nil, err
	}
	c := &hashicorpCluster{dir: dir}
	var servers []raft.Server
	var start []func() error
	for i := range 3 {
		t, err := raft.NewTCPTransportWithLogger("127.0.0.1:0", nil, 3, 10*time.Second, hclog.NewNullLogger())
		if err != nil {
			c.close()
			return nil, err
		}
		id := raft.ServerID(fmt.Sprint(i))
		servers = append(servers, raft.Server{ID: id, Address: t.LocalAddr()})
		start = append(start, func() error { return c.start(id, t, servers) })
	}
	for _, f := range start {
		if err := f(); err != nil {
			c.close()
			return nil, err
		}
	}
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for i, n := range c.nodes {
			if n.State() == raft.Leader && n.Barrier(startTimeout).Error() == nil {
				c.leader = i
				return c, nil
			}
		}
	}
	c.close()
	return nil, errors.New("hashicorp/raft has no leader")
}

func (c *hashicorpCluster) start(id raft.ServerID, t raft.Transport, servers []raft.Server) error {
	dir := filepath.Join(c.dir, string(id))
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	log, err := wal.Open(dir)
	if err != nil {
		return err
	}
	c.logs = append(c.logs, log)
	cfg := raft.DefaultConfig()
	cfg.LocalID, cfg.Logger = id, hclog.NewNullLogger()
	cfg.BatchApplyCh, cfg.MaxAppendEntries = true, 512
	snapshots := raft.NewDiscardSnapshotStore()
	if err := raft.BootstrapCluster(cfg, log, log, snapshots, t, raft.Configuration{Servers: servers}); err != nil {
		return err
	}
	state := &mapState{values: map[string][]byte{}}
	node, err := raft.NewRaft(cfg, state, log, log, snapshots, t)
	if err != nil {
		return err
	}
	c.nodes, c.states = append(c.nodes, node), append(c.states, state)
	return nil
}

func (c *hashicorpCluster) close() {
	for _, n := range c.nodes {
		_ = n.Shutdown().Error()
	}
	for _, l := range c.logs {
		_ = l.Close()
	}
	_ = os.RemoveAll(c.dir)
}

// put proposes the key's length, the key and the value.
func (c *hashicorpCluster) put(_ context.Context, key, value []byte) error {
	b := make([]byte, 0, 4+len(key)+len(value))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(key)))
	b = append(append(b, key...), value...)
	return c.nodes[c.leader].Apply(b, callTimeout).Error()
}

// revision is the number of puts applied.
func (c *hashicorpCluster) revision(context.Context) (int64, error) {
	return c.states[c.leader].applied.Load(), nil
}

func (c *hashicorpCluster) get(context.Context, []byte) (int, error) {
	return 0, errors.ErrUnsupported
}

func (c *hashicorpCluster) count(context.Context, []byte) (int, error) {
	return 0, errors.ErrUnsupported
}

func (c *hashicorpCluster) swap(context.Context, []byte, []byte, int64) (int64, bool, error) {
	return 0, false, errors.ErrUnsupported
}

func (c *hashicorpCluster) watch(context.Context, []byte, func(), func() bool) error {
	return errors.ErrUnsupported
}

// mapState is the replicated state. Snapshots are thrown away: none is needed
// within a run.
type mapState struct {
	values  map[string][]byte
	applied atomic.Int64
}

func (s *mapState) Apply(l *raft.Log) any {
	n := binary.LittleEndian.Uint32(l.Data)
	s.values[string(l.Data[4:4+n])] = append([]byte(nil), l.Data[4+n:]...)
	s.applied.Add(1)
	return nil
}

func (s *mapState) Snapshot() (raft.FSMSnapshot, error)  { return s, nil }
func (s *mapState) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (s *mapState) Release()                             {}
func (s *mapState) Restore(r io.ReadCloser) error        { return r.Close() }
