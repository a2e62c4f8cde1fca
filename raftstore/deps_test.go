package raftstore

import (
	"go/build"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestImports holds the arrows: raftstore builds on its own leaves, Raft and the
// standard library; the leaves know neither each other nor their user.
func TestImports(t *testing.T) {
	const own = "github.com/orchcore/orchcore/raftstore"
	const proto = "google.golang.org/protobuf/proto"
	for dir, allowed := range map[string][]string{
		".":         {own + "/mvcc", own + "/wal", own + "/transport", "go.etcd.io/raft/v3", "go.etcd.io/raft/v3/raftpb", "go.etcd.io/raft/v3/tracker", proto},
		"wal":       {"go.etcd.io/raft/v3/raftpb"},
		"transport": {},
	} {
		pkg, err := build.ImportDir(dir, 0)
		require.NoError(t, err)
		for _, path := range pkg.Imports {
			if strings.Contains(path, ".") {
				require.True(t, slices.Contains(allowed, path), "%s imports %s", dir, path)
			}
		}
	}
}
