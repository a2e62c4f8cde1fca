package kvtest_test

import (
	"context"
	"go/parser"
	"go/token"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/kvtest"
)

func TestStore(t *testing.T) {
	kvtest.Test(t, func(t *testing.T) raftstore.KV { return open(t, 1)[0] })
}

// A follower keeps the same promises, with every write and read forwarded.
func TestFollower(t *testing.T) {
	stores := open(t, 3)
	leader := stores[0].Leadership().Leader
	kvtest.Test(t, func(*testing.T) raftstore.KV { return stores[leader%3] })
}

func open(t *testing.T, n int) []*raftstore.Store {
	t.Helper()
	var members []raftstore.Member
	var listeners []net.Listener
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		members = append(members, raftstore.Member{ID: uint64(i + 1), Address: l.Addr().String()})
	}
	var stores []*raftstore.Store
	for i, m := range members {
		s, err := raftstore.Open(t.TempDir(), raftstore.Config{
			ID: m.ID, Members: members, Listener: listeners[i], TickInterval: 10 * time.Millisecond, ElectionTicks: 20, SegmentSizeBytes: 1 << 20,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Abort() })
		stores = append(stores, s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, s := range stores {
		if err := s.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return stores
}

func TestDependencies(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(name, "/")
			if strings.Contains(first, ".") && !strings.HasPrefix(name, "github.com/orchcore/orchcore/raftstore") {
				t.Errorf("%s imports %s", file, name)
			}
		}
	}
}
