package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const (
	exitFailed  = 1
	exitRefused = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// usageError is a mistake in the arguments.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// run is the program. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := "show"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	commands := map[string]func(ctx context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) error{
		"show": show, "member": member, "wal": printLog,
		"put": clientPut, "get": clientGet, "delete": clientDelete, "swap": clientSwap,
		"watch": clientWatch, "status": clientStatus,
	}
	do, ok := commands[command]
	if !ok {
		fmt.Fprintf(stderr, "kvcluster: unknown command %q, expected show, member, put, get, delete, swap, watch, status or wal\n", command)
		return exitRefused
	}
	flags := flag.NewFlagSet("kvcluster "+command, flag.ContinueOnError)
	flags.SetOutput(stderr)
	err := do(ctx, flags, args, stdout)
	var usage usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "kvcluster %s: %v\n", command, err)
		return exitRefused
	case errors.Is(err, errFlags):
		return exitRefused // flag has said why
	default:
		fmt.Fprintf(stderr, "kvcluster %s: %v\n", command, err)
		return exitFailed
	}
}

var errFlags = errors.New("flags were refused")

// parse reads flags and n arguments.
func parse(flags *flag.FlagSet, args []string, n int, expected string) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errFlags
	}
	if flags.NArg() != n {
		return usagef("%d arguments, expected %s", flags.NArg(), expected)
	}
	return nil
}
