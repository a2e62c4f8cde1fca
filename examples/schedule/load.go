package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/scheduler"
)

// Bounds on the input.
const (
	fileSizeMax  = 256 << 20
	listDepthMax = 4
)

// input is what all files say together.
type input struct {
	cache    *scheduler.Cache
	nodes    []*scheduler.Node
	pods     []*scheduler.Pod
	classes  []*scheduler.PriorityClass
	owners   map[string]string // "ReplicaSet ns/name" → "Deployment ns/name"
	works    []*workload
	seen     map[string]place // objects by kind and name
	skipped  map[string]int   // objects of other kinds
	lostPods int              // on nodes that are not in the input
	budgets  []*qos.Budget

	// What decide makes of the pods that have no node.
	pending, unplaced []*scheduler.Pod
}

// place is where an object was read.
type place struct {
	file string
	path string // "document 2", "items[3]"
}

func (p place) String() string { return p.file + ": " + p.path }

// inputError is a fault of the input: where, and in which object.
type inputError struct {
	at     place
	object string
	err    error
}

func (e *inputError) Error() string {
	if e.object == "" {
		return fmt.Sprintf("%v: %v", e.at, e.err)
	}
	return fmt.Sprintf("%v: %s: %v", e.at, e.object, e.err)
}

func (e *inputError) Unwrap() error { return e.err }

func newInput() *input {
	return &input{
		cache:  scheduler.NewCache(scheduler.CacheConfig{HoldUnknownNodes: true}),
		owners: make(map[string]string), seen: make(map[string]place), skipped: make(map[string]int),
	}
}

func (in *input) readFile(name string, stdin io.Reader) error {
	from := stdin
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, fileSizeMax+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > fileSizeMax {
		return fmt.Errorf("%s: more than %d bytes", name, fileSizeMax)
	}
	return in.read(name, data)
}

// read takes a file apart into its documents. What begins with a brace is JSON.
func (in *input) read(name string, data []byte) error {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return in.add(data, place{name, "document 1"}, listDepthMax)
	}
	for i, text := range documents(data) {
		at := place{name, fmt.Sprintf("document %d", i+1)}
		object, err := toJSON(text)
		if err != nil {
			return &inputError{at: at, err: fmt.Errorf("not YAML: %s", strings.ReplaceAll(err.Error(), "\n", " "))}
		}
		if bytes.Equal(bytes.TrimSpace(object), []byte("null")) {
			continue
		}
		if err := in.add(object, at, listDepthMax); err != nil {
			return err
		}
	}
	return nil
}

// toJSON is YAMLToJSONStrict, with a panic of the parser made an error.
func toJSON(text []byte) (object []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return yaml.YAMLToJSONStrict(text)
}

// documents cuts a YAML stream at its "---" lines. What holds nothing but
// comments before the first object is not counted.
func documents(data []byte) [][]byte {
	var out [][]byte
	var text []byte
	empty := true
	flush := func() {
		if !empty {
			out = append(out, text)
		}
		text, empty = nil, true
	}
	for line := range bytes.Lines(data) {
		rest, marker := bytes.CutPrefix(line, []byte("---"))
		if marker && (len(bytes.TrimSpace(rest)) == 0 || rest[0] == ' ' || rest[0] == '\t') {
			flush()
			line = rest
		}
		trimmed := bytes.TrimSpace(line)
		if len(trimmed) > 0 && trimmed[0] != '#' {
			empty = false
		}
		text = append(text, line...)
	}
	flush()
	return out
}

// header is what tells objects apart.
type header struct {
	APIVersion string               `json:"apiVersion"`
	Kind       string               `json:"kind"`
	Metadata   scheduler.ObjectMeta `json:"metadata"`
	Items      *[]json.RawMessage   `json:"items"`
}

// add takes one object or a list of objects.
func (in *input) add(data []byte, at place, depth int) error {
	head, err := decode[header](data)
	if err != nil {
		return &inputError{at: at, err: err}
	}
	if head.Items != nil && (head.Kind == "" || strings.HasSuffix(head.Kind, "List")) {
		if depth == 0 {
			return &inputError{at: at, err: fmt.Errorf("items: lists in lists, more than %d deep", listDepthMax)}
		}
		for i, item := range *head.Items {
			inner := place{at.file, fmt.Sprintf("%s, items[%d]", at.path, i)}
			if err := in.add(withKind(item, head.Kind), inner, depth-1); err != nil {
				return err
			}
		}
		return nil
	}
	switch {
	case head.Kind == "":
		return &inputError{at: at, err: &fault{"kind", `""`, "want the kind of a Kubernetes object"}}
	case readerOf(head.Kind) == nil:
		in.skipped[head.Kind]++
		return nil
	case head.Metadata.Name == "":
		return &inputError{at: at, object: head.Kind, err: &fault{"metadata.name", `""`, "want a name"}}
	}
	id := head.Kind + " " + fullName(&head.Metadata)
	if first, again := in.seen[id]; again {
		return &inputError{at: at, object: id, err: &fault{"metadata.name", fmt.Sprintf("%q", head.Metadata.Name), "is in " + first.String() + " already"}}
	}
	in.seen[id] = at
	if err := readerOf(head.Kind)(in, data, id); err != nil {
		return &inputError{at: at, object: id, err: err}
	}
	return nil
}

