package raftstore

import (
	"context"
	"fmt"
	"log/slog"

	"go.etcd.io/raft/v3"
)

// raftLogger passes what Raft says on at debug level, which costs nothing while
// nobody listens. Raft panics by its logger when its invariants are broken; the
// owner turns that into the failure of this member alone.
type raftLogger struct{ l *slog.Logger }

var _ raft.Logger = raftLogger{}

func (r raftLogger) debug(args []any) {
	if r.l.Enabled(context.Background(), slog.LevelDebug) {
		r.l.Debug(fmt.Sprint(args...))
	}
}

func (r raftLogger) debugf(format string, args []any) {
	if r.l.Enabled(context.Background(), slog.LevelDebug) {
		r.l.Debug(fmt.Sprintf(format, args...))
	}
}

func (r raftLogger) Debug(v ...any)                   { r.debug(v) }
func (r raftLogger) Debugf(format string, v ...any)   { r.debugf(format, v) }
func (r raftLogger) Info(v ...any)                    { r.debug(v) }
func (r raftLogger) Infof(format string, v ...any)    { r.debugf(format, v) }
func (r raftLogger) Warning(v ...any)                 { r.debug(v) }
func (r raftLogger) Warningf(format string, v ...any) { r.debugf(format, v) }
func (r raftLogger) Error(v ...any)                   { r.l.Error(fmt.Sprint(v...)) }
func (r raftLogger) Errorf(format string, v ...any)   { r.l.Error(fmt.Sprintf(format, v...)) }
func (r raftLogger) Fatal(v ...any)                   { panic(fmt.Sprint(v...)) }
func (r raftLogger) Fatalf(format string, v ...any)   { panic(fmt.Sprintf(format, v...)) }
func (r raftLogger) Panic(v ...any)                   { panic(fmt.Sprint(v...)) }
func (r raftLogger) Panicf(format string, v ...any)   { panic(fmt.Sprintf(format, v...)) }
