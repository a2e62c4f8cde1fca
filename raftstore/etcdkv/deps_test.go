package etcdkv

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The package needs etcd's client; etcd itself is for tests and for the command.
func TestDependencies(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	allowed := []string{
		"go.etcd.io/etcd/api/v3/", "go.etcd.io/etcd/client/v3", "google.golang.org/grpc/", "github.com/orchcore/orchcore/raftstore",
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			first, _, _ := strings.Cut(name, "/")
			ok := !strings.Contains(first, ".")
			for _, a := range allowed {
				ok = ok || strings.HasPrefix(name, a)
			}
			require.True(t, ok, "%s imports %s", file, name)
		}
	}
}
