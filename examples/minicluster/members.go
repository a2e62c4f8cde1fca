package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/check"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/raftstore"
)

// memberCount tolerates the loss of one member.
const memberCount = 3

// members is the store: three members in this process that talk over loopback.
type members struct {
	dir       string
	stores    [memberCount]*raftstore.Store // nil while a member is down
	peers     []raftstore.Member
	endpoints *control.Endpoints
}

// openMembers starts all members on free ports. Ports may differ from one start to
// the next: the members' identity is their id and their directory.
func openMembers(dir string) (*members, error) {
	m := &members{dir: dir, endpoints: control.NewEndpoints(memberCount)}
	var listeners [memberCount]net.Listener
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		listeners[i] = l
		m.peers = append(m.peers, raftstore.Member{ID: uint64(i + 1), Address: l.Addr().String()})
	}
	for i := range listeners {
		if err := m.open(i, listeners[i]); err != nil {
			for _, l := range listeners[i:] {
				l.Close()
			}
			return nil, errors.Join(err, m.close())
		}
	}
	return m, nil
}

func (m *members) open(i int, l net.Listener) error {
	s, err := raftstore.Open(filepath.Join(m.dir, fmt.Sprintf("member-%d", i+1)), raftstore.Config{
		ID:               uint64(i + 1),
		ClusterToken:     "minicluster",
		Members:          m.peers,
		Listener:         l,
		TickInterval:     10 * time.Millisecond,
		HeartbeatTicks:   2,
		ElectionTicks:    20,
		SegmentSizeBytes: 2 << 20,
		SnapshotEntries:  2000,
		CatchUpEntries:   1000,
	})
	if err != nil {
		return fmt.Errorf("member %d: %w", i+1, err)
	}
	m.stores[i] = s
	m.endpoints.Set(i, s)
	return nil
}

// restart opens a member again at its old address.
func (m *members) restart(i int) error {
	l, err := net.Listen("tcp", m.peers[i].Address)
	if err != nil {
		return err
	}
	if err := m.open(i, l); err != nil {
		l.Close()
		return err
	}
	return nil
}

// kill stops a member as a crash would.
func (m *members) kill(i int) error {
	s := m.stores[i]
	m.stores[i] = nil
	m.endpoints.Set(i, nil)
	return s.Abort()
}

// close stops every member; the error is the first.
func (m *members) close() error {
	var errs []error
	for i, s := range m.stores {
		if s != nil {
			m.endpoints.Set(i, nil)
			errs = append(errs, s.Close())
			m.stores[i] = nil
		}
	}
	return errors.Join(errs...)
}

// poll is the pause between two looks at something that has no event.
const poll = 2 * time.Millisecond

// until waits for a condition.
func until(ctx context.Context, what string, limit time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s: not within %v", what, limit))
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(poll):
		}
	}
	return nil
}

// leader waits for a leader that a majority follows.
func (m *members) leader(ctx context.Context) (index int, term uint64, err error) {
	err = until(ctx, "leader of the store", 10*time.Second, func() bool {
		for i, s := range m.stores {
			if s == nil {
				continue
			}
			st := s.Status()
			if st.Role != raftstore.Leader || m.followers(st.MemberID, st.Term) <= memberCount/2 {
				continue
			}
			index, term = i, st.Term
			return true
		}
		return false
	})
	return index, term, err
}

func (m *members) followers(leader, term uint64) int {
	n := 0
	for _, s := range m.stores {
		if s != nil {
			if st := s.Status(); st.Leader == leader && st.Term == term {
				n++
			}
		}
	}
	return n
}

// level waits until every member that is up has applied the same revision.
func (m *members) level(ctx context.Context) error {
	return until(ctx, "members level", 10*time.Second, func() bool {
		first := int64(-1)
		for _, s := range m.stores {
			if s == nil {
				continue
			}
			r := s.Status().Revision
			if first >= 0 && r != first {
				return false
			}
			first = r
		}
		return true
	})
}

// states returns what each member holds. Nobody may write meanwhile.
func (m *members) states() ([]check.Member, error) {
	var out []check.Member
	for i, s := range m.stores {
		if s == nil {
			return nil, fmt.Errorf("member %d is down", i+1)
		}
		hash, err := s.HashKV(0)
		if err != nil {
			return nil, fmt.Errorf("member %d: %w", i+1, err)
		}
		out = append(out, check.Member{ID: uint64(i + 1), Revision: s.Status().Revision, Hash: hash})
	}
	return out, nil
}
