package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/orchcore/orchcore/raftstore"
)

// member runs one member until ctx ends or its store fails.
func member(ctx context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) error {
	cfg := raftstore.Config{}
	flags.Uint64Var(&cfg.ID, "id", 0, "id of this member")
	members := flags.String("members", "", "the founding members: ID=HOST:PORT,…")
	client := flags.String("client", "", "HOST:PORT to serve clients on")
	dir := flags.String("dir", "", "directory of this member's files")
	verbose := flags.Bool("v", false, "log to standard error")
	flags.DurationVar(&cfg.TickInterval, "tick", 0, "unit of the timeouts (0: 100ms); an election takes 10 to 20")
	flags.Int64Var(&cfg.SegmentSizeBytes, "segment", 0, "size of a log segment in bytes (0: 64 MiB)")
	flags.Uint64Var(&cfg.SnapshotEntries, "snapshot", 0, "entries between two snapshots (0: 10000)")
	flags.Uint64Var(&cfg.CatchUpEntries, "catchup", 0, "entries kept behind a snapshot (0: 5000)")
	if err := parse(flags, args, 0, "none"); err != nil {
		return err
	}
	var err error
	if cfg.Members, err = parseMembers(*members); err != nil {
		return err
	}
	if *client == "" || *dir == "" || cfg.ID == 0 {
		return usagef("-id is %d, -client %q, -dir %q, expected all three", cfg.ID, *client, *dir)
	}
	if *verbose {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	failed := make(chan error, 1)
	cfg.OnFailure = func(err error) { failed <- err }
	store, err := raftstore.Open(*dir, cfg)
	if err != nil {
		return err
	}
	err = serve(ctx, store, *client, failed, stdout)
	return errors.Join(err, store.Close())
}

// parseMembers reads ID=HOST:PORT,….
func parseMembers(text string) ([]raftstore.Member, error) {
	var members []raftstore.Member
	for part := range strings.SplitSeq(text, ",") {
		id, address, ok := strings.Cut(part, "=")
		number, err := strconv.ParseUint(id, 10, 64)
		if !ok || err != nil {
			return nil, usagef("-members has %q, expected ID=HOST:PORT", part)
		}
		members = append(members, raftstore.Member{ID: number, Address: address})
	}
	return members, nil
}

// serve answers clients until ctx ends or the store fails.
func serve(ctx context.Context, store *raftstore.Store, address string, failed <-chan error, stdout io.Writer) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s := &server{store: store, ended: make(chan struct{})}
	h := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 64 << 10}
	fmt.Fprintln(stdout, "serving", listener.Addr())
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	case err = <-served:
		close(s.ended)
		return err
	}
	close(s.ended)
	err = errors.Join(err, h.Close())
	<-served // http.ErrServerClosed
	return err
}

// server answers the requests of clients.
type server struct {
	store *raftstore.Store
	// ended tells the watches to end.
	ended chan struct{}
}

const (
	// requestTimeout bounds a request at the member: what has no result by then has
	// an unknown one, or none.
	requestTimeout = 3 * time.Second
	valueSizeMax   = 1 << 20
)

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /kv", s.answering(s.get))
	mux.HandleFunc("PUT /kv", s.answering(s.put))
	mux.HandleFunc("DELETE /kv", s.answering(s.delete))
	mux.HandleFunc("POST /session", s.answering(s.openSession))
	mux.HandleFunc("POST /lease", s.answering(s.grant))
	mux.HandleFunc("PUT /lease", s.answering(s.keepAlive))
	mux.HandleFunc("GET /status", s.answering(s.status))
	mux.HandleFunc("GET /watch", s.watch)
	return mux
}

// answer is the body of every answer but a watch's.
type answer struct {
	Revision    int64  `json:"revision,omitempty"`
	Value       string `json:"value,omitempty"`
	ModRevision int64  `json:"modRevision,omitempty"` // 0: there is no such key
	Swapped     bool   `json:"swapped,omitempty"`
	Deleted     int64  `json:"deleted,omitempty"`
	Session     uint64 `json:"session,omitempty"`
	Lease       int64  `json:"lease,omitempty"`
	TTL         int64  `json:"ttl,omitempty"` // 0: there is no such lease
	Error       string `json:"error,omitempty"`

	MemberID  uint64 `json:"memberID,omitempty"`
	Leader    uint64 `json:"leader,omitempty"`
	Role      string `json:"role,omitempty"`
	Applied   uint64 `json:"applied,omitempty"`
	StateHash string `json:"stateHash,omitempty"`
	Text      string `json:"text,omitempty"`
}

// answering wraps a handler with what they have in common.
func (s *server) answering(do func(ctx context.Context, r *http.Request) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		r.Body = http.MaxBytesReader(w, r.Body, valueSizeMax)
		a, err := do(ctx, r)
		status := statusOf(err)
		if err != nil {
			a = answer{Error: err.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(a) // the client may be gone
	}
}

// statusOf is the HTTP status of an outcome.
func statusOf(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &usage), errors.Is(err, raftstore.ErrRequestTooLarge):
		return http.StatusBadRequest
	case errors.Is(err, raftstore.ErrUnknownOutcome):
		return http.StatusGatewayTimeout
	default:
		return http.StatusServiceUnavailable
	}
}

