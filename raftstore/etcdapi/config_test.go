package etcdapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"go/parser"
	"go/token"
	"math/big"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConfig(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"RequestTimeout":   func(c *Config) { c.RequestTimeout = -1 },
		"ElectionTimeout":  func(c *Config) { c.ElectionTimeout = -1 },
		"ProgressInterval": func(c *Config) { c.ProgressInterval = 1 },
		"RequestSizeMax":   func(c *Config) { c.RequestSizeMax = 1 },
		"ResponseSizeMax":  func(c *Config) { c.ResponseSizeMax = 1 << 31 },
		"ResponsesSizeMax": func(c *Config) { c.ResponsesSizeMax = 1 },
		"StreamsMax":       func(c *Config) { c.StreamsMax = -1 },
		"ConnectionsMax":   func(c *Config) { c.ConnectionsMax = -1 },
		"WatchesMax":       func(c *Config) { c.WatchesMax = -1 },
		"Version":          func(c *Config) { c.Version = "new" },
		"TLS":              func(c *Config) { c.TLS = &tls.Config{} },
	} {
		var c Config
		change(&c)
		c = c.withDefaults()
		err := c.validate()
		require.ErrorIs(t, err, ErrConfig, field)
		require.ErrorContains(t, err, field+" is ")
	}
	c := Config{}.withDefaults()
	require.NoError(t, c.validate())
}

func TestTLS(t *testing.T) {
	pair, pool := selfSigned(t)
	c := newCluster(t, 1, func(cfg *Config) {
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	})
	c.tls = &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
	_, err := c.client().Put(c.ctx(), "a", "v")
	require.NoError(t, err)

	conn, err := tls.Dial("tcp", c.clients[1], &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}})
	if err == nil { // with TLS 1.3 the refusal comes with the first read
		_, err = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
	require.ErrorContains(t, err, "certificate required")
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// The package itself needs etcd's messages and gRPC; the rest of etcd is for tests.
func TestDependencies(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	commands, err := filepath.Glob("cmd/etcdapi/*.go")
	require.NoError(t, err)
	allowed := []string{
		"go.etcd.io/etcd/api/v3/", "google.golang.org/grpc", "google.golang.org/protobuf/", "github.com/orchcore/orchcore/raftstore",
	}
	for _, file := range append(files, commands...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			first, _, _ := strings.Cut(name, "/")
			ok := !strings.Contains(first, ".")
			for _, a := range allowed {
				ok = ok || strings.HasPrefix(name, a)
			}
			require.True(t, ok, "%s imports %s", file, name)
		}
	}
}
