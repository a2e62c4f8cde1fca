package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
)

// The node that -live plays: a cgroup with a limit of its own, so that nothing
// outside can run short.
const (
	liveCapacity  = 256 << 20
	liveThreshold = "64Mi"
	liveStep      = 100 * time.Millisecond
	liveDeadline  = 30 * time.Second
)

// livePods are the processes: what they request, and what they come to use.
// Together they use more than the threshold leaves.
var livePods = []struct {
	name, request, limit string
	useMiB               int
	priority             int32
}{
	{"steady", "96Mi", "96Mi", 40, 0},
	{"modest", "32Mi", "", 48, 0},
	{"greedy", "16Mi", "", 80, 100},
	{"hungry", "16Mi", "", 64, 0},
	{"vital", "8Mi", "", 32, qos.SystemCriticalPriority},
}

// process is a pod of -live: a cgroup with one process in it.
type process struct {
	pod    *qos.Pod
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// live starts the processes, lets them use memory until a threshold is crossed,
// evicts whom the evictor names, and checks that against the prediction.
func live(w io.Writer) (err error) {
	parent, err := ownMemoryCgroup()
	if err != nil {
		return err
	}
	root := filepath.Join(parent, fmt.Sprintf("orchcore-evict-%d", os.Getpid()))
	if err := makeCgroup(root, liveCapacity); err != nil {
		return fmt.Errorf("memory cgroups cannot be made here: %w", err)
	}
	var processes []*process
	defer func() { err = errors.Join(err, cleanUp(root, processes)) }()
	fmt.Fprintf(w, "A node of %v in %s; it evicts below %s.\n\n", mebibytes(liveCapacity), root, liveThreshold)
	for i := range livePods {
		p, err := startProcess(root, i)
		if p != nil {
			processes = append(processes, p)
		}
		if err != nil {
			return err
		}
	}
	predicted, err := predict(w, processes)
	if err != nil {
		return err
	}
	evicted, err := watch(w, root, processes)
	if err != nil {
		return err
	}
	if evicted != predicted {
		return wrongVictimError{predicted, evicted}
	}
	fmt.Fprintf(w, "\n%s went first, as predicted.\n", evicted)
	return nil
}

func mebibytes(bytes int64) resource.Quantity {
	return resource.NewInt(bytes).WithFormat(resource.BinarySI)
}

// ownMemoryCgroup returns the directory of the memory cgroup that this process
// is in, or whose children it may make.
func ownMemoryCgroup() (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	own := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); len(fields) == 3 {
			own[fields[1]] = fields[2]
		}
	}
	if path, ok := own["memory"]; ok {
		return filepath.Join("/sys/fs/cgroup/memory", path), nil
	}
	// Under v2 a cgroup with processes cannot have children with controllers, so
	// the node becomes a sibling.
	return filepath.Join("/sys/fs/cgroup", filepath.Dir(own[""])), nil
}

// makeCgroup makes a memory cgroup with a limit; v1 and v2 differ in the file.
func makeCgroup(dir string, limit int64) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if limit <= 0 {
		return nil
	}
	text := []byte(strconv.FormatInt(limit, 10))
	if _, err := os.Stat(filepath.Join(dir, "memory.max")); err == nil {
		return os.WriteFile(filepath.Join(dir, "memory.max"), text, 0o644)
	}
	if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), text, 0o644); err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	return nil
}

// livePod returns the pod that the i-th process plays, and its cgroup.
func livePod(i int) (*qos.Pod, qos.Cgroup, error) {
	spec := livePods[i]
	requests := fmt.Sprintf(`{"memory":%q,"cpu":"100m"}`, spec.request)
	limits := "{}"
	if spec.limit != "" {
		limits = fmt.Sprintf(`{"memory":%q,"cpu":"100m"}`, spec.limit)
	}
	pod, err := qos.DecodePod(fmt.Appendf(nil, `{"metadata":{"name":%q,"namespace":"live","uid":%q},
		"spec":{"priority":%d,"containers":[{"name":"c","resources":{"requests":%s,"limits":%s}}]}}`, spec.name, spec.name, spec.priority, requests, limits))
	if err != nil {
		return nil, qos.Cgroup{}, err
	}
	g, err := qos.PodCgroup(pod, qos.CgroupConfig{})
	return pod, g, err
}

// startProcess starts the i-th process in a cgroup with the parameters that
// the kubelet would compute.
func startProcess(root string, i int) (*process, error) {
	pod, g, err := livePod(i)
	if err != nil {
		return nil, err
	}
	p := &process{pod: pod, dir: filepath.Join(root, pod.Metadata.Name), exited: make(chan struct{})}
	if err := makeCgroup(p.dir, g.MemoryBytes.Value); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return p, err
	}
	p.cmd = exec.Command(self, hogArgument, strconv.Itoa(livePods[i].useMiB))
	// The process waits for its standard input, until it is in its cgroup.
	input, err := p.cmd.StdinPipe()
	if err != nil {
		return p, err
	}
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return p, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended does not matter: it is always killed
		close(p.exited)
	}()
	score, err := qos.OOMScoreAdj(pod, &pod.Spec.Containers[0], liveCapacity)
	if err != nil {
		return p, err
	}
	pid := strconv.Itoa(p.cmd.Process.Pid)
	err = os.WriteFile(filepath.Join("/proc", pid, "oom_score_adj"), []byte(strconv.Itoa(score)), 0o644)
	if err != nil && !errors.Is(err, os.ErrPermission) { // lowering it takes a privilege; the evictor does without
		return p, err
	}
	if err := os.WriteFile(filepath.Join(p.dir, "cgroup.procs"), []byte(pid), 0o644); err != nil {
		return p, err
	}
	_, err = io.WriteString(input, "go\n")
	return p, err
}

