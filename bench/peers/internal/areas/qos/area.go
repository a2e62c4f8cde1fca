// Package qos holds orchcore's qos and qos/resource against apimachinery, the
// API server's defaulting and the kubelet.
package qos

import (
	"math/rand/v2"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
)

// Parity compares quantities and classes.
func Parity() compare.Area {
	return compare.Area{
		Name: "qos",
		Doc:  "qos/doc.go",
		Suites: []compare.Suite{
			quantitySuite(),
			jsonSuite(),
			classSuite(),
			parameterSuite(),
			containerSuite(),
			allocatableSuite(),
			cpuSuite(),
			thresholdSuite(),
			rankSuite(),
			evictorSuite(),
			preemptSuite(),
			taintSuite(),
			conditionSuite(),
			departureSuite(),
			zoneSuite(),
			tokenSuite(),
			budgetSuite(),
		},
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
