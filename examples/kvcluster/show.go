package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"
)

// show starts three members, writes, kills the leader, then everybody, and checks
// that nothing that was acknowledged is lost.
func show(ctx context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) (err error) {
	dir := flags.String("dir", "", "directory for the members' files (empty: one that is removed at the end)")
	writes := flags.Int("writes", 600, "writes in each act")
	if err := parse(flags, args, 0, "none"); err != nil {
		return err
	}
	if *writes < 1 || *writes > 1_000_000 {
		return usagef("-writes is %d, expected 1 to 1000000", *writes)
	}
	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "kvcluster"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(*dir)) }()
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	ps, err := newProcesses(*dir, []string{"127.0.0.1", "127.0.0.1", "127.0.0.1"},
		"-tick", "20ms", "-segment", "1048576", "-snapshot", "1000", "-catchup", "100")
	if err != nil {
		return err
	}
	ps.stderr = os.Stderr
	defer ps.killAll()
	s := &showing{ps: ps, out: stdout, begun: time.Now(), writes: *writes, acknowledged: map[string]string{}}
	return s.run(ctx)
}

// showing is one run of the show.
type showing struct {
	ps     *processes
	out    io.Writer
	begun  time.Time
	writes int

	mu sync.Mutex
	// acknowledged are the values of the keys that a member has confirmed.
	acknowledged map[string]string
	last         time.Time // of the last acknowledgement
	gap          time.Duration
}

func (s *showing) tell(format string, args ...any) {
	fmt.Fprintf(s.out, "%7.3fs  %s\n", time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
}

func (s *showing) run(ctx context.Context) error {
	for _, p := range s.ps.all {
		if err := s.ps.start(p); err != nil {
			return err
		}
		s.tell("member %d runs as process %d", p.id, p.cmd.Process.Pid)
	}
	leader, err := s.awaitLeader(ctx)
	if err != nil {
		return err
	}
	s.tell("member %d leads", leader.id)
	if err := s.write(ctx, "before", nil); err != nil {
		return err
	}
	if err := s.write(ctx, "killed", func() {
		leader.kill()
		s.tell("kill -9 of member %d, which led", leader.id)
	}); err != nil {
		return err
	}
	next, err := s.awaitLeader(ctx)
	if err != nil {
		return err
	}
	s.tell("member %d leads; the longest time without an acknowledgement was %v", next.id, s.gap.Round(time.Millisecond))
	if err := s.back(ctx, leader); err != nil {
		return err
	}
	s.ps.killAll()
	s.tell("kill -9 of all three")
	if err := s.back(ctx, s.ps.all...); err != nil {
		return err
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	return s.end()
}

func (s *showing) awaitLeader(ctx context.Context) (leader *process, err error) {
	err = await(ctx, func() error {
		leader, err = s.ps.leader(ctx)
		return err
	})
	return leader, err
}

// write has four clients write keys of their own, each to whichever member answers.
// In the middle of it something may happen.
func (s *showing) write(ctx context.Context, name string, happening func()) error {
	const clients = 4
	s.last, s.gap = time.Now(), 0
	before := len(s.acknowledged)
	failures := make([]error, clients)
	var group, half sync.WaitGroup
	half.Add(clients)
	for c := range clients {
		group.Go(func() {
			passed := sync.OnceFunc(half.Done)
			defer passed()
			for i := c; i < s.writes; i += clients {
				if i >= s.writes/2 {
					passed()
				}
				if failures[c] = s.put(ctx, c, fmt.Sprintf("%s-%d", name, i), fmt.Sprintf("value of %s-%d", name, i)); failures[c] != nil {
					return
				}
			}
		})
	}
	half.Wait()
	if happening != nil {
		happening()
	}
	group.Wait()
	s.tell("%d writes acknowledged", len(s.acknowledged)-before)
	return errors.Join(failures...)
}

// put writes until a member says that it is done. Repeating is harmless: nobody
// else writes this key.
func (s *showing) put(ctx context.Context, client int, key, value string) error {
	n := client
	if err := await(ctx, func() error {
		p := s.ps.all[n%len(s.ps.all)]
		n++
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := p.client.put(attempt, key, value)
		return err
	}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.gap, s.last = max(s.gap, now.Sub(s.last)), now
	s.acknowledged[key] = value
	return nil
}

// back starts members again and waits until all are alike.
func (s *showing) back(ctx context.Context, down ...*process) error {
	begun := time.Now()
	for _, p := range down {
		if err := s.ps.start(p); err != nil {
			return err
		}
	}
	if _, err := s.awaitLeader(ctx); err != nil {
		return err
	}
	if err := await(ctx, func() error { return s.ps.alike(ctx) }); err != nil {
		return err
	}
	s.tell("%d of them started again; all are alike after %v", len(down), time.Since(begun).Round(time.Millisecond))
	return nil
}

// check reads everything that was acknowledged.
func (s *showing) check(ctx context.Context) error {
	for i, key := range slices.Sorted(maps.Keys(s.acknowledged)) {
		p := s.ps.all[i%len(s.ps.all)]
		a, err := p.client.get(ctx, key)
		if err != nil {
			return fmt.Errorf("get %s of member %d: %w", key, p.id, err)
		}
		if a.Value != s.acknowledged[key] {
			return fmt.Errorf("member %d has %q for %s, which was acknowledged with %q", p.id, a.Value, key, s.acknowledged[key])
		}
	}
	s.tell("%d acknowledged writes read back, none is lost", len(s.acknowledged))
	return nil
}

// end stops the members and verifies their files.
func (s *showing) end() error {
	for _, p := range s.ps.all {
		if err := p.stop(); err != nil {
			return fmt.Errorf("member %d: %w", p.id, err)
		}
		if err := verifyDirectory(p.dir, io.Discard, s.out); err != nil {
			return fmt.Errorf("member %d: %w", p.id, err)
		}
	}
	s.tell("all members stopped, all files verify")
	return nil
}
