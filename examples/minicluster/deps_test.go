package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The example shows what the module can do by itself: beside it and the standard
// library it needs a YAML parser only.
func TestDependencies(t *testing.T) {
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			first, _, _ := strings.Cut(name, "/")
			testing := strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "viewtest")
			switch {
			case !strings.Contains(first, "."): // the standard library
			case strings.HasPrefix(name, "github.com/orchcore/orchcore/"):
			case strings.HasPrefix(name, "sigs.k8s.io/yaml"):
			case testing && strings.HasPrefix(name, "github.com/stretchr/testify/"):
			default:
				t.Errorf("%s imports %s", path, name)
			}
		}
		return nil
	}))
}
