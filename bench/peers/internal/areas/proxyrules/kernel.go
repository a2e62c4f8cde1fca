package proxyrules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"sigs.k8s.io/knftables"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/proxyrules"
)

// errKernel is returned by the kernel's rows where the kernel cannot be used.
var errKernel = errors.New("needs root and the command nft, for network namespaces of its own")

// namespace runs functions on a thread with a network namespace of its own.
// What they start inherits it.
type namespace struct{ work chan func() }

func newNamespace() (*namespace, error) {
	if os.Geteuid() != 0 {
		return nil, errKernel
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return nil, errKernel
	}
	n := &namespace{work: make(chan func())}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		started <- err
		for f := range n.work {
			f()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%w: %w", errKernel, err)
	}
	return n, nil
}

func (n *namespace) do(f func() error) error {
	done := make(chan error)
	n.work <- func() { done <- f() }
	return <-done
}

func (n *namespace) close() { close(n.work) }

// load gives text to the real nft.
func load(text []byte) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %.500s", err, out)
	}
	return nil
}

// listed runs a flow over what the kernel of a namespace has.
func listed(n *namespace, b *big, i int) ([]proxyrules.Outcome, error) {
	var out []byte
	err := n.do(func() (err error) {
		out, err = exec.Command("nft", "list", "ruleset").Output()
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := proxyrules.ParseNFT(string(out))
	if err != nil {
		return nil, err
	}
	return p.Run(b.flow(i), proxyrules.Environment{Local: b.state.Config.NodeIPs})
}

func sameInKernel(b *big, ours, peer *namespace, i int) error {
	a, err := listed(ours, b, i)
	if err != nil {
		return err
	}
	p, err := listed(peer, b, i)
	if err != nil {
		return err
	}
	if len(a) != ratioEndpoints || !same(a, p) {
		return errors.New(show(b.flow(i), p) + " against ours: " + show(b.flow(i), a))
	}
	return nil
}

// openKernelLoad measures what the real nft takes to load the full rules into
// an empty namespace.
func openKernelLoad() (*measure.Pair, error) {
	b, err := newBig(proxyrules.NFTables)
	if err != nil {
		return nil, err
	}
	r, err := proxyrules.Compile(b.state.Config, b.state.Services, b.state.Slices)
	if err != nil {
		return nil, err
	}
	g, err := b.generator()
	if err != nil {
		return nil, err
	}
	sync1(g, &b.set, b.services, b.slices)
	texts := [2][]byte{r.AppendNFT(nil), []byte(g.text())}
	var spaces [2]*namespace
	closeAt := func(i int) {
		if spaces[i] != nil {
			spaces[i].close()
			spaces[i] = nil
		}
	}
	side := func(i int) measure.Side {
		return func() (measure.Sample, error) {
			closeAt(i)
			var err error
			if spaces[i], err = newNamespace(); err != nil {
				return measure.Sample{}, err
			}
			return measure.Timed(func() (int, error) {
				return 1, spaces[i].do(func() error { return load(texts[i]) })
			}, measure.PerOp)
		}
	}
	return &measure.Pair{
		Ours: side(0), Peer: side(1),
		Check: func() error { return sameInKernel(b, spaces[0], spaces[1], ratioServices/2) },
		Close: func() { closeAt(0); closeAt(1) },
	}, nil
}

// openKernelSync measures from one changed endpoint to the kernel that has
// it: kube-proxy's whole sync against our Update, both through the real nft.
// Nearly all of our side is the command: a few milliseconds to start, and then
// it reads the names of all chains and sets, before it looks at the script.
func openKernelSync() (*measure.Pair, error) {
	b, err := newBig(proxyrules.NFTables)
	if err != nil {
		return nil, err
	}
	ours, err := newNamespace()
	if err != nil {
		return nil, err
	}
	peer, err := newNamespace()
	if err != nil {
		return nil, err
	}
	l, err := b.live()
	if err != nil {
		return nil, err
	}
	if err := ours.do(func() error { return load(b.render(l.rules, nil)) }); err != nil {
		return nil, err
	}
	p, err := b.realProxier(peer)
	if err != nil {
		return nil, err
	}
	n := 0
	var last turn
	oursTurn := func(t turn) error {
		text, err := l.change(&t.ours)
		if err != nil {
			return err
		}
		return ours.do(func() error { return load(text) })
	}
	peerTurn := func(t turn) error {
		return peer.do(func() error {
			p.OnEndpointSliceUpdate(t.before, t.after)
			p.OnServiceSynced()
			return nil
		})
	}
	measured := func(turns int, timed, other func(turn) error) (measure.Sample, error) {
		var m measure.Meter
		for range turns {
			last = b.turn(n)
			n++
			m.Start()
			err := timed(last)
			m.Stop(1)
			if err == nil {
				err = other(last)
			}
			if err != nil {
				return measure.Sample{}, err
			}
		}
		return m.Sample(measure.PerOp)
	}
	return &measure.Pair{
		Ours:  func() (measure.Sample, error) { return measured(1, oursTurn, peerTurn) },
		Peer:  func() (measure.Sample, error) { return measured(1, peerTurn, oursTurn) },
		Check: func() error { return sameInKernel(b, ours, peer, last.index) },
		Close: func() { ours.close(); peer.close() },
	}, nil
}

// realProxier is kube-proxy's nftables proxier with the real nft under it, in
// the namespace, after its first sync.
func (b *big) realProxier(n *namespace) (proxier, error) {
	var p proxier
	err := n.do(func() error {
		sink, err := knftables.New(knftables.IPv4Family, "kube-proxy")
		if err != nil {
			return err
		}
		made, err := b.nft.new(&b.set, sink)
		if err != nil {
			return err
		}
		p = made
		sync1(p, &b.set, b.services, b.slices)
		// A failed sync is only logged; the table tells.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		chains, err := sink.List(ctx, "chain")
		if err == nil && len(chains) < ratioServices {
			err = fmt.Errorf("kube-proxy's first sync left %d chains", len(chains))
		}
		return err
	})
	return p, err
}
