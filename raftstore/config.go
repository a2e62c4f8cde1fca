package raftstore

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strconv"
	"time"

	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
	"go.etcd.io/raft/v3"
)

// Member is one replica of the cluster as its peers see it.
type Member struct {
	// ID is the member's identity in the cluster: not zero, and never used again
	// after the member was removed.
	ID uint64
	// Address is the TCP address host:port under which the peers reach the member.
	Address string
}

// Config says how to open one member. The zero value opens a cluster of one
// member that needs no network.
type Config struct {
	// ID is this member's id. Zero means 1, which is allowed only when Members is empty.
	ID uint64
	// ClusterToken names the cluster; members with different tokens refuse each
	// other. Empty means "raftstore".
	ClusterToken string
	// Members are the voters the cluster is founded with, this one included: the
	// same on each of them. Empty means this member alone. After the first start
	// the stored membership counts, and only addresses are taken from here.
	Members []Member
	// Join tells that this member was added to a cluster that exists (see AddLearner):
	// it founds nothing and waits for the leader to bring it up. Members then are some
	// or all of the others and this one, and ClusterID must be set. After the first
	// start it means nothing.
	Join bool
	// ClusterID is the id of the cluster to join, from Status of any of its members.
	ClusterID uint64

	// Listen is the TCP address to serve peers on. Empty means this member's own
	// address in Members. Not used when Listener is set or the cluster has one member.
	Listen string
	// Listener, if set, is used instead of Listen; the store closes it.
	Listener net.Listener
	// TLS, if set, secures every connection between members. It must hold a
	// certificate and both RootCAs and ClientCAs, since each side checks the other.
	TLS *tls.Config

	// Transport, if set, makes what carries the frames between members, instead of TCP
	// with the fields above, which must not be set then. The handler is told what
	// arrives; the store closes the transport.
	Transport func(clusterID, memberID uint64, h transport.Handler) (transport.Transport, error)

	// TickInterval is the unit of the timeouts below. Zero means 100 ms.
	TickInterval time.Duration
	// HeartbeatTicks is the time between two heartbeats of a leader. Zero means 1.
	HeartbeatTicks int
	// ElectionTicks is the time without a leader after which a member campaigns;
	// the actual time is chosen between one and two times this. Zero means 10.
	// More makes failover slower; fewer than 5 heartbeats makes leaders flap.
	ElectionTicks int

	// LeaseReads allows ReadByLease; see Store.Reading for what that relies on. It must
	// be the same on all members, as must TickInterval and ElectionTicks then: members
	// that start vote for nobody within the first election timeout, so that a failover
	// shortly after another start takes longer. False means that all reads ask a quorum.
	LeaseReads bool

	// SegmentSizeBytes is the size of a log segment, which is written with zeros
	// ahead of its use. Zero means 64 MiB.
	SegmentSizeBytes int64
	// SnapshotEntries is the number of applied entries after which the state is
	// written to disk and older log entries are given up: up to half as many more on
	// some members, so that not all write at once. Zero means 10,000.
	SnapshotEntries uint64
	// CatchUpEntries is the number of entries kept behind a snapshot so that slow
	// followers need no snapshot. Zero means 5,000.
	CatchUpEntries uint64
	// CatchUpSizeBytes bounds the bytes of the entries kept behind a snapshot; twice as
	// much in the log is reason for a snapshot, too. Zero means 64 MiB. They are on disk;
	// in memory are up to an eighth of it, and what is not applied yet.
	CatchUpSizeBytes int64
	// CatchUpRateBytes is how much a leader sends in a second to members that are far
	// behind, all together, while clients write; twice what these write comes on top.
	// Without writes there is no such bound. More brings members up sooner and leaves
	// less for the clients meanwhile. Zero means 16 MiB.
	CatchUpRateBytes int64

	// RequestSizeMax is the largest encoded request in bytes. Zero means 1.5 MiB.
	RequestSizeMax int
	// TxnOpsMax is the largest number of compares or operations of one level of a
	// transaction. Zero means 128.
	TxnOpsMax int
	// PendingMax is the number of writes and of reads that may wait at this member
	// at a time; more are refused with ErrTooManyRequests. Zero means 8,192.
	PendingMax int
	// PendingSizeMax bounds the bytes of writes that wait at this member. Zero means 64 MiB.
	PendingSizeMax int
	// UncommittedSizeMax bounds the bytes of entries a leader has appended but not
	// committed. Zero means 64 MiB.
	UncommittedSizeMax int
	// QuotaBytes bounds what the state may take in memory, as Status.SizeBytes counts
	// it: at this size writes are refused with ErrNoSpace, on all members, until the
	// alarm is disarmed. Zero means 2 GiB, as in etcd; negative means no bound.
	QuotaBytes int64
	// AutoCompactRetention has the leader compact history that is older than this, to
	// within a tenth, and AutoCompactRevisions all but that many revisions, every five
	// minutes. At most one of them may be set. Zero means that history is kept until
	// somebody compacts it.
	AutoCompactRetention time.Duration
	AutoCompactRevisions int64
	// PeerQueueSizeMax bounds the bytes queued for one peer on one lane; what does
	// not fit is dropped and sent again by Raft. Zero means 16 MiB.
	PeerQueueSizeMax int

	// Logger takes what operators should know. Nil means silence.
	Logger *slog.Logger
	// Observer, if set, is told what the member does, for metrics.
	Observer Observer
	// OnFailure, if set, is called once, on a goroutine of its own, when the member
	// stops for good after a fault (see ErrFailed).
	OnFailure func(error)
	// FS is the file system. Nil means that of the operating system.
	FS wal.FS
}

