package etcdapi

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	kubeBinaries = flag.String("kube-binaries", os.Getenv("KUBE_BINARIES"),
		"`directory` of kube-apiserver, kube-controller-manager and kube-scheduler 1.36")
	kubeRounds  = flag.Int("kube-rounds", 3, "number of deployments that TestKube times")
	kubeObjects = flag.Int("kube-objects", 10_000, "number of objects that TestKube creates, lists, watches and deletes; 0 is only to time deployments")
)

type object = map[string]any

const (
	kubeNodes = 50
	kubePods  = 300
)

// TestKube runs Kubernetes on three members of this store, and on three of etcd for
// comparison.
func TestKube(t *testing.T) {
	if *kubeBinaries == "" {
		t.Skip("SKIPPED: Kubernetes on this store. Build kube-apiserver, kube-controller-manager and kube-scheduler from k8s.io/kubernetes v1.36.3 and name their directory with -kube-binaries or KUBE_BINARIES")
	}
	t.Run("ours", func(t *testing.T) {
		dir := t.TempDir()
		s := startStore(t, dir)
		k := startKube(t, dir, *kubeBinaries, s.endpoints())
		k.place()
		if *kubeObjects > 0 {
			k.loseLeader(s)
			k.manyObjects(*kubeObjects)
		}
	})
	t.Run("etcd", func(t *testing.T) {
		dir := t.TempDir()
		k := startKube(t, dir, *kubeBinaries, startEtcdCluster(t, 3))
		k.place()
		if *kubeObjects > 0 {
			k.manyObjects(*kubeObjects)
		}
	})
}

// place creates nodes and a deployment and waits until every pod has a node.
func (k *kube) place() {
	k.t.Helper()
	for i := range kubeNodes {
		name := fmt.Sprint("node-", i)
		size := object{"cpu": "8", "memory": "32Gi", "pods": "110"}
		k.must("POST", "/api/v1/nodes", object{
			"apiVersion": "v1", "kind": "Node", "metadata": object{"name": name, "labels": object{"kubernetes.io/hostname": name}},
			"status": object{"capacity": size, "allocatable": size, "conditions": []object{{"type": "Ready", "status": "True"}}},
		})
	}
	k.awaitController()
	for i := range *kubeRounds {
		start := time.Now()
		name := fmt.Sprint("web-", i)
		k.must("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(name, kubePods))
		k.awaitPods("app="+name, kubePods)
		k.t.Logf("%d pods of a deployment were placed on %d nodes in %v", kubePods, kubeNodes, time.Since(start).Round(10*time.Millisecond))
	}
}

// awaitController waits until controllers and scheduler have been elected: one pod
// of a small deployment is placed.
func (k *kube) awaitController() {
	k.must("POST", "/apis/apps/v1/namespaces/default/deployments", deployment("first", 1))
	k.awaitPods("app=first", 1)
}

func deployment(name string, replicas int) object {
	labels := object{"app": name}
	return object{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object{"name": name},
		"spec": object{"replicas": replicas, "selector": object{"matchLabels": labels}, "template": object{
			"metadata": object{"labels": labels},
			"spec": object{"containers": []object{{
				"name": "c", "image": "example.com/c", "resources": object{"requests": object{"cpu": "100m", "memory": "64Mi"}},
			}}},
		}},
	}
}

// awaitPods waits until n pods exist and each has a node.
func (k *kube) awaitPods(selector string, n int) {
	k.t.Helper()
	var placed, total int
	require.Eventually(k.t, func() bool {
		status, text := k.try("GET", "/api/v1/namespaces/default/pods?labelSelector="+url.QueryEscape(selector), nil)
		if status != http.StatusOK {
			return false
		}
		var list struct {
			Items []struct {
				Spec struct {
					NodeName string `json:"nodeName"`
				} `json:"spec"`
			} `json:"items"`
		}
		if json.Unmarshal(text, &list) != nil {
			return false
		}
		placed, total = 0, len(list.Items)
		for _, p := range list.Items {
			if p.Spec.NodeName != "" {
				placed++
			}
		}
		return placed == n && total == n
	}, 3*time.Minute, 50*time.Millisecond, "%d pods of %s have no node", n, selector)
}

// loseLeader kills the member that leads while pods are being placed, and again when
// it is back and another one leads.
func (k *kube) loseLeader(s *storeProcesses) {
	k.t.Helper()
	for round := range 2 {
		leader := s.leader()
		start := time.Now()
		n := kubePods + 100*(round+1)
		k.must("PATCH", "/apis/apps/v1/namespaces/default/deployments/web-0", object{"spec": object{"replicas": n}})
		s.members[leader].stop(syscall.SIGKILL)
		k.awaitPods("app=web-0", n)
		k.t.Logf("member %d, which led, was killed; 100 more pods were placed after %v", leader, time.Since(start).Round(10*time.Millisecond))
		s.start(leader)
	}
}

// manyObjects creates, lists, watches and deletes objects.
func (k *kube) manyObjects(n int) {
	k.t.Helper()
	const path = "/api/v1/namespaces/many/configmaps"
	k.must("POST", "/api/v1/namespaces", object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": "many"}})
	w := k.watch(path)
	start := time.Now()
	k.parallel(n, func(i int) error {
		_, err := k.do("POST", path, object{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": fmt.Sprint("cm-", i)},
			"data": object{"text": fmt.Sprintf("%0200d", i)},
		})
		return err
	})
	created := time.Since(start)
	w.await(n, 0)
	start = time.Now()
	require.Equal(k.t, n, k.list(path))
	listed := time.Since(start)
	start = time.Now()
	k.parallel(n, func(i int) error {
		_, err := k.do("DELETE", fmt.Sprint(path, "/cm-", i), nil)
		return err
	})
	deleted := time.Since(start)
	w.await(n, n)
	require.Zero(k.t, k.list(path))
	k.t.Logf("%d objects were created in %v, listed in %v, deleted in %v, and a watch, resumed %d times, saw all of it", n,
		created.Round(10*time.Millisecond), listed.Round(10*time.Millisecond), deleted.Round(10*time.Millisecond), w.resumed)
}

func (k *kube) parallel(n int, do func(i int) error) {
	k.t.Helper()
	var wg sync.WaitGroup
	next, failed := make(chan int), make(chan error, 32)
	for range 32 {
		wg.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	var err error
	for i := 0; i < n && err == nil; i++ {
		select {
		case next <- i:
		case err = <-failed:
		}
	}
	close(next)
	wg.Wait()
	require.NoError(k.t, err)
	require.Empty(k.t, failed)
}

// list counts in pages of 500, as kubectl asks for them.
func (k *kube) list(path string) int {
	k.t.Helper()
	n, next := 0, ""
	for {
		var page struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []struct {
				Metadata struct {
					Name string `json:"name"`
				} `json:"metadata"`
			} `json:"items"`
		}
		require.NoError(k.t, json.Unmarshal(k.must("GET", path+"?limit=500&continue="+url.QueryEscape(next), nil), &page))
		n += len(page.Items)
		if next = page.Metadata.Continue; next == "" {
			return n
		}
	}
}

// watcher counts the events of a collection. Like every client of Kubernetes it goes
// on from the last version that it saw when kube-apiserver ends a watch, which it
// does with clients that are slow.
type watcher struct {
	k       *kube
	path    string
	mu      sync.Mutex
	counts  map[string]int
	names   map[string]int // events by name: two each
	version string
	resumed int
	err     error
}

func (k *kube) watch(path string) *watcher {
	k.t.Helper()
	w := &watcher{k: k, path: path, counts: map[string]int{}, names: map[string]int{}}
	var list struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	require.NoError(k.t, json.Unmarshal(k.must("GET", path+"?limit=1", nil), &list))
	w.version = list.Metadata.ResourceVersion
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	k.t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := w.read(ctx); err != nil {
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
				return
			}
		}
	}()
	return w
}