// withKind gives the items of a typed list, such as a PodList, their kind.
func withKind(item json.RawMessage, list string) []byte {
	kind := strings.TrimSuffix(list, "List")
	var fields map[string]json.RawMessage
	if kind == "" || json.Unmarshal(item, &fields) != nil || fields == nil || fields["kind"] != nil {
		return item
	}
	fields["kind"], _ = json.Marshal(kind) // a string can be encoded
	whole, err := json.Marshal(fields)
	if err != nil {
		return item
	}
	return whole
}

// fullName is namespace/name; for objects without namespaces that makes no
// difference.
func fullName(m *scheduler.ObjectMeta) string { return cmp.Or(m.Namespace, "default") + "/" + m.Name }

// reader takes in one object. Its id is kind and full name.
type reader func(in *input, data []byte, id string) error

// readerOf returns the reader for a kind, nil for kinds that do not matter
// here.
func readerOf(kind string) reader {
	switch kind {
	case "Node":
		return (*input).addNode
	case "Pod":
		return (*input).addPod
	case "PriorityClass":
		return (*input).addClass
	case "Deployment", "DaemonSet", "Job":
		return (*input).addWorkload
	case "ReplicaSet":
		return both(cached((*scheduler.Cache).SetReplicaSet), (*input).addWorkload)
	case "StatefulSet":
		return both(cached((*scheduler.Cache).SetStatefulSet), (*input).addWorkload)
	case "ReplicationController":
		return both(cached((*scheduler.Cache).SetReplicationController), (*input).addWorkload)
	case "Namespace":
		return cached((*scheduler.Cache).SetNamespace)
	case "Service":
		return cached((*scheduler.Cache).SetService)
	case "PodDisruptionBudget":
		return both(cached((*scheduler.Cache).SetPodDisruptionBudget), (*input).addBudget)
	case "PersistentVolume":
		return cached((*scheduler.Cache).SetPersistentVolume)
	case "PersistentVolumeClaim":
		return cached((*scheduler.Cache).SetPersistentVolumeClaim)
	case "StorageClass":
		return cached((*scheduler.Cache).SetStorageClass)
	case "CSINode":
		return cached((*scheduler.Cache).SetCSINode)
	case "CSIDriver":
		return cached((*scheduler.Cache).SetCSIDriver)
	case "CSIStorageCapacity":
		return cached((*scheduler.Cache).SetCSIStorageCapacity)
	case "VolumeAttachment":
		return cached((*scheduler.Cache).SetVolumeAttachment)
	}
	return nil
}

func both(a, b reader) reader {
	return func(in *input, data []byte, id string) error {
		if err := a(in, data, id); err != nil {
			return err
		}
		return b(in, data, id)
	}
}

func cached[T any](set func(*scheduler.Cache, *T) error) reader {
	return func(in *input, data []byte, _ string) error {
		v, err := decode[T](data)
		if err != nil {
			return err
		}
		return set(in.cache, v)
	}
}

func (in *input) addNode(data []byte, _ string) error {
	n, err := decode[scheduler.Node](data)
	if err != nil {
		return err
	}
	in.nodes = append(in.nodes, n)
	return in.cache.AddNode(n)
}

func (in *input) addPod(data []byte, _ string) error {
	p, err := decode[scheduler.Pod](data)
	if err != nil {
		return err
	}
	if err := scheduler.ValidatePod(p); err != nil {
		return err
	}
	in.pods = append(in.pods, p)
	return nil
}

func (in *input) addBudget(data []byte, _ string) error {
	b, err := decode[qos.Budget](data)
	if err == nil {
		in.budgets = append(in.budgets, b)
	}
	return err
}

func (in *input) addClass(data []byte, _ string) error {
	c, err := decode[scheduler.PriorityClass](data)
	if err == nil {
		in.classes = append(in.classes, c)
	}
	return err
}

// decode decodes an object; the error names the field.
func decode[T any](data []byte) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(data, v); err != nil {
		return nil, locate(data, reflect.TypeFor[T](), "", err)
	}
	return v, nil
}
