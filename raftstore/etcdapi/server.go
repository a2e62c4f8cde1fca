package etcdapi

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/orchcore/orchcore/raftstore"
)

// Server serves one member's store under etcd's gRPC API. All methods are safe for
// concurrent use.
type Server struct {
	store     *raftstore.Store
	cfg       Config
	clusterID uint64
	memberID  uint64

	grpc   *grpc.Server
	health *health.Server

	streams leaderStreams
	// watches counts those that are open, responses the bytes that are on their way
	// to clients.
	watches   atomic.Int64
	responses atomic.Int64

	closing sync.Once
	stop    chan struct{} // closed by Close
	// work is the goroutines that no call waits for.
	work sync.WaitGroup
}

// New prepares a server for a store that is open. The store stays the caller's: it
// must be closed after the server.
func New(store *raftstore.Store, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		store: store, cfg: cfg,
		clusterID: store.ClusterID(), memberID: store.MemberID(),
		health:  health.NewServer(),
		streams: leaderStreams{open: map[*leaderStream]struct{}{}},
		stop:    make(chan struct{}),
	}
	s.grpc = grpc.NewServer(s.options()...)
	pb.RegisterKVServer(s.grpc, kvServer{Server: s})
	pb.RegisterWatchServer(s.grpc, watchServer{Server: s})
	pb.RegisterLeaseServer(s.grpc, leaseServer{Server: s})
	pb.RegisterClusterServer(s.grpc, clusterServer{Server: s})
	pb.RegisterMaintenanceServer(s.grpc, maintenanceServer{Server: s})
	pb.RegisterAuthServer(s.grpc, authServer{Server: s})
	healthpb.RegisterHealthServer(s.grpc, s.health)
	s.work.Go(s.watchLeader)
	s.work.Go(s.announce)
	return s, nil
}

// What etcd demands of its clients' pings and does about dead connections.
const (
	pingIntervalMin = 5 * time.Second
	idleInterval    = 2 * time.Hour
	idleTimeout     = 20 * time.Second
)

func (s *Server) options() []grpc.ServerOption {
	opts := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
		grpc.StatsHandler(responseMeter{s}),
		grpc.ForceServerCodecV2(newMeteredCodec(&s.responses)),
		grpc.MaxRecvMsgSize(s.cfg.RequestSizeMax + overheadBytes),
		grpc.MaxSendMsgSize(s.cfg.ResponseSizeMax),
		grpc.MaxConcurrentStreams(uint32(s.cfg.StreamsMax)),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingIntervalMin}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: idleInterval, Timeout: idleTimeout}),
	}
	if s.cfg.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(s.cfg.TLS)))
	}
	return opts
}

// Serve accepts clients on a listener, which it closes in the end, until Close. It
// may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	err := s.grpc.Serve(&limitedListener{Listener: l, left: int64(s.cfg.ConnectionsMax)})
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// Close ends all calls and connections. No goroutine of the server survives it.
func (s *Server) Close() {
	s.closing.Do(func() {
		close(s.stop)
		s.health.Shutdown()
		s.grpc.Stop()
		s.work.Wait()
	})
}

// bounded is the context of a request: nothing waits longer than RequestTimeout.
func (s *Server) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.cfg.RequestTimeout, errTimeout)
}

// limitedListener closes connections that are too many at once: a client that is
// refused can go elsewhere, one that waits in the backlog cannot.
type limitedListener struct {
	net.Listener
	mu   sync.Mutex
	left int64
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		ok := l.left > 0
		if ok {
			l.left--
		}
		l.mu.Unlock()
		if ok {
			return &limitedConn{Conn: c, listener: l}, nil
		}
		_ = c.Close()
	}
}

type limitedConn struct {
	net.Conn
	listener *limitedListener
	once     sync.Once
}

func (c *limitedConn) Close() error {
	c.once.Do(func() {
		c.listener.mu.Lock()
		c.listener.left++
		c.listener.mu.Unlock()
	})
	return c.Conn.Close()
}
