package etcdapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/orchcore/orchcore/raftstore"
)

// Handler answers the questions about a member's health that probes and people ask
// etcd over HTTP: /health, /livez, /readyz and /version. It does not serve gRPC: give
// it an address of its own, as etcd's --listen-client-http-urls does.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.serveHealth)
	mux.HandleFunc("GET /livez", checks(
		check{"serializable_read", s.readsLocally},
	))
	mux.HandleFunc("GET /readyz", checks(
		check{"data_corruption", s.isSound},
		check{"serializable_read", s.readsLocally},
		check{"linearizable_read", s.readsLinearizably},
		check{"non_learner", s.isVoter},
	))
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{
			"etcdserver": s.cfg.Version, "etcdcluster": s.cfg.Version,
		})
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone if it fails
}

// serveHealth is etcd's old question: true or false, with a reason.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	type health struct {
		Health string `json:"health"`
		Reason string `json:"reason"`
	}
	serializable := r.URL.Query().Get("serializable") == "true"
	reason := s.alarmReason(r.URL.Query()["exclude"])
	if reason == "" && !serializable && s.store.Leadership().Leader == 0 {
		reason = "RAFT NO LEADER"
	}
	if reason == "" {
		if err := s.reads(r.Context(), serializable); err != nil {
			reason = "RANGE ERROR:" + rpctypes.ErrorDesc(err)
		}
	}
	if reason != "" {
		writeJSON(w, http.StatusServiceUnavailable, health{"false", reason})
		return
	}
	writeJSON(w, http.StatusOK, health{Health: "true"})
}

// alarmReason names the first alarm that is not excluded.
func (s *Server) alarmReason(excluded []string) string {
	for _, a := range s.store.Status().Alarms {
		if !slices.Contains(excluded, a.Type.String()) {
			return "ALARM " + a.Type.String()
		}
	}
	return ""
}

// isSound fails while an operator doubts the state of a member.
func (s *Server) isSound(context.Context) error {
	for _, a := range s.store.Status().Alarms {
		if a.Type == raftstore.AlarmCorrupt {
			return fmt.Errorf("alarm activated: %s", a.Type)
		}
	}
	return nil
}

// check is one of the things that are asked for by /livez and /readyz.
type check struct {
	name string
	run  func(context.Context) error
}

// checks answers for all but those in the query's exclude.
func checks(list ...check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		excluded := map[string]bool{}
		for _, name := range query["exclude"] {
			excluded[name] = true
		}
		text, failed := "", false
		for _, c := range list {
			if excluded[c.name] {
				continue
			}
			if err := c.run(r.Context()); err != nil {
				text += fmt.Sprintf("[-]%s failed: %v\n", c.name, err)
				failed = true
			} else {
				text += fmt.Sprintf("[+]%s ok\n", c.name)
			}
		}
		if failed {
			http.Error(w, text, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if query.Has("verbose") {
			_, _ = fmt.Fprint(w, text)
		}
		_, _ = fmt.Fprint(w, "ok\n")
	}
}

func (s *Server) reads(ctx context.Context, serializable bool) error {
	call, cancel := s.bounded(ctx)
	defer cancel()
	_, err := s.store.Range(call, raftstore.RangeOptions{Key: []byte{0}, Limit: 1, KeysOnly: true, Serializable: serializable})
	return wireError(call, err)
}

func (s *Server) readsLocally(ctx context.Context) error { return s.reads(ctx, true) }

func (s *Server) readsLinearizably(ctx context.Context) error { return s.reads(ctx, false) }

func (s *Server) isVoter(context.Context) error {
	if s.store.Leadership().Learner {
		return rpctypes.ErrGRPCNotSupportedForLearner
	}
	return nil
}
