package load

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/orchcore/orchcore/examples/minicluster/admit"
	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/scheduler"
)

// Object is one object of the input, checked.
type Object struct {
	Kind   api.Kind
	Meta   api.ObjectMeta
	Tree   api.Fields
	Origin Origin
}

// Title names the object for people.
func (o *Object) Title() string { return api.Title(o.Kind.Name, o.Meta.Namespace, o.Meta.Name) }

// Key is where the object will be stored.
func (o *Object) Key() string { return o.Kind.Key(o.Meta.Namespace, o.Meta.Name) }

// Input is everything that was read.
type Input struct {
	Files   int
	Objects []Object
	// Skipped counts the objects of kinds that the example does not know, by
	// "apiVersion Kind".
	Skipped map[string]int
}

// Bounds on the objects of an input; an object has to fit into a store request.
const (
	objectsMax    = 50_000
	objectSizeMax = 1 << 20
	listDepthMax  = 4
)

// reader collects the objects of several files.
type reader struct {
	input Input
	seen  map[string]Origin // by key
	size  int64
}

func newReader() *reader {
	return &reader{input: Input{Skipped: map[string]int{}}, seen: map[string]Origin{}}
}

// Paths reads files and directories; "-" is standard input. Directories are read
// recursively, names ending in .yaml, .yml and .json only.
func Paths(paths []string, stdin io.Reader) (*Input, error) {
	r := newReader()
	for _, path := range paths {
		if err := r.path(path, stdin); err != nil {
			return nil, err
		}
	}
	return &r.input, nil
}

// FS reads a file tree the way Paths reads a directory.
func FS(files fs.FS, name string) (*Input, error) {
	r := newReader()
	if err := r.tree(files, name); err != nil {
		return nil, err
	}
	return &r.input, nil
}