const (
	defaultToken              = "raftstore"
	defaultTickInterval       = 100 * time.Millisecond
	defaultHeartbeatTicks     = 1
	defaultElectionTicks      = 10
	defaultSnapshotEntries    = 10_000
	defaultCatchUpEntries     = 5_000
	defaultCatchUpSizeBytes   = 64 << 20
	defaultCatchUpRateBytes   = 16 << 20
	defaultRequestSizeMax     = 3 << 19
	defaultTxnOpsMax          = 128
	defaultPendingMax         = 8192
	defaultPendingSizeMax     = 64 << 20
	defaultUncommittedSizeMax = 64 << 20
	defaultPeerQueueSizeMax   = 16 << 20

	// membersMax bounds what a snapshot or a config may name.
	membersMax = 64
)

// withDefaults returns the config with every zero field replaced by what it means.
func (c Config) withDefaults() Config {
	if c.ID == 0 && len(c.Members) == 0 {
		c.ID = 1
	}
	if c.ClusterToken == "" {
		c.ClusterToken = defaultToken
	}
	setDefault(&c.TickInterval, defaultTickInterval)
	setDefault(&c.HeartbeatTicks, defaultHeartbeatTicks)
	setDefault(&c.ElectionTicks, defaultElectionTicks)
	setDefault(&c.SegmentSizeBytes, wal.DefaultSegmentSize)
	setDefault(&c.SnapshotEntries, defaultSnapshotEntries)
	setDefault(&c.CatchUpEntries, defaultCatchUpEntries)
	setDefault(&c.CatchUpSizeBytes, defaultCatchUpSizeBytes)
	setDefault(&c.CatchUpRateBytes, defaultCatchUpRateBytes)
	setDefault(&c.RequestSizeMax, defaultRequestSizeMax)
	setDefault(&c.TxnOpsMax, defaultTxnOpsMax)
	setDefault(&c.PendingMax, defaultPendingMax)
	setDefault(&c.PendingSizeMax, defaultPendingSizeMax)
	setDefault(&c.UncommittedSizeMax, defaultUncommittedSizeMax)
	setDefault(&c.PeerQueueSizeMax, defaultPeerQueueSizeMax)
	setDefault(&c.QuotaBytes, defaultQuotaBytes)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Observer == nil {
		c.Observer = Unobserved{}
	}
	if c.FS == nil {
		c.FS = wal.OS
	}
	return c
}

