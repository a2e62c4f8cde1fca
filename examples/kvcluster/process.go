package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// process is one member in a process of its own, running or not.
type process struct {
	id     uint64
	dir    string
	client *client
	// prefix goes before the command line: "ip netns exec NAME", for instance.
	prefix []string
	args   []string

	cmd    *exec.Cmd
	exited chan struct{}
	// err is what Wait has returned, once exited is closed.
	err error
}

// processes are the members of one cluster. Each has the program's own file run in
// a process.
type processes struct {
	dir string
	all []*process
	// env is added to the environment of the processes, stderr gets what they say.
	env    []string
	stderr io.Writer
}

// newProcesses lays out a cluster with one member for each host, none started yet.
func newProcesses(dir string, hosts []string, flags ...string) (*processes, error) {
	ps := &processes{dir: dir, stderr: io.Discard}
	var members, clients []string
	for i, host := range hosts {
		ports, err := freePorts(2)
		if err != nil {
			return nil, err
		}
		members = append(members, fmt.Sprintf("%d=%s:%d", i+1, host, ports[0]))
		clients = append(clients, fmt.Sprintf("%s:%d", host, ports[1]))
	}
	for i := range hosts {
		p := &process{id: uint64(i + 1), dir: filepath.Join(dir, fmt.Sprint("member", i+1)), client: newClient(clients[i])}
		p.args = append([]string{"member", "-id", fmt.Sprint(p.id), "-members", strings.Join(members, ","),
			"-client", clients[i], "-dir", p.dir}, flags...)
		ps.all = append(ps.all, p)
	}
	return ps, nil
}

// freePorts returns ports that nobody listens on just now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after the last one was found, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// start starts a member and waits until it serves clients.
func (ps *processes) start(p *process) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	line := append(append(append([]string{}, p.prefix...), self), p.args...)
	p.cmd = exec.Command(line[0], line[1:]...)
	p.cmd.Env = append(os.Environ(), ps.env...)
	p.cmd.Stderr = ps.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.exited = make(chan struct{})
	serving := make(chan struct{})
	go func() {
		ready := sync.OnceFunc(func() { close(serving) })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "serving ") {
				ready()
			}
		}
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	select {
	case <-serving:
		return nil
	case <-p.exited:
		return fmt.Errorf("member %d ended before it served anybody: %w", p.id, p.err)
	}
}

// running reports whether the process has not ended.
func (p *process) running() bool {
	if p.exited == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill ends a member as kill -9 does.
func (p *process) kill() {
	if !p.running() {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended just now
	<-p.exited
	p.client.close()
}

// stop has a member end by itself.
func (p *process) stop() error {
	if !p.running() {
		return nil
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	<-p.exited
	p.client.close()
	return p.err
}

func (ps *processes) killAll() {
	for _, p := range ps.all {
		p.kill()
	}
}

var errNoLeader = errors.New("no leader")

// leader returns the member that leads by its own account and that of a majority.
func (ps *processes) leader(ctx context.Context) (*process, error) {
	says := map[uint64]int{}
	leads := map[uint64]bool{}
	for _, p := range ps.all {
		if !p.running() {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		if a, err := p.client.status(ask); err == nil {
			says[a.Leader]++
			leads[a.MemberID] = a.Role == "leader"
		}
		cancel()
	}
	for _, p := range ps.all {
		if leads[p.id] && says[p.id] > len(ps.all)/2 {
			return p, nil
		}
	}
	return nil, errNoLeader
}

// await repeats a question until it has no error or ctx ends.
func await(ctx context.Context, question func() error) error {
	for {
		err := question()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// alike returns nil when all members run and have applied and hold the same.
func (ps *processes) alike(ctx context.Context) error {
	first := answer{}
	for i, p := range ps.all {
		a, err := p.client.status(ctx)
		if err != nil {
			return fmt.Errorf("member %d: %w", p.id, err)
		}
		if i == 0 {
			first = a
		}
		if a.Applied != first.Applied || a.StateHash != first.StateHash {
			return fmt.Errorf("member %d has state %s at %d, member %d has %s at %d", ps.all[0].id, first.StateHash, first.Applied, p.id, a.StateHash, a.Applied)
		}
	}
	return nil
}
