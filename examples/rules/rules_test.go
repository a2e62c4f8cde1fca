package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func output(t *testing.T, want int, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	require.Equal(t, want, run(args, &stdout, &stderr), stderr.String())
	return stdout.String() + stderr.String()
}

func TestTexts(t *testing.T) {
	nft := output(t, 0)
	require.Contains(t, nft, "172.30.0.10 . tcp . 80 : goto service-")
	require.Contains(t, output(t, 0, "-mode", "iptables"), "-A KUBE-SERVICES")
	file := filepath.Join(t.TempDir(), "dump.json")
	require.NoError(t, os.WriteFile(file, shop, 0o644))
	require.Equal(t, nft, output(t, 0, "-f", file))
}

func TestTrace(t *testing.T) {
	require.Equal(t, `tcp 203.0.113.5:4000 → 192.168.0.2:30080: DNAT
  because services: node port 30080 of shop/frontend:http
  because externalTrafficPolicy Local: backends of this node, source kept
  because not 10.0.2.10:8080 of slice frontend-x7k: not on this node
  because not 10.0.3.10:8080 of slice frontend-x7k: terminating, while others are ready
  100.0 %  10.0.1.10:8080  (slice frontend-x7k, source kept)
`, output(t, 0, "-trace", "tcp 203.0.113.5:4000 → 192.168.0.2:30080"))
}

func TestLint(t *testing.T) {
	require.Equal(t, `Service shop/search: spec.ports: "grpc": port grpc has no endpoints: the slices of the Service have other ports, http/tcp; names must be the same
1 findings in 3 service ports
`, output(t, 0, "-lint"))
}

func TestDiff(t *testing.T) {
	old := filepath.Join(t.TempDir(), "old.json")
	require.NoError(t, os.WriteFile(old, bytes.ReplaceAll(shop, []byte("10.0.2.20"), []byte("10.0.2.21")), 0o644))
	require.Contains(t, output(t, 0, "-diff", old), "# changed: shop/cart:redis/tcp\n")
	require.Contains(t, output(t, 0, "-diff", old, "-mode", "iptables"), "--to-destination 10.0.2.20:6379")
	require.NoError(t, os.WriteFile(old, shop, 0o644))
	require.Empty(t, output(t, 0, "-diff", old))
}

func TestRefusals(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	require.NoError(t, os.WriteFile(bad, []byte("apiVersion: v1\nkind: Service\nmetadata: {namespace: a, name: b}\nspec: {clusterIP: 1.2.3.4, ports: [{port: 99999}]}\n"), 0o644))
	for want, args := range map[string][]string{
		`spec.ports[0].port: "99999": expected`: {"-f", bad},
		`-mode "ipvs"`:                          {"-mode", "ipvs"},
		`unexpected argument "x"`:               {"x"},
		`-trace "tcp a"`:                        {"-trace", "tcp a"},
		`-trace: "icmp"`:                        {"-trace", "icmp 1.2.3.4:1 -> 1.2.3.4:2"},
		`-node "nowhere"`:                       {"-node", "nowhere"},
		`-lint and -trace: only one`:            {"-lint", "-trace", "x"},
		`-live and -f:`:                         {"-live", "-f", bad},
		`no such file`:                          {"-f", "/nonexistent"},
		`-node-ips: `:                           {"-node-ips", "1.2.3"},
	} {
		require.Contains(t, output(t, 2, args...), want)
	}
}

// What is skipped is counted; nothing is skipped without a word.
func TestSkippedKinds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "all.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`---
apiVersion: v1
kind: Service
metadata: {namespace: a, name: b}
spec: {clusterIP: 1.2.3.4, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Endpoints}
- {apiVersion: v1, kind: Endpoints}
- {apiVersion: v1, kind: List, items: []}
---
apiVersion: v1
kind: ServiceList
items:
- {metadata: {namespace: a, name: c}, spec: {clusterIP: 1.2.3.5, ports: [{port: 80}]}}
`), 0o644))
	out := output(t, 0, "-f", file)
	require.Contains(t, out, "all.yaml: skipped 1 of kind apps/v1 Deployment\n")
	require.Contains(t, out, "all.yaml: skipped 2 of kind v1 Endpoints\n")
	require.Equal(t, 2, strings.Count(out, "skipped"))
	require.Contains(t, out, "1.2.3.4 . tcp . 80 : goto reject-chain, 1.2.3.5 . tcp . 80 : goto reject-chain")
	require.Equal(t, 4, strings.Count(output(t, 0, "-f", file, "-diff", file), "skipped"))
	require.NoError(t, os.WriteFile(file, []byte("hello: world\n"), 0o644))
	require.Contains(t, output(t, 2, "-f", file), `apiVersion "", kind "": expected an object`)
}

// The demonstration with real packets, where that is possible.
func TestLive(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	for mode, tool := range map[string]string{"nft": "nft", "iptables": "iptables-restore"} {
		t.Run(mode, func(t *testing.T) {
			for _, needed := range []string{tool, "ip", "sysctl"} {
				if _, err := exec.LookPath(needed); err != nil {
					t.Skipf("needs %s", needed)
				}
			}
			out := output(t, 0, "-live", "-mode", mode)
			require.Contains(t, out, "the kernel did what Trace says, every time")
			require.NotContains(t, out, "DIFFERS")
			require.Greater(t, strings.Count(out, "\n"), 10)
		})
	}
}
