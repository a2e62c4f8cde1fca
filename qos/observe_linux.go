package qos

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A LinuxNode reads the statistics of the machine it runs on, as far as a
// kubelet's summary has them for the node itself. It understands cgroup v1 and
// v2. The zero value reads the running system.
type LinuxNode struct {
	// Root is where /proc and /sys are found; "" is "/".
	Root string
	// NodeFS is a path on the node's own file system; "" is Root.
	NodeFS string
	// ImageFS is a path on the file system of container images; "" is none of
	// its own.
	ImageFS string
	// PodsCgroup is the cgroup of all pods below the (memory) hierarchy, such as
	// "kubepods" or "kubepods.slice"; "" is none.
	PodsCgroup string
}

// Summary measures the node at a time. What cannot be measured is an error that
// names the file; what is merely absent (PSI, the cgroup of pods) is left out.
func (n LinuxNode) Summary(now time.Time) (*Summary, error) {
	memory, err := n.nodeMemory(now)
	if err != nil {
		return nil, err
	}
	rlimit, err := n.rlimit(now)
	if err != nil {
		return nil, err
	}
	nodeFS := n.NodeFS
	if nodeFS == "" {
		nodeFS = n.path()
	}
	s := &Summary{Node: NodeStats{Memory: memory, Rlimit: rlimit}}
	if s.Node.FS, err = statFS(nodeFS, now); err != nil {
		return nil, err
	}
	s.Node.Runtime = &RuntimeStats{ImageFS: s.Node.FS, ContainerFS: s.Node.FS}
	if n.ImageFS != "" {
		if s.Node.Runtime.ImageFS, err = statFS(n.ImageFS, now); err != nil {
			return nil, err
		}
		s.Node.Runtime.ContainerFS = s.Node.Runtime.ImageFS
	}
	if n.PodsCgroup != "" {
		m, err := CgroupMemory(n.memoryCgroup(n.PodsCgroup), now)
		if err != nil {
			return nil, err
		}
		s.Node.SystemContainers = []ContainerStats{{Name: podsContainer, Memory: m}}
	}
	return s, nil
}

func (n LinuxNode) path(elements ...string) string {
	root := n.Root
	if root == "" {
		root = "/"
	}
	return filepath.Join(append([]string{root}, elements...)...)
}

// memoryCgroup returns the directory of a memory cgroup, in the hierarchy of
// its own that v1 has or in the one of v2.
func (n LinuxNode) memoryCgroup(name string) string {
	v1 := n.path("sys/fs/cgroup/memory")
	if _, err := os.Stat(filepath.Join(v1, "memory.usage_in_bytes")); err == nil {
		return filepath.Join(v1, name)
	}
	return n.path("sys/fs/cgroup", name)
}

// nodeMemory returns the working set of the whole machine: what is used, less
// the file cache that nobody has touched lately. Where the root cgroup does not
// count its use (v2) it is what is not free.
func (n LinuxNode) nodeMemory(now time.Time) (*MemoryStats, error) {
	info, err := keyedFile(n.path("proc/meminfo"))
	if err != nil {
		return nil, err
	}
	total, ok := info["MemTotal:"]
	if !ok {
		return nil, fmt.Errorf("%s: no MemTotal", n.path("proc/meminfo"))
	}
	total = kibibytes(total)
	usage, inactive, err := cgroupUse(n.memoryCgroup(""))
	if errors.Is(err, fs.ErrNotExist) {
		free := kibibytes(info["MemFree:"])
		usage, inactive = total-min(free, total), kibibytes(info["Inactive(file):"])
	} else if err != nil {
		return nil, err
	}
	working := usage - min(inactive, usage)
	available := total - min(working, total)
	m := &MemoryStats{Time: now, WorkingSetBytes: &working, AvailableBytes: &available}
	m.PSI, err = readPSI(n.path("proc/pressure/memory"))
	return m, err
}

func kibibytes(n uint64) uint64 { return min(n, math.MaxUint64>>10) << 10 }

// CgroupMemory returns the memory of one cgroup, given by its directory. What
// is available is the limit less the working set; without a limit it is
// missing.
func CgroupMemory(dir string, now time.Time) (*MemoryStats, error) {
	usage, inactive, err := cgroupUse(dir)
	if err != nil {
		return nil, err
	}
	working := usage - min(inactive, usage)
	m := &MemoryStats{Time: now, WorkingSetBytes: &working}
	limit, limited, err := cgroupLimit(dir)
	if err != nil {
		return nil, err
	}
	if limited {
		available := limit - min(working, limit)
		m.AvailableBytes = &available
	}
	m.PSI, err = readPSI(filepath.Join(dir, "memory.pressure"))
	return m, err
}

