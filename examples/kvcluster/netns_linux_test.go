package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var partitionRounds = flag.Int("partitions", 12, "network faults of TestPartitions")

// insideVariable tells a test that it runs in namespaces of its own.
const insideVariable = "KVCLUSTER_TEST_INSIDE"

// inside runs the test once more in mount and network namespaces of its own, where
// it may do as it likes, and returns true there. Whatever it leaves behind ends with
// the process.
func inside(t *testing.T, tools ...string) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		require.NoError(t, syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root for namespaces of its own")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: %v", tool, err)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", fmt.Sprintf("-partitions=%d", *partitionRounds))
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
		t.Skipf("needs namespaces: %v", err)
	}
	require.NoError(t, err, "%s", out)
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("%s", out)
	}
	require.Contains(t, string(out), "--- PASS")
	t.Logf("%s", out)
	return false
}

// command runs a tool.
func command(input string, line ...string) error {
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(line, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// hub is a bridge to which each member is connected from a namespace of its own.
type hub struct {
	t     *testing.T
	hosts []string
}

func namespaceOf(p *process) string { return fmt.Sprint("m", p.id) }

// newHub makes the network, or skips the test where the kernel has no bridges.
func newHub(t *testing.T, members int) *hub {
	t.Helper()
	require.NoError(t, syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""))
	require.NoError(t, command("", "ip", "link", "set", "lo", "up"))
	if err := command("", "ip", "link", "add", "br0", "type", "bridge"); err != nil {
		t.Skipf("needs bridges: %v", err)
	}
	run := func(line string) { require.NoError(t, command("", strings.Fields(line)...)) }
	run("ip addr add 10.77.0.254/24 dev br0")
	run("ip link set br0 up")
	h := &hub{t: t}
	for i := 1; i <= members; i++ {
		run(fmt.Sprintf("ip netns add m%d", i))
		run(fmt.Sprintf("ip link add v%d type veth peer name eth0 netns m%d", i, i))
		run(fmt.Sprintf("ip link set v%d master br0 up", i))
		run(fmt.Sprintf("ip -n m%d addr add 10.77.0.%d/24 dev eth0", i, i))
		run(fmt.Sprintf("ip -n m%d link set eth0 up", i))
		run(fmt.Sprintf("ip -n m%d link set lo up", i))
		h.hosts = append(h.hosts, fmt.Sprintf("10.77.0.%d", i))
	}
	return h
}

// deafen has a member drop what comes from some of the others.
func (h *hub) deafen(p *process, from ...*process) {
	rules := "table inet cut {\n chain input {\n  type filter hook input priority 0\n"
	for _, other := range from {
		rules += fmt.Sprintf("  ip saddr %s drop\n", h.hosts[other.id-1])
	}
	require.NoError(h.t, command(rules+" }\n}\n", "ip", "netns", "exec", namespaceOf(p), "nft", "-f", "-"))
}

// cut drops everything between a member and some of the others.
func (h *hub) cut(p *process, others ...*process) {
	h.deafen(p, others...)
	for _, other := range others {
		h.deafen(other, p)
	}
}

// heal removes all rules and delays.
func (h *hub) heal(ps *processes) {
	for _, p := range ps.all {
		require.NoError(h.t, command("", "ip", "netns", "exec", namespaceOf(p), "nft", "flush", "ruleset"))
		// Without a qdisc there is nothing to delete.
		_ = command("", "ip", "netns", "exec", namespaceOf(p), "tc", "qdisc", "del", "dev", "eth0", "root")
	}
}

// disturb delays, loses, duplicates and reorders what a member sends.
func (h *hub) disturb(p *process) error {
	return command("", "ip", "netns", "exec", namespaceOf(p), "tc", "qdisc", "add", "dev", "eth0", "root",
		"netem", "delay", "15ms", "10ms", "loss", "5%", "duplicate", "2%", "reorder", "10%", "50%")
}

// TestPartitions runs members in network namespaces and cuts them off from each
// other by nftables, both ways and one way, while clients can reach all of them:
// also the leader that has lost its quorum and does not know it yet.
func TestPartitions(t *testing.T) {
	if !inside(t, "ip", "nft") {
		return
	}
	n := newHub(t, 3)
	ps := newTestProcesses(t, n.hosts, quick...)
	for _, p := range ps.all {
		p.prefix = []string{"ip", "netns", "exec", namespaceOf(p)}
	}
	startAll(t, ps)
	tr := begin(t, ps)
	rng := rand.New(rand.NewPCG(3, 3))
	netem := true
	for round := range *partitionRounds {
		tr.h.epoch.Add(1)
		tr.h.progress(t, 60)
		ctx := testContext(t)
		var leader *process
		require.NoError(t, await(ctx, func() (err error) {
			leader, err = ps.leader(ctx)
			return err
		}))
		var followers []*process
		for _, p := range ps.all {
			if p != leader {
				followers = append(followers, p)
			}
		}
		majority := true
		switch round % 6 {
		case 0: // the leader, from both others
			n.cut(leader, followers...)
		case 1: // a follower
			n.cut(followers[0], append([]*process{leader}, followers[1:]...)...)
		case 2: // the leader is heard and hears nobody
			n.deafen(leader, followers...)
		case 3: // leader and one follower cannot see each other, both see the third
			n.cut(leader, followers[0])
		case 4: // everybody from everybody, and one is killed meanwhile
			n.deafen(leader, followers...)
			n.deafen(followers[0], leader, followers[1])
			n.deafen(followers[1], leader, followers[0])
			majority = false
			followers[0].kill()
		case 5:
			for _, p := range ps.all {
				if err := n.disturb(p); err != nil && netem {
					t.Logf("no netem here: %v", err)
					netem = false
				}
			}
		}
		if majority {
			tr.h.progress(t, 40)
		}
		time.Sleep(time.Duration(rng.IntN(700)) * time.Millisecond)
		n.heal(ps)
		startAll(t, ps)
	}
	tr.settle()
	t.Logf("%d network faults, netem %v", *partitionRounds, netem)
}

// TestFullDisk fills the disk of one member: it ends by itself, saying why, or waits
// for room; the others go on, and when there is room again it has everything.
func TestFullDisk(t *testing.T) {
	if !inside(t, "ip") {
		return
	}
	require.NoError(t, command("", "ip", "link", "set", "lo", "up"))
	ps := newTestProcesses(t, localhosts(), quick...)
	complaints, err := os.Create(filepath.Join(t.TempDir(), "stderr")) // of several processes
	require.NoError(t, err)
	ps.stderr = complaints
	small := ps.all[1]
	require.NoError(t, os.MkdirAll(small.dir, 0o700))
	if err := syscall.Mount("tmpfs", small.dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("needs a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		ps.killAll()
		require.NoError(t, syscall.Unmount(small.dir, 0))
	})
	startAll(t, ps)
	tr := begin(t, ps)
	tr.h.progress(t, 100)
	ends := 0
	for range 3 {
		tr.h.epoch.Add(1)
		ballast := filepath.Join(small.dir, "ballast")
		if small.endsWhile(t, 10*time.Second, func() { require.ErrorIs(t, fill(ballast), syscall.ENOSPC) }) {
			require.ErrorContains(t, small.err, "exit status 1")
			ends++
		}
		tr.h.progress(t, 100) // the others go on
		require.NoError(t, os.Remove(ballast))
		if !small.running() {
			require.NoError(t, ps.start(small))
		}
		tr.h.progress(t, 100)
	}
	tr.settle()
	said, err := os.ReadFile(complaints.Name())
	require.NoError(t, err)
	require.Positive(t, ends)
	require.Equal(t, ends, strings.Count(string(said), "no space left on device"), "%s", said)
	t.Logf("ended %d times, waited for room %d times", ends, 3-ends)
}

// endsWhile takes what room there is, again and again: what a member deletes is room
// for its next snapshot. A member that has to write ends; one that is so far behind
// that it needs a snapshot waits for room instead.
func (p *process) endsWhile(t *testing.T, timeout time.Duration, fill func()) bool {
	t.Helper()
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		fill()
		if !p.running() {
			return true
		}
	}
	return false
}

// fill makes a file longer until there is no room.
func fill(name string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for size := 64 << 10; ; {
		if _, err = f.Write(make([]byte, size)); err == nil {
			continue
		}
		if size /= 2; size == 0 {
			return errors.Join(err, f.Close())
		}
	}
}
