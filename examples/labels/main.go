// Command labels answers questions about labels and selectors of a cluster:
//
//	kubectl get -A -o json deploy,rs,sts,ds,svc,pdb,pods > dump.json
//	go run ./examples/labels -f dump.json -l 'app in (web, api), !canary'
//	go run ./examples/labels -f dump.json -why shop/web-7d9c -l 'app=api'
//
// It lists the objects that the selector matches, tells with -why which
// requirement an object fails, and shows controllers whose selectors overlap:
// with an example of a pod that both would claim, and the pods that both claim
// now. The input is JSON or YAML, lists or single objects, one document or many.
// Without -f it looks at a small shop of its own. Exit status 2 means that the
// input was not understood: the message names file, document, field and value.
package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/selector"
)

//go:embed shop.json
var shop []byte

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "labels:", err)
		}
		os.Exit(2)
	}
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("labels", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("f", "", "objects and lists in JSON or YAML, such as kubectl get -o json prints; - reads standard input")
	text := flags.String("l", "", "selector: list what it matches")
	why := flags.String("why", "", "NAME or NAMESPACE/NAME: explain why the selector does not match it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	query, err := selector.Parse(*text)
	if err != nil {
		return err
	}
	c, err := load(*file, stdin)
	if err != nil {
		return err
	}
	if *why != "" {
		return c.explain(stdout, query, *why)
	}
	if *text != "" {
		c.list(stdout, query)
	}
	c.overlaps(stdout)
	c.claims(stdout)
	return nil
}

// object is what the command reads of a Kubernetes object.
type object struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name            string            `json:"name"`
		Namespace       string            `json:"namespace"`
		Labels          map[string]string `json:"labels"`
		OwnerReferences []struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		Selector json.RawMessage `json:"selector"`
	} `json:"spec"`

	labels   selector.Labels
	selector selector.Selector // of pods; Nothing for what selects none
}

func (o *object) id() string {
	return strings.ToLower(o.Kind) + "/" + strings.TrimPrefix(o.Metadata.Namespace+"/"+o.Metadata.Name, "/")
}

// controllers are the kinds that claim pods for themselves: two of them must
// not select the same pod.
var controllers = []string{"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController", "Job"}

func (o *object) isController() bool { return slices.Contains(controllers, o.Kind) }

// cluster is what was read, with an index from labels to objects and, per
// namespace, a registry from labels to the objects that select them.
type cluster struct {
	objects  []*object
	byLabels selector.Index[*object]
	bySelect map[string]*selector.Registry[*object]
}

func (c *cluster) add(data []byte) error {
	o := new(object)
	if err := json.Unmarshal(data, o); err != nil {
		return placed(data, err)
	}
	if o.Kind == "" || o.Metadata.Name == "" {
		return fmt.Errorf("kind %q, metadata.name %q: want both", o.Kind, o.Metadata.Name)
	}
	var err error
	if o.selector, err = podSelector(o); err != nil {
		return fmt.Errorf("%s: spec.selector: %w", o.id(), err)
	}
	o.labels = selector.NewLabels(o.Metadata.Labels)
	c.objects = append(c.objects, o)
	c.byLabels.Set(o, o.labels)
	if !o.selector.IsNothing() {
		r := c.bySelect[o.Metadata.Namespace]
		if r == nil {
			r = new(selector.Registry[*object])
			c.bySelect[o.Metadata.Namespace] = r
		}
		r.Set(o, o.selector)
	}
	return nil
}

// podSelector reads spec.selector in the way of the object's kind.
func podSelector(o *object) (selector.Selector, error) {
	switch o.Kind {
	case "Service", "ReplicationController":
		var labels map[string]string
		if len(o.Spec.Selector) > 0 {
			if err := json.Unmarshal(o.Spec.Selector, &labels); err != nil {
				return selector.Nothing(), placed(o.Spec.Selector, err)
			}
		}
		if len(labels) == 0 {
			return selector.Nothing(), nil // a Service without selector has no pods
		}
		return selector.FromMap(labels), nil
	case "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "PodDisruptionBudget":
		var ls *selector.LabelSelector
		if len(o.Spec.Selector) > 0 {
			if err := json.Unmarshal(o.Spec.Selector, &ls); err != nil {
				return selector.Nothing(), placed(o.Spec.Selector, err)
			}
		}
		return selector.Compile(ls)
	}
	return selector.Nothing(), nil
}

