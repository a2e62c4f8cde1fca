package rest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/rest"
	"github.com/orchcore/orchcore/examples/minicluster/viewtest"
)

func TestUnfinished(t *testing.T) {
	open, err := rest.Unfinished(control.NewView(), 1, time.Now())
	require.NoError(t, err)
	require.Empty(t, open, "nothing is at rest")

	view := viewtest.New(t, `{apiVersion: v1, kind: Node, metadata: {name: node}}`)
	open, err = rest.Unfinished(view, 1, time.Now())
	require.NoError(t, err)
	require.Equal(t, "kubelet registers Node node", open)

	view = viewtest.New(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: default, uid: u},
  spec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}`)
	open, err = rest.Unfinished(view, 1, time.Now())
	require.NoError(t, err)
	require.Contains(t, open, "wants to")
}