func setDefault[T ~int | ~int64 | ~uint64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// validate checks a config whose defaults are filled in.
func (c *Config) validate() error {
	if c.ID == 0 {
		return configError("ID", 0, "a member id, since Members is set")
	}
	if err := c.validateMembers(); err != nil {
		return err
	}
	if c.Join && (c.ClusterID == 0 || len(c.Members) < 2) {
		return configError("Join", "true", "ClusterID, and Members with this member and at least one other")
	}
	if c.Transport != nil && (c.Listen != "" || c.Listener != nil || c.TLS != nil) {
		return configError("Transport", "set beside Listen, Listener or TLS", "to be set alone")
	}
	if c.TLS != nil && (c.TLS.RootCAs == nil || c.TLS.ClientCAs == nil) {
		return configError("TLS", "without RootCAs or ClientCAs", "both, so that members check each other")
	}
	if c.AutoCompactRetention != 0 && c.AutoCompactRevisions != 0 {
		return configError("AutoCompactRetention", c.AutoCompactRetention, "0, since AutoCompactRevisions is set")
	}
	for _, f := range []struct {
		name     string
		value    int64
		min, max int64
	}{
		{"TickInterval", int64(c.TickInterval), int64(time.Millisecond), int64(time.Minute)},
		{"HeartbeatTicks", int64(c.HeartbeatTicks), 1, 1 << 20},
		{"ElectionTicks", int64(c.ElectionTicks), int64(c.HeartbeatTicks) + 1, 1 << 20},
		{"SegmentSizeBytes", c.SegmentSizeBytes, wal.SegmentSizeMin, wal.SegmentSizeMax},
		{"SnapshotEntries", int64(c.SnapshotEntries), 1, 1 << 40},
		{"CatchUpEntries", int64(c.CatchUpEntries), 1, 1 << 40},
		{"CatchUpSizeBytes", c.CatchUpSizeBytes, 1, 1 << 40},
		{"CatchUpRateBytes", c.CatchUpRateBytes, 1 << 10, 1 << 40},
		{"RequestSizeMax", int64(c.RequestSizeMax), 1 << 10, 64 << 20},
		{"TxnOpsMax", int64(c.TxnOpsMax), 1, 1 << 20},
		{"PendingMax", int64(c.PendingMax), 1, 1 << 24},
		{"PendingSizeMax", int64(c.PendingSizeMax), int64(c.RequestSizeMax), 1 << 40},
		{"UncommittedSizeMax", int64(c.UncommittedSizeMax), int64(c.RequestSizeMax), 1 << 40},
		{"AutoCompactRetention", int64(c.AutoCompactRetention), 0, math.MaxInt64},
		{"AutoCompactRevisions", c.AutoCompactRevisions, 0, math.MaxInt64},
		{"PeerQueueSizeMax", int64(c.PeerQueueSizeMax), int64(c.RequestSizeMax), 1 << 40},
	} {
		if f.value < f.min || f.value > f.max {
			return configError(f.name, f.value, rangeText(f.min, f.max))
		}
	}
	return c.validateLeaseReads()
}

func (c *Config) validateMembers() error {
	if len(c.Members) > membersMax {
		return configError("Members", fmt.Sprintf("a list of %d", len(c.Members)), fmt.Sprintf("at most %d", membersMax))
	}
	seen := map[uint64]bool{}
	addresses := map[string]bool{}
	for i, m := range c.Members {
		field := fmt.Sprintf("Members[%d]", i)
		switch {
		case m.ID == 0 || raft.IsLocalMsgTarget(m.ID):
			return configError(field+".ID", m.ID, "an id above 0 that Raft does not reserve")
		case seen[m.ID]:
			return configError(field+".ID", m.ID, "an id of its own")
		case m.Address == "" && len(c.Members) > 1:
			return configError(field+".Address", `""`, "host:port, since there are other members")
		case m.Address != "" && addresses[m.Address]:
			return configError(field+".Address", m.Address, "an address of its own")
		}
		if m.Address != "" {
			if _, _, err := net.SplitHostPort(m.Address); err != nil {
				return configError(field+".Address", strconv.Quote(m.Address), "host:port")
			}
		}
		seen[m.ID], addresses[m.Address] = true, true
	}
	if len(c.Members) > 0 && !seen[c.ID] {
		return configError("ID", c.ID, "the id of one of Members")
	}
	return nil
}

func rangeText(min, max int64) string { return fmt.Sprintf("%d to %d", min, max) }
