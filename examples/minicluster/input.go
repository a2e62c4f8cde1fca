package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/apply"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/load"
	"github.com/orchcore/orchcore/examples/minicluster/manifests"
)

// inputError is a mistake in the input: exit status 2.
type inputError struct{ err error }

func (e *inputError) Error() string { return e.err.Error() }
func (e *inputError) Unwrap() error { return e.err }

// annotationDefault marks the nodes that an input without nodes gets.
const annotationDefault = "minicluster.orchcore/default-node"

// input is what a run is given, checked as a whole before the store is touched.
type input struct {
	*load.Input
	shop     bool          // the built-in manifests
	defaults []load.Object // nodes for a cluster that would have none
}

// readInput reads and checks the input, against an empty cluster.
func readInput(o options, stdin io.Reader, config apply.Config) (*input, error) {
	in := &input{shop: len(o.files) == 0}
	var err error
	if in.shop {
		in.Input, err = load.FS(manifests.Files, "manifests")
	} else {
		in.Input, err = load.Paths(o.files, stdin)
	}
	if err != nil {
		return nil, &inputError{err}
	}
	if len(in.Objects) == 0 {
		return nil, &inputError{fmt.Errorf("no object of a kind that is known here in %d files", in.Files)}
	}
	if !slices.ContainsFunc(in.Objects, func(o load.Object) bool { return o.Kind == api.Nodes }) {
		if in.defaults, err = defaultNodes(); err != nil {
			return nil, err
		}
	}
	if _, err := apply.New(control.NewView(), in.all(control.NewView()), config); err != nil {
		return nil, &inputError{err}
	}
	return in, nil
}

// defaultNodes are the shop's nodes.
func defaultNodes() ([]load.Object, error) {
	shop, err := load.FS(manifests.Files, "manifests")
	if err != nil {
		return nil, err
	}
	var out []load.Object
	for _, o := range shop.Objects {
		if o.Kind == api.Nodes {
			meta := o.Tree["metadata"].(api.Fields)
			meta["annotations"] = api.Fields{annotationDefault: "true"}
			out = append(out, o)
		}
	}
	return out, nil
}

// all returns the objects to apply to a cluster: the default nodes are among them
// if the cluster has no others.
func (in *input) all(view *control.View) []load.Object {
	for n := range view.Nodes.All() {
		if n.Object.Metadata.Annotations[annotationDefault] == "" {
			return in.Objects
		}
	}
	return slices.Concat(in.defaults, in.Objects)
}

// names reports whether the input has a node of that name.
func (in *input) names(node string) bool {
	return slices.ContainsFunc(slices.Concat(in.Objects, in.defaults), func(o load.Object) bool {
		return o.Kind == api.Nodes && o.Meta.Name == node
	})
}

// describe says what was read.
func (in *input) describe(tl *timeline) {
	kinds := map[string]int{}
	for i := range in.Objects {
		kinds[in.Objects[i].Kind.Name]++
	}
	what := fmt.Sprintf("%d files", in.Files)
	if in.shop {
		what = "built-in shop"
	}
	tl.say("input", "%s: %s", what, counts(kinds))
	for _, kind := range slices.Sorted(maps.Keys(in.Skipped)) {
		tl.say("input", "skipped: %d of unknown kind %s", in.Skipped[kind], kind)
	}
	if len(in.defaults) > 0 {
		tl.say("input", "no nodes in it: %d default nodes unless the store has others", len(in.defaults))
	}
}
