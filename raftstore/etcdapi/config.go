package etcdapi

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/version"

	"github.com/orchcore/orchcore/raftstore"
)

// Config says how a member's store is served. The zero value serves it without TLS
// and under no name.
type Config struct {
	// Name and ClientURLs tell clients about this member: what MemberList shows, and
	// where clients go that look for other members. The member announces them to the
	// others when it starts; before its first start it is listed without. It counts as
	// started when it has a name. Empty means member-ID, in hexadecimal.
	Name       string
	ClientURLs []string
	// PeerTLS tells that members talk to each other over TLS: it makes their listed
	// URLs https.
	PeerTLS bool

	// TLS, if set, secures the clients' connections. ClientAuth decides whether
	// clients must show a certificate.
	TLS *tls.Config

	// Version is the version of etcd that Status reports: clients choose by it what
	// they ask for. Empty means the version whose API this is.
	Version string

	// RequestTimeout bounds a request that has no earlier deadline. Zero means 7 s,
	// as in etcd with an election timeout of 1 s.
	RequestTimeout time.Duration
	// ElectionTimeout is that of the store. A stream that requires a leader ends when
	// none was known for three of them. Zero means 1 s.
	ElectionTimeout time.Duration
	// ProgressInterval is the time without an event after which a watch that asked
	// for it is told how far it is. Zero means 10 min.
	ProgressInterval time.Duration

	// RequestSizeMax is the store's own limit in bytes. Zero means 1.5 MiB.
	RequestSizeMax int
	// ResponseSizeMax bounds one response in bytes. Zero means 2 GiB - 1, which is
	// also the most that can be sent.
	ResponseSizeMax int
	// ResponsesSizeMax bounds the bytes of responses that clients have asked for and
	// not read yet, roughly; more are refused. Zero means 4 GiB.
	ResponsesSizeMax int64
	// StreamsMax bounds the calls that one connection may have open at a time; more
	// wait. Zero means 10,000.
	StreamsMax int
	// ConnectionsMax bounds the connections; more are closed at once. Zero means 10,000.
	ConnectionsMax int
	// WatchesMax bounds the watches of all clients of this member; more are refused.
	// Each costs about half a kilobyte. Zero means 262,144.
	WatchesMax int

	// Logger takes what operators should know. Nil means silence.
	Logger *slog.Logger
}

const (
	defaultRequestTimeout   = 7 * time.Second
	defaultElectionTimeout  = time.Second
	defaultProgressInterval = 10 * time.Minute
	progressIntervalMin     = 100 * time.Millisecond // as in etcd
	defaultRequestSizeMax   = 3 << 19
	defaultResponsesSizeMax = 4 << 30
	defaultStreamsMax       = 10_000
	defaultConnectionsMax   = 10_000
	defaultWatchesMax       = 1 << 18

	// overheadBytes is what a message may be larger than the request in it, as in etcd.
	overheadBytes = 512 << 10
)

// ErrConfig is matched by every error about a field of Config.
var ErrConfig = errors.New("etcdapi: invalid config")

func (c Config) withDefaults() Config {
	setDefault(&c.RequestTimeout, defaultRequestTimeout)
	setDefault(&c.ElectionTimeout, defaultElectionTimeout)
	setDefault(&c.ProgressInterval, defaultProgressInterval)
	setDefault(&c.RequestSizeMax, defaultRequestSizeMax)
	setDefault(&c.ResponseSizeMax, math.MaxInt32)
	setDefault(&c.ResponsesSizeMax, defaultResponsesSizeMax)
	setDefault(&c.StreamsMax, defaultStreamsMax)
	setDefault(&c.ConnectionsMax, defaultConnectionsMax)
	setDefault(&c.WatchesMax, defaultWatchesMax)
	if c.Version == "" {
		c.Version = version.Version
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// validate checks a config whose defaults are filled in.
func (c *Config) validate() error {
	for _, f := range []struct {
		name     string
		value    int64
		min, max int64
	}{
		{"RequestTimeout", int64(c.RequestTimeout), int64(time.Millisecond), int64(time.Hour)},
		{"ElectionTimeout", int64(c.ElectionTimeout), int64(time.Millisecond), int64(time.Hour)},
		{"ProgressInterval", int64(c.ProgressInterval), int64(progressIntervalMin), math.MaxInt64},
		{"RequestSizeMax", int64(c.RequestSizeMax), 1 << 10, 64 << 20},
		{"ResponseSizeMax", int64(c.ResponseSizeMax), 1 << 10, math.MaxInt32},
		{"ResponsesSizeMax", c.ResponsesSizeMax, int64(c.RequestSizeMax), math.MaxInt64},
		{"StreamsMax", int64(c.StreamsMax), 1, math.MaxUint32},
		{"ConnectionsMax", int64(c.ConnectionsMax), 1, 1 << 24},
		{"WatchesMax", int64(c.WatchesMax), 1, 1 << 32},
	} {
		if f.value < f.min || f.value > f.max {
			return configError(f.name, strconv.FormatInt(f.value, 10), fmt.Sprintf("%d to %d", f.min, f.max))
		}
	}
	if err := c.validateAnnouncement(); err != nil {
		return err
	}
	if n := strings.Count(c.Version, "."); n != 2 {
		return configError("Version", strconv.Quote(c.Version), "major.minor.patch")
	}
	if c.TLS != nil && len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil && c.TLS.GetConfigForClient == nil {
		return configError("TLS", "without a certificate", "one")
	}
	return nil
}

// announcementSpare is the part of an announcement that is neither name nor URL, more
// or less.
const announcementSpare = 256

// validateAnnouncement checks what the member tells the others.
func (c *Config) validateAnnouncement() error {
	size := announcementSpare + len(c.Name)
	for _, text := range c.ClientURLs {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return configError("ClientURLs", strconv.Quote(text), "http:// or https:// and host:port")
		}
		size += len(text)
	}
	if size > raftstore.AnnounceSizeMax {
		return configError("Name and ClientURLs", fmt.Sprint(size, " bytes"), fmt.Sprint("at most ", raftstore.AnnounceSizeMax))
	}
	if !utf8.ValidString(c.Name) {
		return configError("Name", strconv.Quote(c.Name), "UTF-8")
	}
	return nil
}

func configError(field, value, expected string) error {
	return fmt.Errorf("%w: %s is %s, expected %s", ErrConfig, field, value, expected)
}
