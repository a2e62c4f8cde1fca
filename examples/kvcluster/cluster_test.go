package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// processVariable makes the test binary be the program.
const processVariable = "KVCLUSTER_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(processVariable) != "" {
		main()
	}
	flag.Parse()
	os.Exit(m.Run())
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// quick are the flags of members that fail over, snapshot and change segments often.
var quick = []string{"-tick", "10ms", "-segment", "65536", "-snapshot", "300", "-catchup", "60"}

func newTestProcesses(t *testing.T, hosts []string, flags ...string) *processes {
	t.Helper()
	ps, err := newProcesses(t.TempDir(), hosts, flags...)
	require.NoError(t, err)
	ps.env = []string{processVariable + "=1"}
	ps.stderr = os.Stderr
	t.Cleanup(ps.killAll)
	return ps
}

func localhosts() []string { return []string{"127.0.0.1", "127.0.0.1", "127.0.0.1"} }

func startAll(t *testing.T, ps *processes) {
	t.Helper()
	for _, p := range ps.all {
		if !p.running() {
			require.NoError(t, ps.start(p))
		}
	}
}

// trial is a cluster under load.
type trial struct {
	t                         *testing.T
	ps                        *processes
	h                         *history
	stopWorking, stopWatching context.CancelFunc
	wait                      func()
}

// begin puts members that run under load.
func begin(t *testing.T, ps *processes) *trial {
	t.Helper()
	tr := &trial{t: t, ps: ps, h: newHistory(ps)}
	var working, watching context.Context
	working, tr.stopWorking = context.WithCancel(context.Background())
	watching, tr.stopWatching = context.WithCancel(context.Background())
	tr.wait = tr.h.run(working, watching)
	t.Cleanup(func() {
		tr.stopWorking()
		tr.stopWatching()
		tr.wait()
	})
	return tr
}

// settle ends a trial: all members are up, become alike, and what was seen is
// checked; then they stop, and their files are verified.
func (tr *trial) settle() {
	t, ps, h := tr.t, tr.ps, tr.h
	t.Helper()
	startAll(t, ps)
	h.progress(t, 50)
	tr.stopWorking()
	h.clients.Wait()
	h.holdingsEnd(t)
	ctx := testContext(t)
	require.NoError(t, await(ctx, func() error { return ps.alike(ctx) }))
	final, err := ps.all[0].client.status(ctx)
	require.NoError(t, err)
	h.watchesReach(t, final.Revision)
	tr.stopWatching()
	tr.wait()
	h.check(t)
	for _, p := range ps.all {
		require.NoError(t, p.stop())
		require.NoError(t, verifyDirectory(p.dir, io.Discard, io.Discard))
	}
	counts := map[outcome]int{}
	for _, op := range h.ops {
		counts[op.outcome]++
	}
	t.Logf("%d requests done, %d not done, %d unknown, %d repetitions in sessions; %d revisions; %d watches went on elsewhere or later; %d leases have ended, none early",
		counts[done], counts[notDone], counts[unknown], h.repeated.Load(), len(h.changes), h.reopened.Load(), len(h.holdings))
}

func TestShow(t *testing.T) {
	t.Setenv(processVariable, "1")
	var out, errs bytes.Buffer
	require.Zero(t, run(testContext(t), []string{"-writes", "100"}, &out, &errs), "%s\n%s", &out, &errs)
	require.Contains(t, out.String(), "none is lost")
	require.Contains(t, out.String(), "all files verify")
}

func TestCommands(t *testing.T) {
	ps := newTestProcesses(t, localhosts()[:1])
	startAll(t, ps)
	server := ps.all[0].client.address
	do := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		full := append([]string{args[0], "-servers", "127.0.0.1:1," + server}, args[1:]...)
		require.Equal(t, want, run(testContext(t), full, &out, &errs), "%s%s", &out, &errs)
		return out.String() + errs.String()
	}
	require.Equal(t, "revision 2\n", do(0, "put", "k", "v"))
	require.Equal(t, "v\n", do(0, "get", "k"))
	require.Contains(t, do(exitFailed, "swap", "k", "x", "w"), `"k" does not have the value "x" at revision 2`)
	require.Contains(t, do(exitFailed, "get", "none"), `no key "none" at revision 2`)
	require.Contains(t, do(exitRefused, "put", "k"), "1 arguments, expected KEY VALUE")
	require.Contains(t, do(exitRefused, "get", ""), "key is empty")
	require.Contains(t, do(exitRefused, "put", "k", "\xff"), "value is ff, expected UTF-8")

	one := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		require.Equal(t, want, run(testContext(t), args, &out, &errs), "%s%s", &out, &errs)
		return out.String() + errs.String()
	}
	require.Equal(t, "revision 3\n", one(0, "swap", "-servers", server, "k", "v", "w"))
	require.Contains(t, one(0, "status", "-servers", server), "leader")
	require.Contains(t, one(exitFailed, "wal", ps.all[0].dir), "in use")
	require.NoError(t, ps.all[0].stop())
	printed := one(0, "wal", ps.all[0].dir)
	require.Contains(t, printed, `put "k" (1 bytes)`)
	require.Contains(t, printed, "verifies")

	segment := filepath.Join(ps.all[0].dir, "wal", "0000000000000001.wal")
	log, err := os.ReadFile(segment)
	require.NoError(t, err)
	log[strings.Index(string(log), "\x01k\x01v")] ^= 1 // in an entry that others follow
	require.NoError(t, os.WriteFile(segment, log, 0o600))
	require.Contains(t, one(exitFailed, "wal", "-q", ps.all[0].dir), "a valid one follows")

	require.Contains(t, one(exitRefused, "member", "-id", "1"), `-members has "", expected ID=HOST:PORT`)
	require.Contains(t, one(exitRefused, "fly"), `unknown command "fly"`)
	require.Contains(t, one(exitRefused, "-writes", "0"), "-writes is 0")
}
