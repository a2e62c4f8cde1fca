package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The built-in shop comes to rest on etcd, and a second run on the same cluster finds
// nothing to write.
func TestShopOnEtcd(t *testing.T) {
	endpoints, stop, err := startEtcd(t.TempDir(), 1)
	require.NoError(t, err)
	defer stop()
	for round := range 2 {
		var out strings.Builder
		err := run(context.Background(), []string{"-endpoints", strings.Join(endpoints, ","), "-timeout", "80s"}, strings.NewReader(""), &out)
		require.NoError(t, err, "round %d:\n%s", round, &out)
		t.Log("\n" + out.String())
		require.Contains(t, out.String(), "nothing is wrong")
		require.Contains(t, out.String(), "scheduler: holds the lock")
		if round > 0 {
			require.Contains(t, out.String(), "applied: 0 objects")
		}
	}
}

func TestBadFlags(t *testing.T) {
	for want, args := range map[string]string{
		"expected flags only": "what",
		"-members is 0":       "-members=0",
		"-timeout is":         "-timeout=-1s",
		"not defined":         "-what",
		"no such file":        "-f=does-not-exist",
	} {
		err := run(context.Background(), []string{args}, strings.NewReader(""), &strings.Builder{})
		require.ErrorContains(t, err, want, fmt.Sprint(args))
	}
}
