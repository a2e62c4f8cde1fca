package qos

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The package and what it imports come from the standard library and from
// qos/resource alone.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	require.NoError(t, err)
	require.Equal(t, []string{
		"github.com/orchcore/orchcore/qos/resource",
		"github.com/orchcore/orchcore/qos",
	}, strings.Fields(string(out)))
}
