package raftstore

import (
	"testing"
	"time"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
)

// The rows' own checks, at a small size: clusters of both, acknowledged writes
// against revisions, events against puts.
func TestRatios(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters of three members")
	}
	defer func(d time.Duration) { sampleTime = d }(sampleTime)
	sampleTime = 100 * time.Millisecond
	for _, r := range []measure.Row{
		row("put/clients=8", direct, "puts/s", putLoad(8)),
		updateRow(8),
		row("watch/watchers=20", client, "events/s", watchLoad(20)),
		catchUpRow(8, 2000),
	} {
		t.Run(r.Name, func(t *testing.T) {
			got, err := measure.Run("raftstore", r, measure.Options{Count: 1})
			if err != nil {
				t.Fatal(err)
			}
			if got.Ours <= 0 || got.Peer <= 0 {
				t.Fatalf("nothing was measured: %+v", got)
			}
		})
	}
}
