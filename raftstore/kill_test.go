package raftstore

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKilledProcessLosesNothingAcknowledged starts a process that writes to a
// cluster of one and says so, kills it with SIGKILL and reads its directory.
func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	const dirVariable = "RAFTSTORE_TEST_KILL_DIR"
	if dir := os.Getenv(dirVariable); dir != "" {
		writeUntilKilled(dir)
		return
	}
	dir := t.TempDir()
	last := 0
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), dirVariable+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		scanner := bufio.NewScanner(out)
		for n := 0; n < 50+20*round && scanner.Scan(); {
			if text, ok := strings.CutPrefix(scanner.Text(), "acknowledged "); ok {
				last, err = strconv.Atoi(text)
				require.NoError(t, err)
				n++
			}
		}
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "it was killed")

		s, err := Open(dir, killConfig())
		require.NoError(t, err)
		r, err := s.Range(testContext(t), RangeOptions{Key: []byte("k"), End: PrefixEnd([]byte("k"))})
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(r.KVs), last+1, "round %d", round)
		for i, kv := range r.KVs {
			require.Equal(t, fmt.Sprintf("k%06d", i), string(kv.Key))
			require.Equal(t, int64(1), kv.Version, "no write is applied twice")
		}
		require.NoError(t, s.Abort())
	}
}

func killConfig() Config {
	return Config{TickInterval: 2 * time.Millisecond, ElectionTicks: 5, SegmentSizeBytes: 16 << 10, SnapshotEntries: 40}
}

// writeUntilKilled goes on with the key after the last one.
func writeUntilKilled(dir string) {
	ctx := context.Background()
	s, err := Open(dir, killConfig())
	if err != nil {
		fmt.Println("error", err)
		return
	}
	r, err := s.Range(ctx, RangeOptions{Key: []byte("k"), End: PrefixEnd([]byte("k")), CountOnly: true})
	for i := r.Count; err == nil; i++ {
		if _, err = s.Put(ctx, PutRequest{Key: fmt.Appendf(nil, "k%06d", i), Value: make([]byte, 200)}); err == nil {
			fmt.Println("acknowledged", i)
		}
	}
	fmt.Println("error", err)
}
