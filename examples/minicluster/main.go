package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Exit statuses.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
	exitTerminated  = 143
)

// options are the flags.
type options struct {
	files         []string
	data          string
	drain         string
	seed          uint64
	schedulers    int
	leaseDuration time.Duration
	renewDeadline time.Duration
	retryPeriod   time.Duration
	faults        bool
}

func main() { os.Exit(mainStatus(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// errUsage is returned for flags that make no sense.
var errUsage = errors.New("usage")

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("minicluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("f", "`file or directory` with manifests (YAML) or the output of kubectl get -o json; may be repeated, - is standard input; without it a shop of twenty services is used", func(v string) error {
		o.files = append(o.files, v)
		return nil
	})
	flags.StringVar(&o.data, "data", "", "`directory` that keeps the store; a cluster found there goes on where it was, with changed manifests applied; without it the store is temporary")
	flags.StringVar(&o.drain, "drain", "", "`node` to drain; without it the one with most pods that can move; none drains no node")
	flags.Uint64Var(&o.seed, "seed", 1, "`number` that generated names depend on")
	flags.IntVar(&o.schedulers, "schedulers", 2, "`number` of schedulers that compete for the lead")
	flags.DurationVar(&o.leaseDuration, "lease-duration", 2*time.Second, "how long a silent scheduler keeps the lead (in Kubernetes 15s)")
	flags.DurationVar(&o.renewDeadline, "renew-deadline", 1500*time.Millisecond, "how long a leading scheduler tries to renew before it gives up (in Kubernetes 10s)")
	flags.DurationVar(&o.retryPeriod, "retry-period", 250*time.Millisecond, "how often schedulers try to get or renew the lead (in Kubernetes 2s)")
	flags.BoolVar(&o.faults, "faults", true, "kill the store's leader and the leading scheduler, and drain a node")
	flags.Usage = func() {
		fmt.Fprint(stderr, "usage: minicluster [flags]\n\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%w: argument %q: want flags only, manifests go after -f", errUsage, flags.Arg(0))
	case o.schedulers < 1 || o.schedulers > 9:
		return o, fmt.Errorf("%w: -schedulers %d: want 1 to 9", errUsage, o.schedulers)
	case o.retryPeriod <= 0 || o.renewDeadline <= o.retryPeriod*6/5 || o.leaseDuration <= o.renewDeadline:
		return o, fmt.Errorf("%w: -lease-duration %v, -renew-deadline %v, -retry-period %v: want duration > deadline > 1.2 x period > 0",
			errUsage, o.leaseDuration, o.renewDeadline, o.retryPeriod)
	}
	return o, nil
}

// mainStatus is main without the process around it.
func mainStatus(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintln(stderr, "minicluster:", err)
		return exitUsage
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case s := <-signals:
			cancel(signalError{s})
		case <-ctx.Done():
		}
	}()
	err = run(ctx, o, stdin, stdout)
	return status(err, context.Cause(ctx), stderr)
}

// signalError is why a run ended early.
type signalError struct{ signal os.Signal }

func (e signalError) Error() string { return e.signal.String() }

func status(err, cause error, stderr io.Writer) int {
	var sig signalError
	var input *inputError
	switch {
	case err == nil:
		return exitOK
	case errors.As(cause, &sig):
		fmt.Fprintln(stderr, "minicluster: stopped:", sig)
		if sig.signal == syscall.SIGTERM {
			return exitTerminated
		}
		return exitInterrupted
	case errors.As(err, &input):
		fmt.Fprintln(stderr, "minicluster:", err)
		return exitUsage
	}
	fmt.Fprintln(stderr, "minicluster:", err)
	return exitFailed
}
