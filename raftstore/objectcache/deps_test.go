package objectcache

import (
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The package stands on the interface of raftstore and on a B-tree.
func TestImports(t *testing.T) {
	allowed := map[string]bool{
		"github.com/google/btree":                     true,
		"github.com/orchcore/orchcore/raftstore":      true,
		"github.com/orchcore/orchcore/raftstore/mvcc": true,
	}
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, i := range parsed.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			require.NoError(t, err)
			require.True(t, allowed[path] || !strings.Contains(path, "."), "%s imports %s", f.Name(), path)
		}
	}
}
