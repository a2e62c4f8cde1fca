package load_test

import (
	"os"
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

func TestRealInputsLoad(t *testing.T) {
	const data = "../../../../shared/data/"
	if _, err := os.Stat(data); err != nil {
		t.Skipf("no real inputs at %s: %v", data, err)
	}
	for _, paths := range [][]string{
		{data + "manifests"}, {data + "manifests/kube-prometheus"}, {data + "manifests/microservices-demo"},
		{data + "openshift-insights-sample"}, {data + "troubleshoot/nodes-7-mixed.json"},
	} {
		in, err := load.Paths(paths, nil)
		require.NoError(t, err, paths)
		p, err := apply.New(control.NewView(), in.Objects, apply.Config{Seed: 1})
		require.NoError(t, err, paths)
		t.Log(paths, p.Created, in.Skipped, p.Notes)
	}
}
