package qos

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoAllocations(t *testing.T) {
	full := list("cpu", "1", "memory", "1.5Gi")
	p := podOf(container(full, full), container(full, full), container(full, full))
	for name, f := range map[string]func(){
		"ClassOf": func() { ClassOf(p) },
		"Classifier": func() {
			var c Classifier
			c.Add(Compute{full.Of(CPU), full.Of(Memory)}, Compute{full.Of(CPU), full.Of(Memory)})
			c.Class()
		},
	} {
		require.Zero(t, testing.AllocsPerRun(100, f), name)
	}
}
