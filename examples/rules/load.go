package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/orchcore/orchcore/proxyrules"
)

// fileSizeMax bounds what is read: YAML takes several times its size.
const fileSizeMax = 256 << 20

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, fileSizeMax+1))
	if err == nil && len(data) > fileSizeMax {
		err = fmt.Errorf("%s: more than %d bytes", name, fileSizeMax)
	}
	return data, err
}

// objects are those of a file that matter here.
type objects struct {
	name     string // of the file
	services []proxyrules.Service
	slices   []proxyrules.EndpointSlice
	nodes    map[string]node
	skipped  map[string]int // objects of other kinds, by version and kind
}

type node struct {
	Metadata proxyrules.ObjectMeta
	Status   struct {
		Addresses []struct{ Type, Address string }
	}
}

// load reads documents, lists and single objects alike; other kinds are
// skipped and counted.
func load(name string, data []byte) (*objects, error) {
	o := &objects{name: name, nodes: map[string]node{}, skipped: map[string]int{}}
	var documents [][]byte
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' {
		documents = [][]byte{data}
	} else {
		for i, d := range bytes.Split(data, []byte("\n---")) {
			j, err := yaml.YAMLToJSON(d)
			if err != nil {
				return nil, fmt.Errorf("%s: document %d: %w", name, i, err)
			}
			documents = append(documents, j)
		}
	}
	for i, d := range documents {
		if err := o.add(d); err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", name, i, err)
		}
	}
	return o, nil
}

// typeMeta says what an object is.
type typeMeta struct{ APIVersion, Kind string }

func (t typeMeta) String() string { return strings.TrimSpace(t.APIVersion + " " + t.Kind) }

// add takes a document in: an object, a list of any kind, or nothing at all,
// as between two separators of YAML.
func (o *objects) add(data []byte) error {
	if string(bytes.TrimSpace(data)) == "null" {
		return nil
	}
	return o.addAs(typeMeta{}, data)
}

// addAs takes an object in. Items of a list that the API server made have no
// type of their own: as is what the list says.
func (o *objects) addAs(as typeMeta, data []byte) error {
	var head struct {
		typeMeta
		Items []json.RawMessage
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return err
	}
	if head.typeMeta == (typeMeta{}) {
		head.typeMeta = as
	}
	switch head.typeMeta {
	case typeMeta{"v1", "Service"}:
		return decodeInto(&o.services, data)
	case typeMeta{"discovery.k8s.io/v1", "EndpointSlice"}:
		return decodeInto(&o.slices, data)
	case typeMeta{"v1", "Node"}:
		var n node
		if err := json.Unmarshal(data, &n); err != nil {
			return err
		}
		o.nodes[n.Metadata.Name] = n
		return nil
	}
	of, list := strings.CutSuffix(head.Kind, "List")
	if !list && head.Items == nil {
		if head.Kind == "" || head.APIVersion == "" {
			return fmt.Errorf("apiVersion %q, kind %q: expected an object or a list of objects", head.APIVersion, head.Kind)
		}
		o.skipped[head.String()]++
		return nil
	}
	for i, item := range head.Items {
		if err := o.addAs(typeMeta{head.APIVersion, of}, item); err != nil {
			return fmt.Errorf("items[%d]: %w", i, err)
		}
	}
	return nil
}

func decodeInto[T any](list *[]T, data []byte) error {
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*list = append(*list, v)
	return nil
}

// printSkipped says what of a file had no influence.
func (o *objects) printSkipped(w io.Writer) {
	for _, kind := range slices.Sorted(maps.Keys(o.skipped)) {
		fmt.Fprintf(w, "rules: %s: skipped %d of kind %s\n", o.name, o.skipped[kind], kind)
	}
}

func (o *objects) compile(cfg proxyrules.Config) (*proxyrules.RuleSet, error) {
	rules, err := proxyrules.Compile(cfg, o.services, o.slices)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.name, err)
	}
	return rules, nil
}

// config gathers what is known about the node from arguments and objects.
func (o *options) config(mode proxyrules.Mode, in *objects) (proxyrules.Config, error) {
	cfg := proxyrules.Config{
		NodeName: o.node, Mode: mode, Family: proxyrules.Family(o.family),
		LocalhostNodePorts: o.localhost, MasqueradeAll: o.masqueradeAll,
	}
	if cfg.NodeName == "" {
		cfg.NodeName = in.firstNode()
	}
	n, known := in.nodes[cfg.NodeName]
	if !known && o.node != "" && len(in.nodes) > 0 {
		return cfg, fmt.Errorf("-node %q: no such Node in %s", o.node, in.name)
	}
	cfg.NodeLabels = n.Metadata.Labels
	addresses := o.nodeIPs
	if addresses == "" {
		for _, a := range n.Status.Addresses {
			if a.Type == "InternalIP" || a.Type == "ExternalIP" {
				addresses += a.Address + ","
			}
		}
	}
	var err error
	if cfg.NodeIPs, err = parseList("-node-ips", addresses, netip.ParseAddr); err != nil {
		return cfg, err
	}
	if cfg.ClusterCIDRs, err = parseList("-cluster-cidrs", o.clusterCIDRs, netip.ParsePrefix); err != nil {
		return cfg, err
	}
	if cfg.ServiceCIDRs, err = parseList("-service-cidrs", o.serviceCIDRs, netip.ParsePrefix); err != nil {
		return cfg, err
	}
	cfg.NodePortAddresses, err = parseList("-nodeport-addresses", o.nodePort, netip.ParsePrefix)
	return cfg, err
}

// firstNode is the first by name of the Nodes, or of the nodes that
// endpoints are on.
func (o *objects) firstNode() string {
	var names []string
	for name := range o.nodes {
		names = append(names, name)
	}
	for i := 0; len(o.nodes) == 0 && i < len(o.slices); i++ {
		for _, e := range o.slices[i].Endpoints {
			if e.NodeName != nil {
				names = append(names, *e.NodeName)
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names)
}

func parseList[T any](flag, text string, parse func(string) (T, error)) ([]T, error) {
	var out []T
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		v, err := parse(part)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		out = append(out, v)
	}
	return out, nil
}
