package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/orchcore/orchcore/raftstore"
)

// options are the command line.
type options struct {
	id         uint64
	dir        string
	listen     string
	listenPeer string
	listenHTTP string
	cluster    string
	name       string
	clientURLs string
	token      string
	join       bool
	clusterID  uint64
	local      int
	restore    string
	bump       int64

	cert, key, clientCA         string
	peerCert, peerKey, peerCA   string
	quotaBytes                  int64
	compactAfter                time.Duration
	compactRevisions            int64
	requestSizeMax              int
	progress, tick              time.Duration
	electionTicks, snapshotSize int
	verbose                     bool
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("etcdapi", flag.ContinueOnError)
	f.SetOutput(out)
	f.Uint64Var(&o.id, "id", 1, "this member's `id`")
	f.StringVar(&o.dir, "dir", "etcdapi.data", "`directory` of the member's files")
	f.StringVar(&o.listen, "listen", "127.0.0.1:2379", "`address` for clients")
	f.StringVar(&o.listenPeer, "listen-peer", "", "`address` for members, if not the one in -cluster")
	f.StringVar(&o.listenHTTP, "listen-http", "", "`address` for /health, /livez, /readyz and /version; none if empty")
	f.StringVar(&o.cluster, "cluster", "", "all founding members as `id=host:port,…`; this one alone if empty")
	f.StringVar(&o.name, "name", "", "this member's `name`; member-ID if empty")
	f.StringVar(&o.clientURLs, "client-urls", "", "where clients reach this member, as `url,…`; at -listen if empty")
	f.StringVar(&o.token, "token", "", "`name` of the cluster")
	f.BoolVar(&o.join, "join", false, "join a cluster that exists; needs -cluster-id")
	f.Uint64Var(&o.clusterID, "cluster-id", 0, "`id` of the cluster to join")
	f.IntVar(&o.local, "local", 0, "run this `number` of members here, at consecutive ports")
	f.StringVar(&o.restore, "restore", "", "found the member from this snapshot `file` first")
	f.Int64Var(&o.bump, "restore-bump", 0, "add this `number` to the revision of the snapshot, and compact what is before")
	f.StringVar(&o.cert, "cert", "", "certificate `file` for clients; TLS if set")
	f.StringVar(&o.key, "key", "", "its key `file`")
	f.StringVar(&o.clientCA, "client-ca", "", "`file` of the authorities that clients' certificates must come from; none are asked for if empty")
	f.StringVar(&o.peerCert, "peer-cert", "", "certificate `file` for members; TLS if set")
	f.StringVar(&o.peerKey, "peer-key", "", "its key `file`")
	f.StringVar(&o.peerCA, "peer-ca", "", "`file` of the authorities of members' certificates")
	f.Int64Var(&o.quotaBytes, "quota-bytes", 0, "`size` of the state at which writes are refused; 0 is 2 GiB, negative none")
	f.DurationVar(&o.compactAfter, "auto-compaction", 0, "compact what is older than this `time`; never if 0")
	f.Int64Var(&o.compactRevisions, "auto-compaction-revisions", 0, "keep this `number` of revisions; all if 0")
	f.IntVar(&o.requestSizeMax, "request-bytes", 0, "largest request; 0 is 1.5 MiB")
	f.DurationVar(&o.progress, "watch-progress", 0, "`time` after which idle watches are told how far they are; 0 is 10m")
	f.DurationVar(&o.tick, "tick", 100*time.Millisecond, "`time` between two heartbeats")
	f.IntVar(&o.electionTicks, "election-ticks", 10, "`number` of ticks without a leader before an election")
	f.IntVar(&o.snapshotSize, "snapshot-entries", 0, "`number` of log entries between snapshots; 0 is 10,000")
	f.BoolVar(&o.verbose, "v", false, "log what the members do")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	return o, o.check(f)
}

func (o *options) check(f *flag.FlagSet) error {
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("argument is %q, expected flags only", f.Arg(0))
	case o.dir == "":
		return errors.New("-dir is empty, expected a directory")
	case o.local < 0 || o.local > 9:
		return fmt.Errorf("-local is %d, expected 0 to 9", o.local)
	case o.local > 0 && (o.cluster != "" || o.join || o.restore != "" || o.clientURLs != "" || o.name != ""):
		return errors.New("-local is set, expected none of -cluster, -client-urls, -name, -join and -restore with it")
	case (o.cert == "") != (o.key == "") || (o.cert == "" && o.clientCA != ""):
		return errors.New("-cert, -key or -client-ca is missing, expected the first two together")
	case (o.peerCert == "") != (o.peerKey == "") || (o.peerCert == "") != (o.peerCA == ""):
		return errors.New("-peer-cert, -peer-key or -peer-ca is missing, expected all three")
	}
	for _, text := range o.urls() {
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("-client-urls: URL is %q, expected http:// or https:// and host:port", text)
		}
	}
	return nil
}

// members reads -cluster.
func (o *options) members() ([]raftstore.Member, error) {
	var list []raftstore.Member
	err := pairs("cluster", o.cluster, func(id uint64, address string) error {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("-cluster: address of member %d is %q, expected host:port", id, address)
		}
		list = append(list, raftstore.Member{ID: id, Address: address})
		return nil
	})
	return list, err
}

// urls is where clients find the member.
func (o *options) urls() []string {
	if o.clientURLs != "" {
		return strings.Split(o.clientURLs, ",")
	}
	if o.cert != "" {
		return []string{"https://" + o.listen}
	}
	return []string{"http://" + o.listen}
}

// pairs splits a list of id=value.
func pairs(flagName, text string, each func(id uint64, value string) error) error {
	if text == "" {
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		left, value, ok := strings.Cut(part, "=")
		id, err := strconv.ParseUint(left, 10, 64)
		if !ok || err != nil || id == 0 {
			return fmt.Errorf("-%s: part is %q, expected id=value with an id above 0", flagName, part)
		}
		if err := each(id, value); err != nil {
			return err
		}
	}
	return nil
}

// clientTLS is how clients are served, nil for plain text.
func (o *options) clientTLS() (*tls.Config, error) {
	if o.cert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		return nil, fmt.Errorf("-cert, -key: %w", err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if o.clientCA != "" {
		if cfg.ClientCAs, err = authorities("client-ca", o.clientCA); err != nil {
			return nil, err
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg, nil
}

// peerTLS is how members talk to each other, nil for plain text.
func (o *options) peerTLS() (*tls.Config, error) {
	if o.peerCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(o.peerCert, o.peerKey)
	if err != nil {
		return nil, fmt.Errorf("-peer-cert, -peer-key: %w", err)
	}
	pool, err := authorities("peer-ca", o.peerCA)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, MinVersion: tls.VersionTLS13}, nil
}

func authorities(flagName, file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("-%s: %w", flagName, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("-%s: %s has no certificate, expected PEM", flagName, file)
	}
	return pool, nil
}
