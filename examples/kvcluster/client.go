package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The three outcomes of a request, besides success, as a client sees them.
var (
	errNotDone = errors.New("not done")
	errUnknown = errors.New("outcome unknown")
)

// client talks to one member.
type client struct {
	address string
	http    *http.Client
}

func newClient(address string) *client {
	return &client{address, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// do sends a request. Without an answer nobody knows whether it was carried out.
func (c *client) do(ctx context.Context, method, path string, query url.Values, body string) (answer, error) {
	target := url.URL{Scheme: "http", Host: c.address, Path: path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, target.String(), strings.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNotDone, err)
	}
	// A request is never repeated behind the caller's back: net/http repeats those
	// that can be rewound, once a connection it has kept turns out to be dead.
	r.GetBody = nil
	response, err := c.http.Do(r)
	if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
		return answer{}, fmt.Errorf("%w: %w", errNotDone, err) // nobody has got the request
	}
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errUnknown, err)
	}
	defer response.Body.Close()
	var a answer
	err = json.NewDecoder(io.LimitReader(response.Body, 2*valueSizeMax)).Decode(&a)
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("%w: answer cannot be read: %w", errUnknown, err)
	case response.StatusCode == http.StatusOK:
		return a, nil
	case response.StatusCode == http.StatusBadRequest:
		return answer{}, usageError{a.Error}
	case response.StatusCode == http.StatusServiceUnavailable:
		return answer{}, fmt.Errorf("%w: %s", errNotDone, a.Error)
	}
	return answer{}, fmt.Errorf("%w: %s", errUnknown, a.Error)
}

// write is a write of a client's.
type write struct {
	method     string // PUT or DELETE
	key, value string
	// old is the value that a swap wants to find.
	swap bool
	old  string
	// session and sequence, if above 0, make it safe to repeat.
	session uint64
	// sequence is the number of the write in its session.
	sequence int64
	lease    int64
}

func (c *client) write(ctx context.Context, w write) (answer, error) {
	query := url.Values{"key": {w.key}}
	if w.swap {
		query.Set("if", w.old)
	}
	if w.session != 0 {
		query.Set("session", strconv.FormatUint(w.session, 10))
		query.Set("sequence", strconv.FormatInt(w.sequence, 10))
	}
	if w.lease != 0 {
		query.Set("lease", strconv.FormatInt(w.lease, 10))
	}
	return c.do(ctx, w.method, "/kv", query, w.value)
}

func (c *client) put(ctx context.Context, key, value string) (answer, error) {
	return c.write(ctx, write{method: "PUT", key: key, value: value})
}

func (c *client) swap(ctx context.Context, key, old, value string) (answer, error) {
	return c.write(ctx, write{method: "PUT", key: key, value: value, swap: true, old: old})
}

func (c *client) get(ctx context.Context, key string) (answer, error) {
	return c.do(ctx, "GET", "/kv", url.Values{"key": {key}}, "")
}

func (c *client) delete(ctx context.Context, key string) (answer, error) {
	return c.write(ctx, write{method: "DELETE", key: key})
}

func (c *client) openSession(ctx context.Context) (answer, error) {
	return c.do(ctx, "POST", "/session", nil, "")
}

func (c *client) grant(ctx context.Context, ttlSeconds int64) (answer, error) {
	return c.do(ctx, "POST", "/lease", url.Values{"ttl": {strconv.FormatInt(ttlSeconds, 10)}}, "")
}

func (c *client) keepAlive(ctx context.Context, lease int64) (answer, error) {
	return c.do(ctx, "PUT", "/lease", url.Values{"lease": {strconv.FormatInt(lease, 10)}}, "")
}

func (c *client) status(ctx context.Context) (answer, error) {
	return c.do(ctx, "GET", "/status", nil, "")
}

// watch calls each with every change from a revision on, until it returns an error
// or the stream ends.
func (c *client) watch(ctx context.Context, from int64, each func(change) error) error {
	target := url.URL{Scheme: "http", Host: c.address, Path: "/watch", RawQuery: "from=" + strconv.FormatInt(from, 10)}
	r, err := http.NewRequestWithContext(ctx, "GET", target.String(), nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadBytes('\n') // what was cut off in the middle is no change
		if err != nil {
			return err
		}
		var ch change
		if err := json.Unmarshal(line, &ch); err != nil {
			return fmt.Errorf("watch: %q: %w", line, err)
		}
		if ch.Error != "" {
			return errors.New(ch.Error)
		}
		if err := each(ch); err != nil {
			return err
		}
	}
}

