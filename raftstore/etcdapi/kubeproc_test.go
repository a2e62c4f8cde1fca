package etcdapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a program that runs beside the test, with its output in a file.
type process struct {
	cmd  *exec.Cmd
	name string
	log  string
	done chan struct{}
}

func startProcess(t *testing.T, dir, name, binary string, args ...string) *process {
	t.Helper()
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	p.cmd = exec.Command(binary, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		_ = out.Close()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop(syscall.SIGTERM)
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("last words of %s:\n%s", name, text[max(0, len(text)-3000):])
		}
	})
	return p
}

// stop sends a signal and waits for the end.
func (p *process) stop(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	return l.Addr().String()
}

// storeProcesses is three members, each a process.
type storeProcesses struct {
	t       *testing.T
	dir     string
	binary  string
	cluster string
	listen  map[uint64]string
	members map[uint64]*process
}

func startStore(t *testing.T, dir string) *storeProcesses {
	t.Helper()
	s := &storeProcesses{t: t, dir: dir, binary: filepath.Join(dir, "etcdapi"), listen: map[uint64]string{}, members: map[uint64]*process{}}
	out, err := exec.Command("go", "build", "-o", s.binary, "./cmd/etcdapi").CombinedOutput()
	require.NoError(t, err, "%s", out)
	var cluster []string
	for id := uint64(1); id <= 3; id++ {
		s.listen[id] = freeAddress(t)
		cluster = append(cluster, fmt.Sprint(id, "=", freeAddress(t)))
	}
	s.cluster = strings.Join(cluster, ",")
	for id := range s.listen {
		s.start(id)
	}
	return s
}

func (s *storeProcesses) start(id uint64) {
	name := fmt.Sprint("member-", id)
	s.members[id] = startProcess(s.t, s.dir, name, s.binary, "-id", fmt.Sprint(id), "-dir", filepath.Join(s.dir, name),
		"-listen", s.listen[id], "-cluster", s.cluster, "-watch-progress", "5s")
}

func (s *storeProcesses) endpoints() []string {
	var list []string
	for id := uint64(1); id <= 3; id++ {
		list = append(list, "http://"+s.listen[id])
	}
	return list
}

// leader asks the members who leads.
func (s *storeProcesses) leader() uint64 {
	s.t.Helper()
	var leader uint64
	require.Eventually(s.t, func() bool {
		for id, address := range s.listen {
			client := newClient(s.t, nil, address)
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			st, err := client.Status(ctx, "http://"+address)
			cancel()
			if err == nil && st.Leader == id {
				leader = id
				return true
			}
		}
		return false
	}, 60*time.Second, 100*time.Millisecond, "no leader")
	return leader
}

// kube is a control plane.
type kube struct {
	t      *testing.T
	url    string
	client *http.Client
}

const kubeToken = "secret"

// startKube starts the three programs on a store and waits until they serve.
func startKube(t *testing.T, dir, binaries string, endpoints []string) *kube {
	t.Helper()
	key := filepath.Join(dir, "sa.key")
	writeKey(t, key)
	tokens := filepath.Join(dir, "tokens.csv")
	require.NoError(t, os.WriteFile(tokens, []byte(kubeToken+`,admin,1,"system:masters"`+"\n"), 0o600))
	address := freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	certs := filepath.Join(dir, "certs")
	startProcess(t, dir, "kube-apiserver", filepath.Join(binaries, "kube-apiserver"),
		"--etcd-servers="+strings.Join(endpoints, ","), "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port="+port,
		"--cert-dir="+certs, "--token-auth-file="+tokens, "--authorization-mode=AlwaysAllow",
		"--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/16",
		// Neither tokens for pods nor taints of nodes are what is tested.
		"--disable-admission-plugins=ServiceAccount,TaintNodesByCondition")
	k := &kube{t: t, url: "https://127.0.0.1:" + port, client: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true, // it has just made its own certificate
	}}}
	require.Eventually(t, func() bool {
		status, body := k.try("GET", "/readyz", nil)
		return status == http.StatusOK && string(body) == "ok"
	}, 90*time.Second, 100*time.Millisecond, "kube-apiserver is not ready")
	config := filepath.Join(dir, "kubeconfig")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c",
		"clusters":[{"name":"k","cluster":{"server":%q,"insecure-skip-tls-verify":true}}],
		"users":[{"name":"u","user":{"token":%q}}],"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}]}`, k.url, kubeToken), 0o600))
	common := []string{"--kubeconfig=" + config, "--kube-api-qps=5000", "--kube-api-burst=5000", "--bind-address=127.0.0.1"}
	startProcess(t, dir, "kube-controller-manager", filepath.Join(binaries, "kube-controller-manager"),
		append(common, "--secure-port="+freePort(t), "--cert-dir="+certs+"-cm",
			"--controllers=deployment-controller,replicaset-controller,garbage-collector-controller,namespace-controller")...)
	startProcess(t, dir, "kube-scheduler", filepath.Join(binaries, "kube-scheduler"),
		append(common, "--secure-port="+freePort(t), "--cert-dir="+certs+"-s")...)
	return k
}

func freePort(t *testing.T) string {
	_, port, err := net.SplitHostPort(freeAddress(t))
	require.NoError(t, err)
	return port
}

func writeKey(t *testing.T, file string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	require.NoError(t, os.WriteFile(file, text, 0o600))
}

// try makes one request; the status is 0 if there was no answer.
func (k *kube) try(method, path string, body any) (int, []byte) {
	res, err := k.open(context.Background(), method, path, body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return res.StatusCode, text
}

func (k *kube) open(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, k.url+path, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+kubeToken)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	return k.client.Do(req)
}

// do repeats a request until it succeeds: while the store has no leader,
// kube-apiserver answers with errors that its clients are used to.
func (k *kube) do(method, path string, body any) ([]byte, error) {
	deadline := time.Now().Add(60 * time.Second)
	for {
		status, text := k.try(method, path, body)
		switch {
		case status/100 == 2:
			return text, nil
		case status == http.StatusConflict && method == http.MethodPost && bytes.Contains(text, []byte("AlreadyExists")):
			return text, nil // by an earlier attempt that was not answered
		case status == http.StatusNotFound && method == http.MethodDelete:
			return text, nil
		case time.Now().After(deadline) || status/100 == 4 && status != http.StatusTooManyRequests:
			return nil, fmt.Errorf("%s %s: %d: %s", method, path, status, text)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (k *kube) must(method, path string, body any) []byte {
	k.t.Helper()
	text, err := k.do(method, path, body)
	require.NoError(k.t, err)
	return text
}
