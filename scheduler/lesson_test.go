package scheduler

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata")

// TestLessons runs the worked examples in testdata. An example is a list of
// commands, and after ---- what the scheduler answers:
//
//	node NAME [cpu=4 memory=8Gi pods=10 zone=a taint=key=value:Effect label:k=v] [JSON of the object]
//	pod NAME on NODE [cpu=1 memory=1Gi label:k=v priority=5] [JSON]   a bound pod
//	namespace NAME [label:k=v] | object KIND JSON | profile JSON
//	schedule NAME [as pod] ...                decides, prints, assumes
//	explain NAME ...                          prints every score, changes nothing
//	advise NAME ...                           prints what would have to change
//	preempt NAME ...                          prints what preemption would do
//	nominate NAME to NODE ...                 a pending pod waits for room
//	remove pod NAME | forget NAME | confirm NAME
//	update NODE ... | cordon NODE | drop NODE
//
// The first comment is the lesson's title.
func TestLessons(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := runLesson(t, string(text))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			require.Equal(t, string(text), got)
		})
	}
}

// lesson is the state of one worked example.
type lesson struct {
	t     *testing.T
	cache *Cache
	sched *Scheduler
	out   strings.Builder
}

// runLesson answers each block of commands anew and returns the whole text.
func runLesson(t *testing.T, text string) string {
	l := &lesson{t: t, cache: NewCache(CacheConfig{})}
	var all strings.Builder
	for block := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n\n") {
		if all.Len() > 0 {
			all.WriteString("\n")
		}
		commands, _, _ := strings.Cut(block, "\n----")
		all.WriteString(commands + "\n")
		l.out.Reset()
		for line := range strings.SplitSeq(commands, "\n") {
			l.command(line)
		}
		if l.out.Len() > 0 {
			all.WriteString("----\n" + l.out.String())
		}
	}
	return all.String()
}

func (l *lesson) scheduler() *Scheduler {
	if l.sched == nil {
		var err error
		l.sched, err = New(Config{Cache: l.cache})
		require.NoError(l.t, err)
	}
	return l.sched
}

func (l *lesson) command(line string) {
	line, _, _ = strings.Cut(line, " #")
	if line == "" || line[0] == '#' {
		return
	}
	words, object := split(line)
	verb, args := words[0], words[1:]
	err := l.do(verb, args, object)
	if err != nil {
		fmt.Fprintf(&l.out, "error: %v\n", err)
	}
}

// split separates the words of a command from the JSON object at its end.
func split(line string) (words []string, object string) {
	if i := strings.IndexByte(line, '{'); i >= 0 {
		line, object = line[:i], line[i:]
	}
	return strings.Fields(line), object
}

func (l *lesson) do(verb string, args []string, object string) error {
	switch verb {
	case "profile":
		p := Profile{}
		require.NoError(l.t, json.Unmarshal([]byte(object), &p))
		var err error
		l.sched, err = New(Config{Cache: l.cache, Profiles: []Profile{p}})
		return err
	case "node":
		return l.cache.AddNode(l.node(args, object))
	case "update":
		return l.cache.UpdateNode(l.node(args, object))
	case "drop":
		return l.cache.RemoveNode(args[0])
	case "cordon":
		n := *l.cache.nodes[args[0]].Node
		n.Spec.Unschedulable = true
		return l.cache.UpdateNode(&n)
	case "pod":
		return l.cache.AddPod(l.pod(args, object))
	case "namespace":
		ns := &Namespace{ObjectMeta: ObjectMeta{Name: args[0], Labels: map[string]string{}}}
		l.words(args[1:], nil, ns.Labels)
		return l.cache.SetNamespace(ns)
	case "object":
		return l.object(args[0], object)
	case "remove":
		return l.cache.RemovePod("", args[1])
	case "forget":
		return l.cache.Forget("", args[0])
	case "confirm":
		return l.cache.Confirm("", args[0])
	case "nominate":
		p := l.pod(append([]string{args[0]}, args[3:]...), object)
		return l.cache.Nominate(p, args[2])
	case "schedule":
		return l.schedule(l.pod(args, object))
	case "explain":
		return l.explain(l.pod(args, object))
	case "advise":
		return l.advise(l.pod(args, object))
	case "preempt":
		return l.preempt(l.pod(args, object))
	}
	l.t.Fatalf("unknown command %q", verb)
	return nil
}