func (c *cluster) list(w io.Writer, query selector.Selector) {
	fmt.Fprintf(w, "%q matches %d of %d objects\n", query, c.byLabels.Count(query), len(c.objects))
	for o := range c.byLabels.Select(query) {
		fmt.Fprintf(w, "  %s  %s\n", o.id(), o.labels)
	}
}

func (c *cluster) explain(w io.Writer, query selector.Selector, name string) error {
	found := false
	for _, o := range c.objects {
		if o.Metadata.Name != name && o.Metadata.Namespace+"/"+o.Metadata.Name != name {
			continue
		}
		found = true
		mismatches := query.Explain(o.labels)
		if len(mismatches) == 0 {
			fmt.Fprintf(w, "%s matches %q\n", o.id(), query)
			continue
		}
		fmt.Fprintf(w, "%s does not match %q\n", o.id(), query)
		for _, m := range mismatches {
			fmt.Fprintf(w, "  %s\n", m)
		}
	}
	if !found {
		return fmt.Errorf("-why %q: no such object", name)
	}
	return nil
}

// overlaps prints the pairs of controllers of one namespace that may claim the
// same pod.
func (c *cluster) overlaps(w io.Writer) {
	n := 0
	for i, a := range c.objects {
		for _, b := range c.objects[i+1:] {
			if !a.isController() || !b.isController() || a.Metadata.Namespace != b.Metadata.Namespace || related(a, b) {
				continue
			}
			witness, ok := selector.Overlap(a.selector, b.selector)
			if !ok {
				continue
			}
			if n++; n == 1 {
				fmt.Fprintln(w, "controllers that may claim the same pod:")
			}
			fmt.Fprintf(w, "  %s (%s) and %s (%s)\n", a.id(), a.selector, b.id(), b.selector)
			fmt.Fprintf(w, "    both would claim a pod with %s%s\n", orNone(witness), verdict(a, b))
		}
	}
	if n == 0 {
		fmt.Fprintln(w, "no two controllers may claim the same pod")
	}
}

// verdict names the stronger relations of two selectors that overlap.
func verdict(a, b *object) string {
	_, aInB := selector.Implies(a.selector, b.selector)
	_, bInA := selector.Implies(b.selector, a.selector)
	switch {
	case aInB && bInA:
		return "; they select the same pods"
	case aInB:
		return "; all pods of the first are the second's too"
	case bInA:
		return "; all pods of the second are the first's too"
	}
	return ""
}

func orNone(labels selector.Labels) string {
	if labels.Len() == 0 {
		return "no labels"
	}
	return labels.String()
}

// related controllers share pods on purpose: a Deployment and its ReplicaSets,
// and the ReplicaSets of one Deployment, which differ in pod-template-hash.
func related(a, b *object) bool {
	owns := func(owner, owned *object) bool {
		for _, r := range owned.Metadata.OwnerReferences {
			if r.Kind == owner.Kind && r.Name == owner.Metadata.Name {
				return true
			}
		}
		return false
	}
	return owns(a, b) || owns(b, a)
}

// claims prints the pods that several unrelated controllers select, and those
// that nothing selects.
func (c *cluster) claims(w io.Writer) {
	pods, orphans := 0, 0
	for _, o := range c.objects {
		if o.Kind != "Pod" {
			continue
		}
		pods++
		var selecting []*object
		if r := c.bySelect[o.Metadata.Namespace]; r != nil {
			selecting = r.AppendMatches(nil, o.labels)
		}
		if len(selecting) == 0 {
			orphans++
			continue
		}
		if rivals := rivals(selecting); len(rivals) > 0 {
			fmt.Fprintf(w, "%s is claimed by %s\n", o.id(), strings.Join(rivals, ", "))
		}
	}
	fmt.Fprintf(w, "%d pods, %d of them selected by nothing here\n", pods, orphans)
}

// rivals are the controllers among selecting that some other one of them is
// not related to.
func rivals(selecting []*object) []string {
	var ids []string
	for _, a := range selecting {
		if a.isController() && slices.ContainsFunc(selecting, func(b *object) bool {
			return a != b && b.isController() && !related(a, b)
		}) {
			ids = append(ids, a.id())
		}
	}
	return ids
}
