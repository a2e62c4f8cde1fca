package raftstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestProcessesAreKilledUnderLoad runs three members in processes of their own,
// each with clients, kills them by SIGKILL one after the other, two at a time and
// all at once, and checks what the clients were told against what is there.
func TestProcessesAreKilledUnderLoad(t *testing.T) {
	const idVariable, dirVariable, membersVariable = "RAFTSTORE_TEST_ID", "RAFTSTORE_TEST_DIR", "RAFTSTORE_TEST_MEMBERS"
	if id, _ := strconv.ParseUint(os.Getenv(idVariable), 10, 64); id != 0 {
		runMember(id, os.Getenv(dirVariable), strings.Split(os.Getenv(membersVariable), ","))
		return
	}
	c := &cluster{t: t, dir: t.TempDir(), stores: map[uint64]*Store{}, change: processConfig}
	var addresses []string
	for id := range uint64(3) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		c.members = append(c.members, Member{ID: id + 1, Address: l.Addr().String()})
		addresses = append(addresses, l.Addr().String())
		require.NoError(t, l.Close())
	}
	h := &loadHistory{acknowledged: map[string]int64{}, unknown: map[string]bool{}, rejected: map[string]bool{}}
	processes := map[uint64]*memberProcess{}
	starts := 0
	start := func(id uint64) {
		starts++
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		// A name of its own for each life makes values unique.
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", idVariable, id), dirVariable+"="+c.dir,
			membersVariable+"="+strings.Join(addresses, ","), fmt.Sprintf("RAFTSTORE_TEST_NAME=%d.%d", id, starts))
		processes[id] = startMember(t, cmd, h)
	}
	for _, m := range c.members {
		start(m.ID)
	}
	t.Cleanup(func() {
		for _, p := range processes {
			p.kill()
		}
	})
	rng := rand.New(rand.NewPCG(1, 1))
	for _, victims := range []int{1, 1, 2, 3, 1, 3} {
		h.wait(t, 60)
		down := rng.Perm(3)[:victims]
		for _, i := range down {
			processes[uint64(i+1)].kill()
		}
		if victims == 1 {
			h.wait(t, 20) // the others go on
		}
		for _, i := range down {
			start(uint64(i + 1))
		}
	}
	h.wait(t, 60)
	for _, p := range processes {
		p.kill()
	}
	for _, m := range c.members {
		c.open(m.ID, nil)
	}
	defer c.close()
	_ = get(t, c.stores[1], "k0")
	c.settled()
	for _, s := range c.stores {
		h.check(t, s)
	}
	t.Logf("%d starts, %d acknowledged, %d unknown, %d rejected", starts, len(h.acknowledged), len(h.unknown), len(h.rejected))
}

func processConfig(cfg *Config) { cfg.SnapshotEntries, cfg.CatchUpEntries = 200, 50 }

// memberProcess is a process and the goroutine that listens to it.
type memberProcess struct {
	cmd      *exec.Cmd
	listener sync.WaitGroup
	once     sync.Once
}

func (p *memberProcess) kill() {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill()
		p.listener.Wait()
		_ = p.cmd.Wait()
	})
}

// startMember starts a process. It says what it is about to write and what came of
// it; what it does not live to report is unknown.
func startMember(t *testing.T, cmd *exec.Cmd, h *loadHistory) *memberProcess {
	t.Helper()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &memberProcess{cmd: cmd}
	p.listener.Go(func() {
		scanner := bufio.NewScanner(out)
		for scanner.Scan() {
			var value string
			var revision int64
			line := scanner.Text()
			switch {
			case scan(line, "begin %s", &value):
				h.record(value, 0, ErrUnknownOutcome)
			case scan(line, "done %s %d", &value, &revision):
				h.settle(value, revision, nil)
			case scan(line, "rejected %s", &value):
				h.settle(value, 0, ErrNotApplied)
			}
		}
	})
	return p
}

func scan(line, format string, into ...any) bool {
	n, err := fmt.Sscanf(line, format, into...)
	return err == nil && n == len(into)
}

// settle replaces an open outcome by a definite one.
func (h *loadHistory) settle(value string, revision int64, err error) {
	h.mu.Lock()
	delete(h.unknown, value)
	h.mu.Unlock()
	h.record(value, revision, err)
}

// runMember is the life of a process: a member and four clients.
func runMember(id uint64, dir string, addresses []string) {
	c := &cluster{change: processConfig}
	for i, a := range addresses {
		c.members = append(c.members, Member{ID: uint64(i + 1), Address: a})
	}
	s, err := Open(filepath.Join(dir, fmt.Sprint(id)), c.config(id))
	for errors.Is(err, net.ErrClosed) || err != nil && strings.Contains(err.Error(), "address already in use") {
		time.Sleep(10 * time.Millisecond)
		s, err = Open(filepath.Join(dir, fmt.Sprint(id)), c.config(id))
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	name := os.Getenv("RAFTSTORE_TEST_NAME")
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			for i := 0; ; i++ {
				value := fmt.Sprintf("%s-%d-%d", name, client, i)
				fmt.Println("begin", value)
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				r, err := s.Put(ctx, PutRequest{Key: fmt.Appendf(nil, "k%d", i%5), Value: []byte(value)})
				cancel()
				switch {
				case err == nil:
					fmt.Println("done", value, r.Revision)
				case errors.Is(err, ErrNotApplied):
					fmt.Println("rejected", value)
				}
			}
		})
	}
	clients.Wait()
}
