package raftstore

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBackupIsRestoredIntoANewCluster(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	for i := range 50 {
		put(t, c.stores[1], fmt.Sprintf("k%02d", i), fmt.Sprint(i))
	}
	old := put(t, c.stores[1], "k00", "changed").Revision
	var backup bytes.Buffer
	require.NoError(t, c.stores[2].Backup(ctx, &backup))
	put(t, c.stores[1], "k00", "after the backup")
	c.close()

	fresh := &cluster{t: t, dir: t.TempDir(), stores: map[uint64]*Store{}}
	t.Cleanup(fresh.close)
	var listeners []net.Listener
	for id := range uint64(3) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		listeners = append(listeners, l)
		fresh.members = append(fresh.members, Member{ID: id + 1, Address: l.Addr().String()})
	}
	for i, m := range fresh.members {
		dir := filepath.Join(fresh.dir, fmt.Sprint(m.ID))
		require.NoError(t, Restore(bytes.NewReader(backup.Bytes()), dir, fresh.config(m.ID), RestoreOptions{}))
		require.ErrorIs(t, Restore(bytes.NewReader(backup.Bytes()), dir, fresh.config(m.ID), RestoreOptions{}), ErrWrongCluster, "nothing is overwritten")
		fresh.open(m.ID, listeners[i])
	}
	require.Equal(t, "changed", get(t, fresh.stores[3], "k00"))
	require.Equal(t, "49", get(t, fresh.stores[1], "k49"))
	require.Equal(t, old+1, put(t, fresh.stores[2], "new", "1").Revision)
	fresh.settled()
	require.NotEqual(t, c.stores[1].Status().ClusterID, fresh.stores[1].Status().ClusterID)
	r, err := fresh.stores[1].Range(ctx, RangeOptions{Key: []byte("k00"), Revision: old - 1})
	require.NoError(t, err)
	require.Equal(t, "0", string(r.KVs[0].Value), "history is restored, too")

	for _, m := range fresh.members {
		fresh.stop(m.ID, (*Store).Abort)
	}
	for _, m := range fresh.members {
		fresh.open(m.ID, nil)
	}
	require.Equal(t, "1", get(t, fresh.stores[1], "new"))
}

func TestRestoreRefusesDamage(t *testing.T) {
	s, err := Open(t.TempDir(), Config{SegmentSizeBytes: 64 << 10, TickInterval: 5 * time.Millisecond})
	require.NoError(t, err)
	defer s.Close()
	put(t, s, "k", "v")
	var backup bytes.Buffer
	require.NoError(t, s.Backup(testContext(t), &backup))
	b := backup.Bytes()
	dir := t.TempDir()
	b[len(b)/2] ^= 1
	err = Restore(bytes.NewReader(b), dir, Config{}, RestoreOptions{})
	require.ErrorIs(t, err, ErrCorruptSnapshot)
	err = Restore(bytes.NewReader(b[:10]), dir, Config{}, RestoreOptions{})
	require.ErrorIs(t, err, ErrCorruptSnapshot)
	b[len(b)/2] ^= 1
	require.NoError(t, Restore(bytes.NewReader(b), dir, Config{SegmentSizeBytes: 64 << 10}, RestoreOptions{}), "nothing was left behind")
}
