package load

import (
	"errors"
	"fmt"

	yaml "sigs.k8s.io/yaml/goyaml.v3"
)

// expandedMax bounds what a YAML document may grow to when its aliases are
// replaced by what they stand for ("billion laughs").
const expandedMax = 8 << 20

// checkAliases computes the expanded size of a document without expanding it:
// each anchor is measured once.
func checkAliases(text []byte) error {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return err
	}
	m := aliasMeter{sizes: map[*yaml.Node]int{}, open: map[*yaml.Node]bool{}}
	_, err := m.size(&root)
	return err
}

type aliasMeter struct {
	sizes map[*yaml.Node]int
	open  map[*yaml.Node]bool
}

func (m *aliasMeter) size(n *yaml.Node) (int, error) {
	if size, ok := m.sizes[n]; ok {
		return size, nil
	}
	if m.open[n] {
		return 0, errors.New("anchor contains itself")
	}
	m.open[n] = true
	defer delete(m.open, n)
	total := len(n.Value) + 2
	children := n.Content
	if n.Alias != nil {
		children = []*yaml.Node{n.Alias}
	}
	for _, c := range children {
		size, err := m.size(c)
		if err != nil {
			return 0, err
		}
		if total += size; total > expandedMax {
			return 0, fmt.Errorf("aliases expand to more than %d bytes", expandedMax)
		}
	}
	m.sizes[n] = total
	return total, nil
}
