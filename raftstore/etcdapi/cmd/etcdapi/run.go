package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/etcdapi"
)

// member is one member with all that serves it.
type member struct {
	store  *raftstore.Store
	server *etcdapi.Server
	web    *http.Server
	failed chan error
}

// run serves until the context ends or a member fails.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	var list []options
	if o.local > 0 {
		list, err = o.locals()
	} else {
		list = []options{o}
	}
	if err != nil {
		return err
	}
	failed := make(chan error, 3*len(list))
	var members []*member
	defer func() {
		for _, m := range members {
			m.close()
		}
	}()
	for i := range list {
		m, err := start(&list[i], out, failed)
		if err != nil {
			return err
		}
		members = append(members, m)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// peerPortsAfter is how far the ports of members are from those of clients.
const peerPortsAfter = 10

// locals makes the options of members in this process, at ports one after the other.
func (o *options) locals() ([]options, error) {
	host, portText, err := net.SplitHostPort(o.listen)
	port, numberErr := strconv.Atoi(portText)
	if err != nil || numberErr != nil || port == 0 {
		return nil, fmt.Errorf("-listen is %q, expected host:port with a number", o.listen)
	}
	at := func(i int) string { return net.JoinHostPort(host, strconv.Itoa(port+i)) }
	cluster := ""
	for i := range o.local {
		cluster += fmt.Sprintf(",%d=%s", i+1, at(peerPortsAfter+i))
	}
	list := make([]options, o.local)
	for i := range list {
		list[i] = *o
		list[i].id = uint64(i + 1)
		list[i].dir = filepath.Join(o.dir, fmt.Sprint("member-", i+1))
		list[i].listen, list[i].cluster = at(i), cluster[1:]
		if i > 0 {
			list[i].listenHTTP = ""
		}
	}
	return list, nil
}

// start opens a member and serves it. What it has opened is closed on error.
func start(o *options, out io.Writer, failed chan error) (_ *member, err error) {
	cfg, api, err := o.configs(out, failed)
	if err != nil {
		return nil, err
	}
	if o.restore != "" {
		if err := restore(o, cfg); err != nil {
			return nil, err
		}
	}
	m := &member{failed: failed}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.store, err = raftstore.Open(o.dir, cfg); err != nil {
		return nil, err
	}
	if m.server, err = etcdapi.New(m.store, api); err != nil {
		return nil, err
	}
	clients, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, err
	}
	go func() { m.report(m.server.Serve(clients)) }()
	if o.listenHTTP != "" {
		web, err := net.Listen("tcp", o.listenHTTP)
		if err != nil {
			return nil, err
		}
		m.web = &http.Server{Handler: m.server.Handler(), ReadHeaderTimeout: 10 * time.Second}
		go func() { m.report(m.web.Serve(web)) }()
	}
	_, _ = fmt.Fprintf(out, "member %d of cluster %016x serves clients at %s\n", o.id, m.store.ClusterID(), clients.Addr())
	return m, nil
}

// report passes an error on that ends the program.
func (m *member) report(err error) {
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		m.failed <- err
	}
}

func (m *member) close() {
	if m.web != nil {
		_ = m.web.Close()
	}
	if m.server != nil {
		m.server.Close()
	}
	if m.store != nil {
		_ = m.store.Close() // what it could say was said by OnFailure
	}
}

// configs makes the configurations of the store and of its server.
func (o *options) configs(out io.Writer, failed chan error) (cfg raftstore.Config, api etcdapi.Config, err error) {
	var logger *slog.Logger
	if o.verbose {
		logger = slog.New(slog.NewTextHandler(out, nil)).With("member", o.id)
	}
	cfg = raftstore.Config{
		ID: o.id, ClusterToken: o.token, Join: o.join, ClusterID: o.clusterID, Listen: o.listenPeer,
		QuotaBytes: o.quotaBytes, AutoCompactRetention: o.compactAfter, AutoCompactRevisions: o.compactRevisions,
		RequestSizeMax: o.requestSizeMax, SnapshotEntries: uint64(max(0, o.snapshotSize)),
		TickInterval: o.tick, ElectionTicks: o.electionTicks, Logger: logger,
		OnFailure: func(err error) { failed <- err },
	}
	api = etcdapi.Config{
		RequestSizeMax: o.requestSizeMax, ProgressInterval: o.progress,
		ElectionTimeout: o.tick * time.Duration(o.electionTicks), Logger: logger,
		Name: o.name, ClientURLs: o.urls(),
	}
	if cfg.Members, err = o.members(); err != nil {
		return cfg, api, err
	}
	if cfg.TLS, err = o.peerTLS(); err != nil {
		return cfg, api, err
	}
	if api.TLS, err = o.clientTLS(); err != nil {
		return cfg, api, err
	}
	api.PeerTLS = cfg.TLS != nil
	return cfg, api, nil
}

// restore founds a member from a snapshot file, unless it is there already.
func restore(o *options, cfg raftstore.Config) error {
	if _, err := os.Stat(filepath.Join(o.dir, "wal")); err == nil {
		return fmt.Errorf("-restore: %s holds a member, expected a new directory", o.dir)
	}
	f, err := os.Open(o.restore)
	if err != nil {
		return fmt.Errorf("-restore: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("-restore: %w", err)
	}
	backup, err := etcdapi.OpenSnapshot(f, info.Size())
	if err != nil {
		return fmt.Errorf("-restore: %s: %w", o.restore, err)
	}
	return raftstore.Restore(backup, o.dir, cfg, raftstore.RestoreOptions{RevisionBump: o.bump})
}
