package proxyrules_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The package needs the standard library and its own module only.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".", "./ruletest", "./nftwatch", "./iptwatch").Output()
	require.NoError(t, err)
	for _, path := range strings.Fields(string(out)) {
		require.True(t, strings.HasPrefix(path, "github.com/orchcore/orchcore/proxyrules") ||
			path == "github.com/orchcore/orchcore/selector", "imports %s", path)
	}
}