func (r *reader) path(path string, stdin io.Reader) error {
	if path == "-" {
		return r.stream("standard input", stdin)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return r.tree(os.DirFS(path), path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.stream(path, f)
}

func (r *reader) tree(files fs.FS, name string) error {
	return fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch filepath.Ext(path) {
		case ".yaml", ".yml", ".json":
		default:
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		f, err := files.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return r.stream(filepath.Join(name, path), f)
	})
}

func (r *reader) stream(name string, from io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(from, fileSizeMax+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.size += int64(len(text))
	r.input.Files++
	switch {
	case len(text) > fileSizeMax:
		return &Error{Origin: Origin{File: name}, Want: fmt.Sprintf("file is larger than %d MiB", fileSizeMax>>20)}
	case r.size > totalSizeMax:
		return &Error{Origin: Origin{File: name}, Want: fmt.Sprintf("input is larger than %d MiB in all", totalSizeMax>>20)}
	case r.input.Files > filesMax:
		return &Error{Origin: Origin{File: name}, Want: fmt.Sprintf("more than %d files", filesMax)}
	}
	docs, err := documents(name, text)
	if err != nil {
		return err
	}
	for _, d := range docs {
		if err := r.add(d.tree, d.origin, listDepthMax); err != nil {
			return err
		}
	}
	return nil
}

// add takes one document: an object, or a list of them.
func (r *reader) add(tree api.Fields, origin Origin, depth int) error {
	apiVersion, err := text(tree, "apiVersion", origin)
	if err != nil {
		return err
	}
	kind, err := text(tree, "kind", origin)
	if err != nil {
		return err
	}
	if _, isList := tree["items"]; isList && strings.HasSuffix(kind, "List") {
		return r.addList(tree, apiVersion, kind, origin, depth)
	}
	known, ok := api.KindOf(apiVersion, kind)
	if !ok {
		r.input.Skipped[apiVersion+" "+kind]++
		return nil
	}
	if len(r.input.Objects) >= objectsMax {
		return &Error{Origin: origin, Want: fmt.Sprintf("more than %d objects", objectsMax)}
	}
	object, err := r.object(known, tree, origin)
	if err != nil {
		return err
	}
	if first, again := r.seen[object.Key()]; again {
		return &Error{Origin: origin, Object: object.Title(), Field: "metadata.name", Value: show(object.Meta.Name),
			Want: fmt.Sprintf("the same object is already in %s", first)}
	}
	r.seen[object.Key()] = origin
	r.input.Objects = append(r.input.Objects, object)
	return nil
}

func text(tree api.Fields, field string, origin Origin) (string, error) {
	value, _ := tree[field].(string)
	if value == "" {
		return "", &Error{Origin: origin, Field: field, Value: show(tree[field]), Want: "want a name"}
	}
	return value, nil
}

// addList takes the items of a List. Those of a typed list (PodList) may leave out
// what the list's own kind says.
func (r *reader) addList(tree api.Fields, apiVersion, kind string, origin Origin, depth int) error {
	if depth == 0 {
		return &Error{Origin: origin, Field: "items", Want: "lists inside lists, too deep"}
	}
	items, ok := tree["items"].([]any)
	if !ok && tree["items"] != nil {
		return &Error{Origin: origin, Field: "items", Value: show(tree["items"]), Want: "want a list"}
	}
	for i, element := range items {
		at := origin
		at.Item = strings.TrimPrefix(fmt.Sprintf("%s.items[%d]", origin.Item, i), ".")
		item, ok := element.(api.Fields)
		if !ok {
			return &Error{Origin: at, Value: show(element), Want: "want an object"}
		}
		if kind != "List" && item["kind"] == nil && item["apiVersion"] == nil {
			item["apiVersion"], item["kind"] = apiVersion, strings.TrimSuffix(kind, "List")
		}
		if err := r.add(item, at, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// object checks one object of a known kind.
func (r *reader) object(kind api.Kind, tree api.Fields, origin Origin) (Object, error) {
	o := Object{Kind: kind, Tree: tree, Origin: origin}
	fail := func(err error) (Object, error) {
		out := &Error{Origin: origin, Object: kind.Name, Want: err.Error()}
		if o.Meta.Name != "" {
			out.Object = o.Title()
		} else if meta, ok := tree["metadata"].(api.Fields); ok {
			name, _ := meta["name"].(string)
			namespace, _ := meta["namespace"].(string)
			out.Object = api.Title(kind.Name, namespace, name)
		}
		var wrongType *fieldError
		var invalid *admit.FieldError
		switch {
		case errors.As(err, &wrongType):
			out.Field, out.Value, out.Want = wrongType.field, show(wrongType.value), wrongType.want
		case errors.As(err, &invalid):
			out.Field, out.Value, out.Want = invalid.Field, show(invalid.Value), invalid.Want
		}
		return Object{}, out
	}
	for _, t := range wireTypes(kind) {
		if err := check(tree, t, ""); err != nil {
			return fail(err)
		}
	}
	meta, err := admit.Object(kind, tree)
	if err != nil {
		return fail(err)
	}
	o.Meta = meta
	return o, nil
}

// podTemplate reaches the template of a workload as the scheduler will read it.
type podTemplate struct {
	Spec struct {
		Template struct {
			Spec scheduler.PodSpec `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// wireTypes are the types that will be decoded from an object of a kind: the views
// of the control plane first, then those of the packages that decide.
func wireTypes(kind api.Kind) []reflect.Type {
	template := reflect.TypeFor[podTemplate]()
	switch kind {
	case api.Namespaces:
		return []reflect.Type{reflect.TypeFor[api.Namespace](), reflect.TypeFor[scheduler.Namespace]()}
	case api.PriorityClasses:
		return []reflect.Type{reflect.TypeFor[api.PriorityClass]()}
	case api.Nodes:
		return []reflect.Type{reflect.TypeFor[api.Node](), reflect.TypeFor[scheduler.Node]()}
	case api.Pods:
		return []reflect.Type{reflect.TypeFor[api.Pod](), reflect.TypeFor[scheduler.Pod]()}
	case api.Services:
		return []reflect.Type{reflect.TypeFor[api.Service](), reflect.TypeFor[proxyrules.Service]()}
	case api.EndpointSlices:
		return []reflect.Type{reflect.TypeFor[api.EndpointSlice](), reflect.TypeFor[proxyrules.EndpointSlice]()}
	case api.Budgets:
		return []reflect.Type{
			reflect.TypeFor[api.PodDisruptionBudget](), reflect.TypeFor[scheduler.PodDisruptionBudget](), reflect.TypeFor[qos.Budget](),
		}
	case api.Deployments:
		return []reflect.Type{reflect.TypeFor[api.Deployment](), template}
	case api.ReplicaSets:
		return []reflect.Type{reflect.TypeFor[api.ReplicaSet](), template}
	case api.DaemonSets:
		return []reflect.Type{reflect.TypeFor[api.DaemonSet](), template}
	case api.StatefulSets:
		return []reflect.Type{reflect.TypeFor[api.StatefulSet](), template}
	}
	return nil
}
