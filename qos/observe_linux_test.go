package qos

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/qos/resource"
)

// fakeRoot writes files below a directory that stands for "/".
func fakeRoot(t *testing.T, files map[string]string) string {
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return root
}

var procFiles = map[string]string{
	"proc/meminfo":                "MemTotal:       1000 kB\nMemFree:         300 kB\nInactive(file):  100 kB\nHugePages_Total:       0\n",
	"proc/sys/kernel/pid_max":     "32768\n",
	"proc/sys/kernel/threads-max": "1000\n",
	"proc/loadavg":                "0.52 0.58 0.59 3/400 12345\n",
	"proc/pressure/memory":        "some avg10=1.50 avg60=0.20 avg300=0.03 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=56\n",
}

func with(files map[string]string, more map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{files, more} {
		for name, text := range m {
			out[name] = text
		}
	}
	return out
}

func TestLinuxNodeV2(t *testing.T) {
	root := fakeRoot(t, with(procFiles, map[string]string{
		"sys/fs/cgroup/memory.stat":                     "inactive_file 5\n",
		"sys/fs/cgroup/kubepods.slice/memory.current":   "5000\n",
		"sys/fs/cgroup/kubepods.slice/memory.stat":      "anon 1000\ninactive_file 2000\n",
		"sys/fs/cgroup/kubepods.slice/memory.max":       "8000\n",
		"sys/fs/cgroup/kubepods.slice/x/memory.current": "10\n",
		"sys/fs/cgroup/kubepods.slice/x/memory.stat":    "inactive_file 20\n",
		"sys/fs/cgroup/kubepods.slice/x/memory.max":     "max\n",
	}))
	s, err := LinuxNode{Root: root, PodsCgroup: "kubepods.slice"}.Summary(epoch)
	require.NoError(t, err)
	o := Observe(s)
	memory, ok := o.Of(MemoryAvailable)
	require.True(t, ok)
	require.Equal(t, "1000Ki", memory.Capacity.String())
	require.Equal(t, "400Ki", memory.Available.String(), "300 free and 100 of idle file cache")
	require.Equal(t, PSIShares{Total: 1234, Avg10: 1.5, Avg60: 0.2, Avg300: 0.03}, s.Node.Memory.PSI.Some)
	pods, ok := o.Of(AllocatableMemoryAvailable)
	require.True(t, ok)
	require.Equal(t, "8k", pods.Capacity.WithFormat(resource.DecimalSI).String())
	require.Equal(t, int64(5000), pods.Available.Value())
	pids, _ := o.Of(PIDAvailable)
	require.Equal(t, []int64{1000, 600}, []int64{pids.Capacity.Value(), pids.Available.Value()})
	for _, signal := range []Signal{NodeFSAvailable, NodeFSInodesFree, ImageFSAvailable, ContainerFSAvailable} {
		_, ok := o.Of(signal)
		require.True(t, ok, signal)
	}

	m, err := CgroupMemory(filepath.Join(root, "sys/fs/cgroup/kubepods.slice/x"), epoch)
	require.NoError(t, err)
	require.Zero(t, *m.WorkingSetBytes, "never negative")
	require.Nil(t, m.AvailableBytes, "no limit")
}

func TestLinuxNodeV1(t *testing.T) {
	root := fakeRoot(t, with(procFiles, map[string]string{
		"sys/fs/cgroup/memory/memory.usage_in_bytes":          "512000\n",
		"sys/fs/cgroup/memory/memory.stat":                    "inactive_file 1\ntotal_inactive_file 102400\n",
		"sys/fs/cgroup/memory/kubepods/memory.usage_in_bytes": "4096\n",
		"sys/fs/cgroup/memory/kubepods/memory.stat":           "total_inactive_file 0\n",
		"sys/fs/cgroup/memory/kubepods/memory.limit_in_bytes": "9223372036854771712\n",
	}))
	s, err := LinuxNode{Root: root, PodsCgroup: "kubepods"}.Summary(epoch)
	require.NoError(t, err)
	require.EqualValues(t, 409600, *s.Node.Memory.WorkingSetBytes)
	require.EqualValues(t, 1024000-409600, *s.Node.Memory.AvailableBytes)
	require.EqualValues(t, 4096, *s.Node.SystemContainers[0].Memory.WorkingSetBytes)
	require.Nil(t, s.Node.SystemContainers[0].Memory.AvailableBytes, "v1's largest number is no limit")
	o := Observe(s)
	_, ok := o.Of(AllocatableMemoryAvailable)
	require.False(t, ok, "without a limit there is nothing to run out")
}

func TestLinuxNodeErrors(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"meminfo: no MemTotal":                     {"proc/meminfo": "MemFree: 1 kB\n"},
		`pid_max: "many": want a number`:           {"proc/sys/kernel/pid_max": "many\n"},
		`loadavg: "1 2": want at least`:            {"proc/loadavg": "1 2"},
		`loadavg: "3": want running/all`:           {"proc/loadavg": "0 0 0 3 4"},
		`memory: "avg10=x`:                         {"proc/pressure/memory": "some avg10=x\n"},
		`memory.usage_in_bytes: "": want a number`: {"sys/fs/cgroup/memory/memory.usage_in_bytes": "\n"},
	} {
		_, err := LinuxNode{Root: fakeRoot(t, with(procFiles, files))}.Summary(epoch)
		require.ErrorContains(t, err, want)
	}
	_, err := LinuxNode{Root: t.TempDir()}.Summary(epoch)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = LinuxNode{NodeFS: "/does/not/exist"}.Summary(epoch)
	require.ErrorContains(t, err, "statfs /does/not/exist")
	_, err = CgroupMemory(t.TempDir(), epoch)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// The machine that the test runs on can be read.
func TestThisMachine(t *testing.T) {
	s, err := LinuxNode{}.Summary(time.Now())
	require.NoError(t, err)
	o := Observe(s)
	for _, signal := range []Signal{MemoryAvailable, NodeFSAvailable, PIDAvailable} {
		got, ok := o.Of(signal)
		require.True(t, ok)
		require.Positive(t, got.Capacity.Sign(), signal)
		require.LessOrEqual(t, got.Available.Cmp(got.Capacity), 0, signal)
	}
}
