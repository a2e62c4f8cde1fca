package etcdapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// announcement is what a member tells the others about itself, as JSON.
type announcement struct {
	Name       string   `json:"name,omitempty"`
	ClientURLs []string `json:"clientURLs,omitempty"`
}

// announced reads an announcement. One that is not ours, or none, says nothing.
func announced(info string) (a announcement) {
	if json.Unmarshal([]byte(info), &a) != nil {
		return announcement{}
	}
	return a
}

// announce tells the others about this member, unless they know already. It tries
// until it has succeeded, as a member of etcd does.
func (s *Server) announce() {
	a := announcement{s.cfg.Name, s.cfg.ClientURLs}
	if a.Name == "" {
		a.Name = fmt.Sprintf("member-%x", s.memberID)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.work.Go(func() {
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	for ctx.Err() == nil {
		if m := s.known(s.memberID); m != nil {
			if old := announced(m.Info); old.Name == a.Name && slices.Equal(old.ClientURLs, a.ClientURLs) {
				return
			}
			if s.tell(ctx, a) {
				return
			}
		}
		select {
		case <-time.After(s.cfg.ElectionTimeout / 4):
		case <-ctx.Done():
		}
	}
}

func (s *Server) tell(ctx context.Context, a announcement) bool {
	text, err := json.Marshal(a)
	if err != nil {
		s.cfg.Logger.Error("cannot announce this member", "error", err)
		return true
	}
	call, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.store.Announce(call, string(text)); err != nil {
		s.cfg.Logger.Warn("cannot announce this member yet", "error", err)
		return false
	}
	return true
}