// hog uses so many MiB, a little at a time, and waits to be killed.
func hog(text string) {
	mebibytes, err := strconv.Atoi(text)
	if err != nil {
		os.Exit(2)
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	var held [][]byte
	for range mebibytes {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		held = append(held, block)
		time.Sleep(3 * liveStep / 10)
	}
	time.Sleep(2 * liveDeadline)
	fmt.Fprintln(io.Discard, len(held))
}

// predict says who goes first if all come to use what they are going to.
func predict(w io.Writer, processes []*process) (string, error) {
	var candidates []qos.Candidate
	for i, p := range processes {
		use := uint64(livePods[i].useMiB) << 20
		c := qos.Compile(p.pod)
		c.Observe(&qos.PodStats{Memory: &qos.MemoryStats{WorkingSetBytes: &use}})
		candidates = append(candidates, c)
	}
	fmt.Fprintln(w, "Predicted from what the processes request and will use:")
	if err := qos.WriteTable(w, qos.Explain(candidates, qos.MemoryAvailable, qos.Layout{})); err != nil {
		return "", err
	}
	first := qos.First(candidates, qos.MemoryAvailable, qos.Layout{})
	if first < 0 {
		return "", errors.New("nobody may be evicted")
	}
	return candidates[first].Pod.Metadata.Name, nil
}

// watch makes the evictor's passes over the cgroups until it evicts somebody,
// and kills that process.
func watch(w io.Writer, root string, processes []*process) (string, error) {
	thresholds, err := qos.EvictionSettings{Hard: map[string]string{"memory.available": liveThreshold}}.Thresholds()
	if err != nil {
		return "", err
	}
	evictor, err := qos.NewEvictor(qos.EvictorConfig{Thresholds: thresholds})
	if err != nil {
		return "", err
	}
	fmt.Fprintln(w)
	for start := time.Now(); time.Since(start) < liveDeadline; time.Sleep(liveStep) {
		s, candidates, err := measure(root, processes)
		if err != nil {
			return "", err
		}
		observed := qos.Observe(s)
		d := evictor.Step(time.Now(), observed, candidates)
		o, _ := observed.Of(qos.MemoryAvailable)
		fmt.Fprintf(w, "\r%6.1fs  %s available ", time.Since(start).Seconds(), mebibytes(o.Available.Value()>>20<<20))
		if len(d.Evict) == 0 {
			continue
		}
		x := d.Evict[0]
		fmt.Fprintf(w, "\n\n%v: %s is evicted. %s\n", d.Conditions, x.Pod.Metadata.Name, x.Message)
		return x.Pod.Metadata.Name, endProcess(named(processes, x.Pod.Metadata.Name), time.Duration(x.GracePeriodSeconds)*time.Second)
	}
	return "", fmt.Errorf("no threshold was crossed within %v", liveDeadline)
}

func named(processes []*process, name string) *process {
	for _, p := range processes {
		if p.pod.Metadata.Name == name {
			return p
		}
	}
	return nil
}

// measure reads the cgroup of the node and those of the processes.
func measure(root string, processes []*process) (*qos.Summary, []qos.Candidate, error) {
	now := time.Now()
	memory, err := qos.CgroupMemory(root, now)
	if err != nil {
		return nil, nil, err
	}
	s := &qos.Summary{Node: qos.NodeStats{Memory: memory}}
	var pods []*qos.Pod
	for _, p := range processes {
		m, err := qos.CgroupMemory(p.dir, now)
		if err != nil {
			return nil, nil, err
		}
		name := p.pod.Metadata.Name
		s.Pods = append(s.Pods, qos.PodStats{PodRef: qos.PodReference{UID: name}, Memory: m,
			Containers: []qos.ContainerStats{{Name: "c", Memory: m}}})
		pods = append(pods, p.pod)
	}
	return s, qos.Candidates(pods, s), nil
}

// endProcess asks a process to end, and kills it when the grace period is over.
func endProcess(p *process, grace time.Duration) error {
	if p == nil || p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(grace):
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exited
	return nil
}

// cleanUp ends the processes and removes the cgroups.
func cleanUp(root string, processes []*process) error {
	var errs []error
	for _, p := range processes {
		errs = append(errs, endProcess(p, 0), removeCgroup(p.dir))
	}
	return errors.Join(append(errs, removeCgroup(root))...)
}

// removeCgroup removes a cgroup; its last process may take a moment to leave.
func removeCgroup(dir string) (err error) {
	for range 50 {
		if err = os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