func (l *lesson) object(kind, object string) error {
	decode := func(v any) { require.NoError(l.t, json.Unmarshal([]byte(object), v)) }
	switch kind {
	case "Service":
		var v Service
		decode(&v)
		return l.cache.SetService(&v)
	case "ReplicaSet":
		var v ReplicaSet
		decode(&v)
		return l.cache.SetReplicaSet(&v)
	case "StatefulSet":
		var v StatefulSet
		decode(&v)
		return l.cache.SetStatefulSet(&v)
	case "ReplicationController":
		var v ReplicationController
		decode(&v)
		return l.cache.SetReplicationController(&v)
	case "PodDisruptionBudget":
		var v PodDisruptionBudget
		decode(&v)
		return l.cache.SetPodDisruptionBudget(&v)
	case "PersistentVolumeClaim":
		var v PersistentVolumeClaim
		decode(&v)
		return l.cache.SetPersistentVolumeClaim(&v)
	case "PersistentVolume":
		var v PersistentVolume
		decode(&v)
		return l.cache.SetPersistentVolume(&v)
	case "StorageClass":
		var v StorageClass
		decode(&v)
		return l.cache.SetStorageClass(&v)
	case "CSINode":
		var v CSINode
		decode(&v)
		return l.cache.SetCSINode(&v)
	case "CSIDriver":
		var v CSIDriver
		decode(&v)
		return l.cache.SetCSIDriver(&v)
	case "CSIStorageCapacity":
		var v CSIStorageCapacity
		decode(&v)
		return l.cache.SetCSIStorageCapacity(&v)
	case "VolumeAttachment":
		var v VolumeAttachment
		decode(&v)
		return l.cache.SetVolumeAttachment(&v)
	}
	l.t.Fatalf("unknown kind %q", kind)
	return nil
}

func (l *lesson) node(args []string, object string) *Node {
	n := &Node{ObjectMeta: ObjectMeta{Name: args[0], Labels: map[string]string{LabelHostname: args[0]}}}
	n.Status.Allocatable = resource.List{
		"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("10"),
	}
	for _, w := range l.words(args[1:], n.Status.Allocatable, n.Labels) {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "zone":
			n.Labels[LabelZone] = value
		case "taint":
			taint, effect, _ := strings.Cut(value, ":")
			k, v, _ := strings.Cut(taint, "=")
			n.Spec.Taints = append(n.Spec.Taints, Taint{k, v, effect})
		default:
			l.t.Fatalf("node: %q", w)
		}
	}
	if object != "" {
		require.NoError(l.t, json.Unmarshal([]byte(object), n))
	}
	return n
}

func (l *lesson) pod(args []string, object string) *Pod {
	p := &Pod{ObjectMeta: ObjectMeta{Name: args[0], UID: args[0], Labels: map[string]string{}}}
	requests := resource.List{}
	p.Spec.Containers = []Container{{Name: "main", Resources: ResourceRequirements{Requests: requests}}}
	rest := args[1:]
	if len(rest) > 1 && rest[0] == "on" {
		p.Spec.NodeName, rest = rest[1], rest[2:]
	}
	for _, w := range l.words(rest, requests, p.Labels) {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "priority":
			var n int32
			_, err := fmt.Sscan(value, &n)
			require.NoError(l.t, err)
			p.Spec.Priority = &n
		case "namespace":
			p.Namespace = value
		case "tolerates":
			taint, effect, _ := strings.Cut(value, ":")
			k, v, equal := strings.Cut(taint, "=")
			tol := Toleration{Key: k, Value: v, Effect: effect}
			if !equal {
				tol.Operator = "Exists"
			}
			p.Spec.Tolerations = append(p.Spec.Tolerations, tol)
		default:
			l.t.Fatalf("pod: %q", w)
		}
	}
	if object != "" {
		require.NoError(l.t, json.Unmarshal([]byte(object), p))
	}
	return p
}

