package load_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/apply"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/load"
	"github.com/orchcore/orchcore/examples/minicluster/manifests"
)

func TestShopLoads(t *testing.T) {
	in, err := load.FS(manifests.Files, "shop")
	require.NoError(t, err)
	require.Empty(t, in.Skipped)
	p, err := apply.New(control.NewView(), in.Objects, apply.Config{Seed: 1})
	require.NoError(t, err)
	require.Empty(t, p.Notes)
	t.Log(p.Created)
}