func textOf(field string, b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", usagef("%s is % x, expected UTF-8", field, b[:min(len(b), 20)])
	}
	return string(b), nil
}

func keyOf(r *http.Request) ([]byte, error) {
	key, err := textOf("key", []byte(r.URL.Query().Get("key")))
	if err == nil && key == "" {
		err = usagef("key is empty, expected ?key=…")
	}
	return []byte(key), err
}

func (s *server) get(ctx context.Context, r *http.Request) (answer, error) {
	key, err := keyOf(r)
	if err != nil {
		return answer{}, err
	}
	serializable := false
	if text := r.URL.Query().Get("serializable"); text != "" {
		if serializable, err = strconv.ParseBool(text); err != nil {
			return answer{}, usagef("serializable is %q, expected true or false", text)
		}
	}
	res, err := s.store.Range(ctx, raftstore.RangeOptions{Key: key, Serializable: serializable})
	a := answer{Revision: res.Revision}
	if len(res.KVs) > 0 {
		a.Value, a.ModRevision = string(res.KVs[0].Value), res.KVs[0].ModRevision
	}
	return a, err
}

func (s *server) put(ctx context.Context, r *http.Request) (answer, error) {
	key, err := keyOf(r)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return answer{}, usagef("value cannot be read, expected at most %d bytes: %v", valueSizeMax, err)
	}
	value, err := textOf("value", body)
	if err != nil {
		return answer{}, err
	}
	lease, err := numberOf(r, "lease")
	if err != nil {
		return answer{}, err
	}
	once, err := s.attempt(r)
	if err != nil {
		return answer{}, err
	}
	write := raftstore.PutRequest{Key: key, Value: []byte(value), Lease: lease}
	if !r.URL.Query().Has("if") {
		put := s.store.Put
		if once != nil {
			put = once.Put
		}
		res, err := put(ctx, write)
		return answer{Revision: res.Revision}, err
	}
	txn := s.store.Txn
	if once != nil {
		txn = once.Txn
	}
	old := []byte(r.URL.Query().Get("if"))
	res, err := txn(ctx, raftstore.Txn{
		If:   []raftstore.Compare{{Target: raftstore.CompareValue, Operator: raftstore.Equal, Key: key, Value: old}},
		Then: []raftstore.Op{{Put: &write}},
	})
	return answer{Revision: res.Revision, Swapped: res.Succeeded}, err
}

func (s *server) delete(ctx context.Context, r *http.Request) (answer, error) {
	key, err := keyOf(r)
	if err != nil {
		return answer{}, err
	}
	once, err := s.attempt(r)
	if err != nil {
		return answer{}, err
	}
	remove := s.store.DeleteRange
	if once != nil {
		remove = once.DeleteRange
	}
	res, err := remove(ctx, raftstore.DeleteRequest{Key: key})
	return answer{Revision: res.Revision, Deleted: res.Deleted}, err
}

func (s *server) status(context.Context, *http.Request) (answer, error) {
	st := s.store.Status()
	return answer{
		Revision: st.Revision, MemberID: st.MemberID, Leader: st.Leader, Role: st.Role.String(),
		Applied: st.Applied, StateHash: fmt.Sprintf("%016x", st.StateHash), Text: st.String(),
	}, nil
}

// change is a line of a watch.
type change struct {
	Revision int64  `json:"revision"`
	Key      string `json:"key"`
	Value    string `json:"value,omitempty"`
	Deleted  bool   `json:"deleted,omitempty"`
	// Error is set on the last line, when the watch cannot go on.
	Error string `json:"error,omitempty"`
}

// watch streams all changes from a revision on.
func (s *server) watch(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	if err != nil || from < 0 {
		http.Error(w, fmt.Sprintf(`{"error":"from is %q, expected a revision, 0 for what happens from now on"}`, r.URL.Query().Get("from")), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-s.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	out := json.NewEncoder(w)
	watcher, err := s.store.Watch(ctx, raftstore.WatchOptions{Key: []byte{0}, End: []byte{0}, StartRevision: from})
	if err != nil {
		_ = out.Encode(change{Error: err.Error()})
		return
	}
	defer watcher.Close()
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	if err := flush(); err != nil {
		return
	}
	for {
		batch, err := watcher.Next(ctx)
		if err != nil {
			_ = out.Encode(change{Error: err.Error()})
			return
		}
		for i := range batch.Events {
			kv := &batch.Events[i].KV
			c := change{Revision: kv.ModRevision, Key: string(kv.Key), Value: string(kv.Value), Deleted: batch.Events[i].Type == raftstore.EventDelete}
			if err := out.Encode(c); err != nil {
				return
			}
		}
		if err := flush(); err != nil {
			return
		}
	}
}