// cgroupUse returns the memory charged to a cgroup, and how much of it is file
// cache that nobody has touched lately.
func cgroupUse(dir string) (usage, inactive uint64, err error) {
	file, key := "memory.current", "inactive_file"
	usage, err = numberFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		file, key = "memory.usage_in_bytes", "total_inactive_file"
		usage, err = numberFile(filepath.Join(dir, file))
	}
	if err != nil {
		return 0, 0, err
	}
	stat, err := keyedFile(filepath.Join(dir, "memory.stat"))
	return usage, stat[key], err
}

// cgroupLimit returns the memory limit of a cgroup, if it has one.
func cgroupLimit(dir string) (limit uint64, limited bool, err error) {
	text, err := readSmall(filepath.Join(dir, "memory.max"))
	if err == nil && strings.TrimSpace(text) == "max" {
		return 0, false, nil
	}
	file := "memory.max"
	if errors.Is(err, fs.ErrNotExist) {
		file = "memory.limit_in_bytes"
	} else if err != nil {
		return 0, false, err
	}
	limit, err = numberFile(filepath.Join(dir, file))
	// v1 writes no limit as the largest number of whole pages.
	return limit, err == nil && limit < math.MaxInt64-1<<20, err
}

func (n LinuxNode) rlimit(now time.Time) (*RlimitStats, error) {
	most, err := numberFile(n.path("proc/sys/kernel/pid_max"))
	if err != nil {
		return nil, err
	}
	threads, err := numberFile(n.path("proc/sys/kernel/threads-max"))
	if err != nil {
		return nil, err
	}
	load, err := readSmall(n.path("proc/loadavg"))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(load) // 0.01 0.02 0.03 RUNNING/ALL LAST
	if len(fields) < 4 {
		return nil, fmt.Errorf("%s: %q: want at least four fields", n.path("proc/loadavg"), load)
	}
	_, all, _ := strings.Cut(fields[3], "/")
	running, err := strconv.ParseInt(all, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s: %q: want running/all: %w", n.path("proc/loadavg"), fields[3], err)
	}
	limit := int64(min(most, threads, math.MaxInt64))
	return &RlimitStats{Time: now, MaxPID: &limit, Running: &running}, nil
}

// statFS returns the space and inodes of the file system that holds a path.
func statFS(path string, now time.Time) (*FSStats, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return nil, fmt.Errorf("statfs %s: %w", path, err)
	}
	size := uint64(st.Bsize)
	capacity, available, used := st.Blocks*size, st.Bavail*size, (st.Blocks-st.Bfree)*size
	inodes, free := st.Files, st.Ffree
	taken := inodes - free
	return &FSStats{Time: now, CapacityBytes: &capacity, AvailableBytes: &available, UsedBytes: &used,
		Inodes: &inodes, InodesFree: &free, InodesUsed: &taken}, nil
}

// readPSI reads a pressure file; a kernel without PSI has none.
func readPSI(path string) (*PSI, error) {
	text, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var psi PSI
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		shares := map[string]*PSIShares{"some": &psi.Some, "full": &psi.Full}[kind]
		if shares == nil {
			continue
		}
		if _, err := fmt.Sscanf(rest, "avg10=%g avg60=%g avg300=%g total=%d", &shares.Avg10, &shares.Avg60, &shares.Avg300, &shares.Total); err != nil {
			return nil, fmt.Errorf("%s: %q: want avg10= avg60= avg300= total=: %w", path, rest, err)
		}
	}
	return &psi, nil
}

// keyedFile reads a file with a name and a number in each line; what follows
// the number, and lines of another shape, do not matter.
func keyedFile(path string) (map[string]uint64, error) {
	text, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	out := map[string]uint64{}
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) >= 2 {
			if v, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
				out[fields[0]] = v
			}
		}
	}
	return out, nil
}

func numberFile(path string) (uint64, error) {
	text, err := readSmall(path)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %q: want a number: %w", path, strings.TrimSpace(text), err)
	}
	return v, nil
}

// readSmall reads a file of the kernel's, which has no size to ask for.
func readSmall(path string) (string, error) {
	const most = 1 << 20
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s: more than %d bytes", path, most)
	}
	return string(data), err
}
