package raftstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// compactions lists what a compactor does in a run of minutes, when every minute
// makes ten revisions: the minute and the revision.
func compactions(c compactor, minutes int, leading func(minute int) bool) (list [][2]int64) {
	const perMinute = 600 // ticks
	for now := uint64(1); now <= uint64(minutes)*perMinute; now++ {
		minute := int64(now / perMinute)
		if due := c.tick(now, 1+minute*10, leading(int(minute))); due > 0 {
			list = append(list, [2]int64{minute, due})
		}
	}
	return list
}

func TestCompactorByTime(t *testing.T) {
	always := func(int) bool { return true }
	make := func(retention time.Duration) compactor {
		return newCompactor(&Config{TickInterval: 100 * time.Millisecond, AutoCompactRetention: retention})
	}
	// Within a tenth, what is compacted is a retention old: never younger.
	for _, retention := range []time.Duration{10 * time.Minute, time.Hour, 3 * time.Hour} {
		list := compactions(make(retention), 600, always)
		minutes := int64(retention / time.Minute)
		period := min(minutes, 60)
		require.Len(t, list, int((600-minutes-period/10)/period)+1, "retention %v: %v", retention, list)
		for _, c := range list {
			age := c[0] - (c[1]-1)/10
			require.GreaterOrEqual(t, age, minutes, "retention %v: %v", retention, list)
			require.LessOrEqual(t, age, minutes+period/5, "retention %v: %v", retention, list)
		}
	}
	require.Empty(t, compactions(make(time.Hour), 600, func(int) bool { return false }), "a follower proposes nothing")
	late := compactions(make(time.Hour), 600, func(minute int) bool { return minute >= 200 })
	require.InDelta(t, 200, late[0][0], 7, "a new leader need not wait for a whole period")
	require.InDelta(t, 1400, late[0][1], 140)
	require.Empty(t, compactions(newCompactor(&Config{TickInterval: time.Second}), 600, always), "off")
}

func TestCompactorByCount(t *testing.T) {
	c := newCompactor(&Config{TickInterval: 100 * time.Millisecond, AutoCompactRevisions: 1000})
	list := compactions(c, 130, func(int) bool { return true })
	require.Equal(t, [2]int64{100, 1}, list[0])
	require.Equal(t, [2]int64{105, 51}, list[1])
	require.Len(t, list, 7)
}

func TestAutoCompaction(t *testing.T) {
	c := newCluster(t, 3, func(c *Config) { c.AutoCompactRetention = time.Second })
	old := put(t, c.stores[1], "a", "1").Revision
	for i := range 3 {
		put(t, c.stores[1], "a", string(rune('a'+i)))
	}
	for _, s := range c.stores {
		require.Eventually(t, func() bool { return s.Status().CompactedRevision > old }, 20*time.Second, 10*time.Millisecond)
	}
	require.Equal(t, "c", get(t, c.stores[2], "a"))

	_, err := Open(t.TempDir(), Config{AutoCompactRetention: time.Hour, AutoCompactRevisions: 5})
	require.ErrorIs(t, err, ErrConfig)
	_, err = Open(t.TempDir(), Config{AutoCompactRevisions: -5})
	require.ErrorIs(t, err, ErrConfig)
}
