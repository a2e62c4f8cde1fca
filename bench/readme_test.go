package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadme runs every program of the README and compares what it prints with
// what the README says it prints.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)### ([a-z]+)\n\n```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.Len(t, blocks, 5, "one program per package")
	for _, block := range blocks {
		t.Run(block[1], func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "main.go")
			require.NoError(t, os.WriteFile(program, []byte(block[2]), 0o600))
			run := exec.Command("go", "run", program)
			var complaint strings.Builder
			run.Stderr = &complaint
			printed, err := run.Output()
			require.NoError(t, err, complaint.String())
			require.Equal(t, promised(block[2]), string(printed))
		})
	}
}

// promised is the text of the comment that follows "// Output:".
func promised(program string) string {
	_, comment, _ := strings.Cut(program, "// Output:\n")
	var text strings.Builder
	for line := range strings.Lines(comment) {
		if said, ok := strings.CutPrefix(strings.TrimLeft(line, "\t"), "// "); ok {
			text.WriteString(said)
		}
	}
	return text.String()
}
