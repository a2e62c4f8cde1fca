package raftstore

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Clocks that are set forward or back change no decision: times are only subtracted
// from and compared with each other, which the time package does by the monotonic
// clock. What would lose that, or make a time of a number, is not used, except for the
// text of an election's record, which nobody compares with a clock.
func TestTimesAreMonotonic(t *testing.T) {
	wall := map[string]bool{
		"Unix": true, "UnixNano": true, "UnixMilli": true, "UnixMicro": true, "UTC": true, "Local": true, "In": true,
		"Round": true, "Truncate": true, "Format": true, "AppendFormat": true, "Date": true, "Clock": true, "Parse": true,
	}
	var found []string
	for _, dir := range []string{".", "wal", "mvcc", "transport", "objectcache"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if f, ok := call.Fun.(*ast.SelectorExpr); ok && wall[f.Sel.Name] {
					found = append(found, name+" "+f.Sel.Name)
				}
				return true
			})
		}
	}
	slices.Sort(found)
	require.Equal(t, []string{"election.go Format", "election.go Parse", "election.go UTC"}, found)
}
