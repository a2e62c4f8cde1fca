package scheduler

import (
	"testing"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
)

// Hints that always say the same prove little: of every plugin the cases must
// bring out both answers.
func TestEveryHintAnswerIsSeen(t *testing.T) {
	seen := map[string]map[string]int{}
	for _, plugin := range rejecting {
		seen[plugin] = map[string]int{}
	}
	b := &bench{percent: 100, hintSeen: func(plugin, answer string) { seen[plugin][answer]++ }}
	area := compare.Area{Name: "scheduler", Suites: []compare.Suite{queues(b)}}
	compare.Run(area, compare.Options{Cases: 6000, Seed: 3})
	for plugin, answers := range seen {
		if answers["queue"] == 0 || answers["skip"] == 0 {
			t.Errorf("%s: answers %v", plugin, answers)
		}
	}
	t.Log(seen)
}

// TestQueueParity is the part of TestParity that is about the queue.
func TestQueueParity(t *testing.T) {
	area := compare.Area{Name: "scheduler", Doc: "scheduler/doc.go", Suites: []compare.Suite{queues(&bench{percent: 100})}}
	compare.Test(t, area, "../../../../..", compare.Options{Cases: *cases, Seed: *seed, Minimise: true})
}
