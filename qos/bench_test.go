package qos

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkClassOf(b *testing.B) {
	full := list("cpu", "500m", "memory", "512Mi")
	half := list("cpu", "250m", "memory", "256Mi")
	for _, c := range []struct {
		name string
		pod  *Pod
		want Class
	}{
		{"class=BestEffort", podOf(container(nil, nil), container(nil, nil), container(nil, nil)), BestEffort},
		{"class=Burstable", podOf(container(half, full), container(half, full), container(half, full)), Burstable},
		{"class=Guaranteed", podOf(container(full, full), container(full, full), container(full, full)), Guaranteed},
	} {
		b.Run(c.name+"/containers=3", func(b *testing.B) {
			require.Equal(b, c.want, ClassOf(c.pod))
			b.ReportAllocs()
			for b.Loop() {
				ClassOf(c.pod)
			}
		})
	}
}