// read follows the collection until the watch is ended. An error is one that ends
// the watcher.
func (w *watcher) read(ctx context.Context) error {
	res, err := w.k.open(ctx, "GET", w.path+"?watch=1&resourceVersion="+w.version, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("watch from %s: %s", w.version, res.Status)
	}
	for d := json.NewDecoder(bufio.NewReaderSize(res.Body, 1<<20)); ; {
		var e struct {
			Type   string `json:"type"`
			Object struct {
				Message  string `json:"message"`
				Metadata struct {
					Name            string `json:"name"`
					ResourceVersion string `json:"resourceVersion"`
				} `json:"metadata"`
			} `json:"object"`
		}
		if err := d.Decode(&e); err != nil {
			w.mu.Lock()
			w.resumed++
			w.mu.Unlock()
			return nil
		}
		if e.Type == "ERROR" {
			return fmt.Errorf("watch from %s: %s", w.version, e.Object.Message)
		}
		w.mu.Lock()
		w.counts[e.Type]++
		w.names[e.Object.Metadata.Name]++
		w.version = e.Object.Metadata.ResourceVersion
		w.mu.Unlock()
	}
}

func (w *watcher) await(added, deleted int) {
	w.k.t.Helper()
	ok := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.counts["ADDED"] == added && w.counts["DELETED"] == deleted
	}
	for deadline := time.Now().Add(time.Minute); !ok() && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Equal(w.k.t, [2]int{added, deleted}, [2]int{w.counts["ADDED"], w.counts["DELETED"]}, "added and deleted; %v, resumed %d times, %v", w.counts, w.resumed, w.err)
	require.Len(w.k.t, w.names, added)
}