// asked is the part that all commands of a client share: -servers, and which of
// them to ask.
func asked(flags *flag.FlagSet) *string {
	return flags.String("servers", "127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103", "members' client addresses, asked in this order")
}

// anyServer tries one member after the other as long as nothing was done.
func anyServer(ctx context.Context, servers string, repeatable bool, do func(ctx context.Context, c *client) (answer, error)) (answer, error) {
	var err error
	for address := range strings.SplitSeq(servers, ",") {
		c := newClient(address)
		attempt, cancel := context.WithTimeout(ctx, requestTimeout+time.Second)
		var a answer
		a, err = do(attempt, c)
		cancel()
		c.close()
		if err == nil || !errors.Is(err, errNotDone) && !(repeatable && errors.Is(err, errUnknown)) {
			return a, err
		}
	}
	return answer{}, err
}

func clientPut(ctx context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) error {
	servers := asked(flags)
	if err := parse(flags, args, 2, "KEY VALUE"); err != nil {
		return err
	}
	// A put may be repeated: doing it twice is like doing it once, later.
	a, err := anyServer(ctx, *servers, true, func(ctx context.Context, c *client) (answer, error) {
		return c.put(ctx, flags.Arg(0), flags.Arg(1))
	})
	if err == nil {
		fmt.Fprintln(stdout, "revision", a.Revision)
	}
	return err
}

func clientGet(ctx context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) error {
	servers := asked(flags)
	if err := parse(flags, args, 1, "KEY"); err != nil {
		return err
	}
	a, err := anyServer(ctx, *servers, true, func(ctx context.Context, c *client) (answer, error) {
		return c.get(ctx, flags.Arg(0))
	})
	if err == nil && a.ModRevision == 0 {
		return fmt.Errorf("there is no key %q at revision %d", flags.Arg(0), a.Revision)
	}
	if err == nil {
		fmt.Fprintln(stdout, a.Value)
	}
	return err
}

func clientDelete(ctx context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) error {
	servers := asked(flags)
	if err := parse(flags, args, 1, "KEY"); err != nil {
		return err
	}
	a, err := anyServer(ctx, *servers, false, func(ctx context.Context, c *client) (answer, error) {
		return c.delete(ctx, flags.Arg(0))
	})
	if err == nil {
		fmt.Fprintln(stdout, "deleted", a.Deleted, "revision", a.Revision)
	}
	return err
}

func clientSwap(ctx context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) error {
	servers := asked(flags)
	if err := parse(flags, args, 3, "KEY OLD NEW"); err != nil {
		return err
	}
	a, err := anyServer(ctx, *servers, false, func(ctx context.Context, c *client) (answer, error) {
		return c.swap(ctx, flags.Arg(0), flags.Arg(1), flags.Arg(2))
	})
	if err == nil && !a.Swapped {
		return fmt.Errorf("%q does not have the value %q at revision %d", flags.Arg(0), flags.Arg(1), a.Revision)
	}
	if err == nil {
		fmt.Fprintln(stdout, "revision", a.Revision)
	}
	return err
}

func clientStatus(ctx context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) error {
	servers := asked(flags)
	if err := parse(flags, args, 0, "none"); err != nil {
		return err
	}
	var failure error
	for address := range strings.SplitSeq(*servers, ",") {
		a, err := anyServer(ctx, address, true, func(ctx context.Context, c *client) (answer, error) { return c.status(ctx) })
		if err != nil {
			failure = errors.Join(failure, fmt.Errorf("%s: %w", address, err))
			continue
		}
		fmt.Fprintf(stdout, "%s: %s\n", address, a.Text)
	}
	return failure
}

func clientWatch(ctx context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) error {
	servers := asked(flags)
	from := flags.Int64("from", 0, "first revision (0: what happens from now on)")
	if err := parse(flags, args, 0, "none"); err != nil {
		return err
	}
	first, _, _ := strings.Cut(*servers, ",")
	c := newClient(first)
	defer c.close()
	err := c.watch(ctx, *from, func(ch change) error {
		what := fmt.Sprintf("= %q", ch.Value)
		if ch.Deleted {
			what = "deleted"
		}
		_, err := fmt.Fprintf(stdout, "%d %q %s\n", ch.Revision, ch.Key, what)
		return err
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}