// words takes the labels and amounts out of a list of words and returns the
// others.
func (l *lesson) words(list []string, amounts resource.List, labels map[string]string) (rest []string) {
	for _, w := range list {
		key, value, ok := strings.Cut(w, "=")
		require.True(l.t, ok, "want key=value: %q", w)
		if label, ok := strings.CutPrefix(key, "label:"); ok {
			labels[label] = value
			continue
		}
		if key == "cpu" || key == "memory" || key == "pods" || strings.ContainsAny(key, "/-") {
			q, err := resource.Parse(value)
			require.NoError(l.t, err)
			amounts[key] = q
			continue
		}
		rest = append(rest, w)
	}
	return rest
}

func (l *lesson) schedule(p *Pod) error {
	placement, err := l.scheduler().Schedule(p)
	var fit *FitError
	if errors.As(err, &fit) {
		fmt.Fprintf(&l.out, "%s: pending\n  %s\n", p.Name, fit)
		if n := fit.Nominated; n != nil {
			fmt.Fprintf(&l.out, "  nominated to %s, victims %v\n", n.Node, n.Victims)
		}
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(&l.out, "%s: on %s, %d of %d nodes feasible", p.Name, placement.Node, placement.Feasible, placement.Evaluated)
	if len(placement.Plugins) > 0 {
		fmt.Fprintf(&l.out, ", score %d", placement.Score)
	}
	fmt.Fprintln(&l.out)
	return l.cache.Assume(p, placement.Node)
}

// explain prints a line per node, with why it is out or its weighted scores.
func (l *lesson) explain(p *Pod) error {
	e, err := l.scheduler().Explain(p)
	if err != nil {
		return err
	}
	fmt.Fprintf(&l.out, "%s:\n", p.Name)
	if e.PreFilterPlugin != "" {
		fmt.Fprintf(&l.out, "  %s: %s (%s)\n", e.PreFilterPlugin, e.PreFilter.Message(), e.PreFilter.Code)
	}
	for _, n := range e.Nodes {
		if n.Plugin != "" {
			fmt.Fprintf(&l.out, "  %-5s %s: %s (%s)\n", n.Node, n.Plugin, n.Status.Message(), n.Status.Code)
			continue
		}
		fmt.Fprintf(&l.out, "  %-5s %d =", n.Node, n.Score)
		for _, s := range n.Plugins {
			if s.Plugin != "DynamicResources" {
				fmt.Fprintf(&l.out, " %s %d", s.Plugin, s.Weighted)
			}
		}
		fmt.Fprintln(&l.out)
	}
	return nil
}

func (l *lesson) advise(p *Pod) error {
	e, err := l.scheduler().Explain(p)
	if err != nil {
		return err
	}
	fmt.Fprintf(&l.out, "%s:\n", p.Name)
	for _, n := range e.Nodes {
		for _, change := range n.Changes {
			fmt.Fprintf(&l.out, "  %-5s %s (%s)\n", n.Node, change.Text, change.Plugin)
		}
	}
	if n := e.Nearest(); n != nil {
		fmt.Fprintf(&l.out, "  nearest: %s\n", n.Node)
	}
	return nil
}

func (l *lesson) preempt(p *Pod) error {
	dry, err := l.scheduler().DryRunPreemption(p)
	if err != nil {
		return err
	}
	fmt.Fprintln(&l.out, strings.TrimSpace(p.Name+": "+dry.Message))
	for _, d := range dry.Candidates {
		fmt.Fprintf(&l.out, "  %-5s victims %v", d.Node, d.Victims)
		if d.Violations > 0 {
			fmt.Fprintf(&l.out, ", %d against a budget", d.Violations)
		}
		fmt.Fprintln(&l.out)
	}
	for _, r := range dry.Rejections {
		fmt.Fprintf(&l.out, "  %-5s no: %s\n", r.Node, r.Status.Message())
	}
	if len(dry.Picked) > 0 {
		fmt.Fprintf(&l.out, "  best %v\n", dry.Picked)
	}
	return nil
}
