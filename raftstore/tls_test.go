package raftstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority is a certificate authority of its own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	a := &authority{pool: x509.NewCertPool()}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.pool.AddCert(a.cert)
	return a
}

// config returns a TLS config with a certificate of this authority that trusts the
// members of trusted.
func (a *authority) config(t testing.TB, trusted *authority) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "member"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      trusted.pool, ClientCAs: trusted.pool,
	}
}

func TestMembersTalkTLSAndStrangersLearnNothing(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	c := newCluster(t, 3, func(cfg *Config) { cfg.TLS = ours.config(t, ours) })
	put(t, c.stores[1], "k", "v")
	require.Equal(t, "v", get(t, c.stores[3], "k"))
	c.settled()

	refused := func() uint64 { return c.stores[1].node.net.Stats().RefusedConnections }
	before := refused()
	address := c.members[0].Address
	for name, stranger := range map[string]*tls.Config{
		"another authority": other.config(t, ours),
		"no certificate":    {RootCAs: ours.pool},
	} {
		conn, err := tls.Dial("tcp", address, stranger)
		if err == nil { // with TLS 1.3 the client learns of it with the first byte
			_, err = conn.Write(make([]byte, 40))
			if err == nil {
				_, err = conn.Read(make([]byte, 1))
			}
			conn.Close()
		}
		require.Error(t, err, name)
	}
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(make([]byte, 40))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return refused() == before+3 }, 10*time.Second, 5*time.Millisecond)

	_, err = Open(t.TempDir(), Config{TLS: &tls.Config{}})
	require.ErrorIs(t, err, ErrConfig)
}
