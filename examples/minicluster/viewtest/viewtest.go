// Package viewtest makes views of clusters from YAML, for tests.
package viewtest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
)

// New returns the view of a store that holds the objects of a YAML stream, each
// stored at a revision of its own.
func New(t testing.TB, stream string) *control.View {
	t.Helper()
	view := control.NewView()
	Add(t, view, stream)
	return view
}

// Add puts more objects into a view, or new versions of those that are there.
func Add(t testing.TB, view *control.View, stream string) {
	t.Helper()
	for _, doc := range strings.Split(stream, "\n---") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		raw, err := yaml.YAMLToJSONStrict([]byte(doc))
		require.NoError(t, err, doc)
		tree, err := api.Tree(raw)
		require.NoError(t, err, doc)
		Put(t, view, tree)
	}
}

// Put puts one object into a view.
func Put(t testing.TB, view *control.View, tree api.Fields) {
	t.Helper()
	var head struct {
		api.TypeMeta
		Metadata api.ObjectMeta `json:"metadata"`
	}
	raw, err := json.Marshal(tree)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &head))
	kind, ok := api.KindOf(head.APIVersion, head.Kind)
	if head.Kind == api.Leases.Name {
		kind, ok = api.Leases, true
	}
	require.True(t, ok, "kind %s %s", head.APIVersion, head.Kind)
	Write(t, view, control.Write{Key: kind.Key(head.Metadata.Namespace, head.Metadata.Name), Value: raw})
}

// Commit applies actions to a view as the store would.
func Commit(t testing.TB, view *control.View, actions []control.Action) {
	t.Helper()
	for _, a := range actions {
		for _, w := range a.Writes {
			Write(t, view, w)
		}
	}
}

// Write applies one write at the next revision, whatever revision it expects.
func Write(t testing.TB, view *control.View, w control.Write) {
	t.Helper()
	view.Revision++
	if w.Value == nil {
		plural, _, _, ok := api.SplitKey(w.Key)
		require.True(t, ok, w.Key)
		view.Apply(control.Change{Key: w.Key, Plural: plural, Revision: view.Revision})
		return
	}
	c, ok, err := view.Decode(w.Key, view.Revision, w.Value)
	require.NoError(t, err)
	require.True(t, ok, w.Key)
	view.Apply(c)
}
