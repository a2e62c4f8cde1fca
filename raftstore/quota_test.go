package raftstore

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuota(t *testing.T) {
	c := newCluster(t, 3, func(c *Config) { c.QuotaBytes = 100_000 })
	ctx := testContext(t)
	value := make([]byte, 1000)
	fill := func() (written int, err error) {
		for ; ; written++ {
			_, err := c.stores[2].Put(ctx, PutRequest{Key: fmt.Appendf(nil, "k%03d", written), Value: value})
			if err != nil {
				return written, err
			}
		}
	}
	written, err := fill()
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorIs(t, err, ErrNotApplied)
	require.NotErrorIs(t, err, ErrUnknownOutcome)
	require.InDelta(t, 88, written, 6, "of about 1,130 bytes each")
	alarm := Alarm{Member: 2, Type: AlarmNoSpace}
	for _, s := range c.stores {
		alarms, err := s.Alarms(ctx)
		require.NoError(t, err)
		require.Equal(t, []Alarm{alarm}, alarms)
	}
	status := c.stores[2].Status()
	require.Equal(t, []Alarm{alarm}, status.Alarms)
	require.Equal(t, int64(100_000), status.QuotaBytes)
	require.Greater(t, status.SizeBytes, int64(98_000))

	// Whatever grows is refused on every member; the rest goes on.
	s := c.stores[1]
	tiny := Op{Put: &PutRequest{Key: []byte("a")}}
	_, err = s.Put(ctx, *tiny.Put)
	require.ErrorIs(t, err, ErrNoSpace)
	_, err = s.Grant(ctx, 0, 10)
	require.ErrorIs(t, err, ErrNoSpace)
	_, err = s.Txn(ctx, Txn{Then: []Op{{Txn: &Txn{Else: []Op{tiny}}}}})
	require.ErrorIs(t, err, ErrNoSpace, "an operation that does not run counts, as in etcd")
	session, err := s.NewSession(ctx)
	require.NoError(t, err)
	_, err = session.Begin().Put(ctx, *tiny.Put)
	require.ErrorIs(t, err, ErrNoSpace)
	_, err = s.Txn(ctx, Txn{Then: []Op{{Delete: &DeleteRequest{Key: []byte("k000")}}}})
	require.NoError(t, err)
	_, err = s.DeleteRange(ctx, DeleteRequest{Key: []byte("k"), End: PrefixEnd([]byte("k"))})
	require.NoError(t, err)
	require.NoError(t, s.Compact(ctx, s.Status().Revision))
	_, err = s.Put(ctx, *tiny.Put)
	require.ErrorIs(t, err, ErrNoSpace, "until it is disarmed")

	// Alarms outlive a restart.
	c.settled()
	c.stop(2, (*Store).Abort)
	c.open(2, nil)
	alarms, err := c.stores[2].Alarms(ctx)
	require.NoError(t, err)
	require.Equal(t, []Alarm{alarm}, alarms)
	require.NoError(t, s.DisarmAlarm(ctx, alarm))
	require.NoError(t, s.DisarmAlarm(ctx, alarm), "once more is no error")
	again, err := fill()
	require.ErrorIs(t, err, ErrNoSpace)
	require.Greater(t, again, written*3/4, "deletes and the compaction have made room")
	c.settled()
}

func TestCorruptAlarm(t *testing.T) {
	c := newCluster(t, 1, nil)
	ctx := testContext(t)
	s := c.stores[1]
	put(t, s, "a", "1")
	lease, err := s.Grant(ctx, 0, 60)
	require.NoError(t, err)
	alarm := Alarm{Member: 1, Type: AlarmCorrupt}
	require.NoError(t, s.RaiseAlarm(ctx, alarm))
	require.NoError(t, s.RaiseAlarm(ctx, alarm))
	for name, write := range map[string]func() error{
		"put":    func() error { _, err := s.Put(ctx, PutRequest{Key: []byte("a")}); return err },
		"delete": func() error { _, err := s.DeleteRange(ctx, DeleteRequest{Key: []byte("a")}); return err },
		"txn": func() error {
			_, err := s.Txn(ctx, Txn{Then: []Op{{Delete: &DeleteRequest{Key: []byte("a")}}}})
			return err
		},
		"compact": func() error { return s.Compact(ctx, 2) },
		"grant":   func() error { _, err := s.Grant(ctx, 0, 10); return err },
		"revoke":  func() error { _, err := s.Revoke(ctx, lease.ID); return err },
	} {
		require.ErrorIs(t, write(), ErrCorruptAlarm, name)
		require.ErrorIs(t, write(), ErrNotApplied, name)
	}
	require.Equal(t, "1", get(t, s, "a"))
	require.NoError(t, s.DisarmAlarm(ctx, alarm))
	put(t, s, "a", "2")
}

func TestAlarmsAreChecked(t *testing.T) {
	c := newCluster(t, 1, nil)
	ctx := context.Background()
	s := c.stores[1]
	for _, a := range []Alarm{{}, {Member: 1}, {Member: 1, Type: 3}, {Type: AlarmNoSpace}} {
		require.ErrorIs(t, s.RaiseAlarm(ctx, a), ErrAlarm)
		require.ErrorIs(t, s.DisarmAlarm(ctx, a), ErrAlarm)
	}
	require.ErrorIs(t, s.RaiseAlarm(ctx, Alarm{Member: 9, Type: AlarmNoSpace}), ErrUnknownMember)
	m := newMachine([]Member{{ID: 1}, {ID: 2}})
	for _, body := range [][]byte{nil, {alarmRaise}, {9, 1, 1}, {alarmRaise, 1, 1, 1}, {alarmRaise, 1, 7}} {
		var out result
		m.execute(commandAlarm, body, &out)
		require.Error(t, out.err)
		require.Empty(t, m.alarms.list())
	}
	for _, a := range []Alarm{{2, AlarmCorrupt}, {1, AlarmCorrupt}, {2, AlarmNoSpace}} {
		var out result
		m.execute(commandAlarm, a.append([]byte{alarmRaise}), &out)
		require.NoError(t, out.err)
	}
	require.Equal(t, []Alarm{{1, AlarmCorrupt}, {2, AlarmNoSpace}, {2, AlarmCorrupt}}, m.alarms.list())
	m.dropAlarms(2)
	require.Equal(t, []Alarm{{1, AlarmCorrupt}}, m.alarms.list())
	require.Equal(t, "NOSPACE CORRUPT AlarmType(7)", fmt.Sprint(AlarmNoSpace, AlarmCorrupt, AlarmType(7)))
}
