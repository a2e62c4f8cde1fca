package raftstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/raftstore"
)

// memoryRow is the resident set of a process that has put so many keys into a cluster
// of one member, or that has opened one which holds them: as the kernel counts it, with
// the pages of mapped files, two seconds after the last write or the first read. Both
// run with the garbage collector's defaults. Each side is a process of its own, this
// program again.
func memoryRow(keys int, restarted bool) measure.Row {
	name, how := "memory", "load"
	if restarted {
		name, how = "memory-restarted", "restart"
	}
	return measure.Row{Name: fmt.Sprintf("%s/keys=%d", name, keys), Unit: "MiB", Open: func() (*measure.Pair, error) {
		var counts [2]int
		side := func(i int, who string) measure.Side {
			return func() (measure.Sample, error) {
				mib, n, err := residentSet(who, how, keys)
				counts[i] = n
				return measure.Sample{Value: mib}, err
			}
		}
		return &measure.Pair{Ours: side(0, "ours"), Peer: side(1, "etcd"), Check: func() error {
			if counts[0] != keys || counts[1] != keys {
				return fmt.Errorf("ours holds %d keys, etcd %d, want %d", counts[0], counts[1], keys)
			}
			return nil
		}}, nil
	}}
}

// childVariable asks a program to be a side of memoryRow: who, how, keys, directory.
const childVariable = "ORCHCORE_RATIOS_MEMORY"

// residentSet runs a side and returns its resident set in MiB and how many keys it
// counted.
func residentSet(who, how string, keys int) (mib float64, count int, err error) {
	dir, err := os.MkdirTemp("", "ratios-memory")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	runs := []string{"load"}
	if how == "restart" {
		runs = append(runs, "open")
	}
	for _, run := range runs {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d %s", childVariable, who, run, keys, dir))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return 0, 0, fmt.Errorf("%s, %s: %w", who, run, err)
		}
		if _, err := fmt.Sscan(string(out), &mib, &count); err != nil {
			return 0, 0, fmt.Errorf("%s, %s: printed %q: %w", who, run, out, err)
		}
	}
	return mib, count, nil
}

// Child reports whether this process is a side of memoryRow, and if so, runs it.
func Child() (exit int, child bool) {
	task := os.Getenv(childVariable)
	if task == "" {
		return 0, false
	}
	if err := runChild(task); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

func runChild(task string) error {
	var who, run, dir string
	var keys int
	if _, err := fmt.Sscan(task, &who, &run, &keys, &dir); err != nil {
		return fmt.Errorf("%s is %q: %w", childVariable, task, err)
	}
	open := map[string]func(string) (sole, error){"ours": openSoleOurs, "etcd": openSoleEtcd}[who]
	if open == nil {
		return fmt.Errorf("unknown side %q", who)
	}
	s, err := open(dir)
	if err != nil {
		return err
	}
	defer s.close()
	if run == "load" {
		if err := fillBatches(keys, s.putMany); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	count, err := s.total(ctx)
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	rss, err := ownResidentSet()
	if err != nil {
		return err
	}
	fmt.Println(rss, count)
	return nil
}

// sole is a cluster of one member in this process.
type sole struct {
	putMany func(ctx context.Context, from, to int) error
	get     func(ctx context.Context, key []byte) (int, error)
	total   func(ctx context.Context) (int64, error)
	close   func()
}

func openSoleOurs(dir string) (sole, error) {
	s, err := raftstore.Open(filepath.Join(dir, "ours"), raftstore.Config{})
	if err != nil {
		return sole{}, err
	}
	c := &ourCluster{leader: s, stores: []*raftstore.Store{s}}
	return sole{c.putMany, c.get, c.total, c.stop}, nil
}

func openSoleEtcd(dir string) (sole, error) {
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(dir, "etcd")
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	peer, err := freeURL()
	if err != nil {
		return sole{}, err
	}
	client, err := freeURL()
	if err != nil {
		return sole{}, err
	}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return sole{}, err
	}
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(startTimeout):
		e.Close()
		return sole{}, errors.New("etcd does not start")
	}
	c := &etcdCluster{leader: e, members: []*embed.Etcd{e}}
	return sole{c.putMany, etcdDirect{e.Server}.get, c.total, c.stop}, nil
}

// ownResidentSet returns this process's resident set in MiB.
func ownResidentSet() (float64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return float64(kib) / 1024, err
		}
	}
	return 0, errors.Join(errors.New("/proc/self/status has no VmRSS"), lines.Err())
}
