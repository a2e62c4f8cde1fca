package raftstore

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestForceNewClusterKeepsWhatTheMemberHas(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.CatchUpEntries = 40, 10 })
	ctx := testContext(t)
	for i := range 100 {
		put(t, c.stores[1], fmt.Sprintf("k%02d", i), fmt.Sprint(i))
	}
	_, err := c.stores[1].Grant(ctx, 7, 600)
	require.NoError(t, err)
	_, err = c.stores[1].Put(ctx, PutRequest{Key: []byte("leased"), Value: []byte("v"), Lease: 7})
	require.NoError(t, err)
	c.settled()
	before := c.stores[2].Status()
	old := filepath.Join(c.dir, "2")
	dir := t.TempDir()
	cfg := Config{ID: 9, Members: []Member{{ID: 9, Address: "127.0.0.1:0"}}, SegmentSizeBytes: 64 << 10, TickInterval: c.config(1).TickInterval}
	require.Error(t, ForceNewCluster(old, dir, cfg), "the member is running")
	c.close()

	require.ErrorIs(t, ForceNewCluster(old, dir, c.config(2)), ErrConfig, "others join later")
	require.ErrorIs(t, ForceNewCluster(old, filepath.Join(c.dir, "1"), cfg), ErrWrongCluster, "nothing is overwritten")
	require.Error(t, ForceNewCluster(t.TempDir(), dir, cfg))
	require.NoError(t, ForceNewCluster(old, dir, cfg))
	s, err := Open(dir, cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	for i := range 100 {
		require.Equal(t, fmt.Sprint(i), get(t, s, fmt.Sprintf("k%02d", i)))
	}
	life, err := s.TimeToLive(ctx, 7, true)
	require.NoError(t, err)
	require.Equal(t, int64(600), life.TTL)
	after := s.Status()
	require.Equal(t, before.Revision, after.Revision)
	require.NotEqual(t, before.ClusterID, after.ClusterID)
	require.Len(t, after.Members, 1)
	require.Equal(t, before.Revision+1, put(t, s, "new", "1").Revision)
	c.open(2, nil) // the old files are as they were
}

func TestRestoreWithABumpCompactsWhatClientsMayKnow(t *testing.T) {
	cfg := Config{SegmentSizeBytes: 64 << 10}
	s, err := Open(t.TempDir(), cfg)
	require.NoError(t, err)
	ctx := testContext(t)
	put(t, s, "k", "v")
	var backup bytes.Buffer
	require.NoError(t, s.Backup(ctx, &backup))
	late := put(t, s, "k", "after the backup").Revision
	require.NoError(t, s.Close())

	dir := t.TempDir()
	require.ErrorIs(t, Restore(bytes.NewReader(backup.Bytes()), dir, cfg, RestoreOptions{RevisionBump: -1}), ErrConfig)
	require.NoError(t, Restore(bytes.NewReader(backup.Bytes()), dir, cfg, RestoreOptions{RevisionBump: 1000}))
	for range 2 { // also after a restart
		s, err = Open(dir, cfg)
		require.NoError(t, err)
		require.Equal(t, "v", get(t, s, "k"))
		_, err = s.Watch(ctx, WatchOptions{Key: []byte("k"), StartRevision: late + 1})
		require.ErrorContains(t, err, "compact", "a client that knows the lost revision starts over")
		require.GreaterOrEqual(t, put(t, s, "other", "v").Revision, late+1000)
		require.NoError(t, s.Close())
	}
}
