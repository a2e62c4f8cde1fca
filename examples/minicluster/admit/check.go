package admit

import (
	"fmt"
	"regexp"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/selector"
)

// FieldError is a value that an API server would refuse.
type FieldError struct {
	Field string
	Value any
	Want  string
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s: %v: %s", e.Field, e.Value, e.Want) }

// checker collects the first mistake of an object.
type checker struct{ err error }

// that notes a mistake unless ok holds or there is one already.
func (c *checker) that(ok bool, field string, value any, want string, args ...any) {
	if !ok && c.err == nil {
		c.err = &FieldError{Field: field, Value: value, Want: fmt.Sprintf(want, args...)}
	}
}

// note takes over the mistake that another check found.
func (c *checker) note(err error) {
	if c.err == nil {
		c.err = err
	}
}

// Names in Kubernetes: RFC 1123 labels and subdomains, and for services the
// older rule that a name begins with a letter.
var (
	dnsLabel     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	dnsSubdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	dns1035      = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	portName     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
)

func (c *checker) label(field, name string) {
	c.that(len(name) <= 63 && dnsLabel.MatchString(name), field, name,
		"want at most 63 lower-case letters, digits and '-', not at either end")
}

func (c *checker) subdomain(field, name string) {
	c.that(len(name) <= 253 && dnsSubdomain.MatchString(name), field, name,
		"want at most 253 lower-case letters, digits, '-' and '.', a letter or digit at both ends of each part")
}

func (c *checker) labels(field string, labels map[string]string) {
	for _, key := range sortedKeys(labels) {
		c.that(selector.ValidKey(key), field, key, "want a label key: [prefix/]name")
		c.that(selector.ValidValue(labels[key]), field+"["+key+"]", labels[key],
			"want a label value: at most 63 letters, digits, '-', '_', '.', a letter or digit at both ends")
	}
}

func (c *checker) meta(kind api.Kind, m *api.ObjectMeta) {
	switch kind {
	case api.Namespaces:
		c.label("metadata.name", m.Name)
	case api.Services:
		c.that(len(m.Name) <= 63 && dns1035.MatchString(m.Name), "metadata.name", m.Name,
			"want at most 63 lower-case letters, digits and '-', a letter first")
	default:
		c.subdomain("metadata.name", m.Name)
	}
	if kind.Namespaced {
		c.label("metadata.namespace", m.Namespace)
	} else {
		c.that(m.Namespace == "", "metadata.namespace", m.Namespace, "want none, since a %s belongs to no namespace", kind.Name)
	}
	c.labels("metadata.labels", m.Labels)
	controllers := 0
	for i := range m.OwnerReferences {
		r := &m.OwnerReferences[i]
		field := fmt.Sprintf("metadata.ownerReferences[%d]", i)
		c.that(r.Kind != "", field+".kind", r.Kind, "want a kind")
		c.that(r.Name != "", field+".name", r.Name, "want a name")
		if r.Controller {
			controllers++
		}
		c.that(controllers < 2, field+".controller", true, "want one controller only")
	}
}

func port(n int32) bool { return n > 0 && n <= 65535 }

func protocol(p string) bool { return p == "" || p == "TCP" || p == "UDP" || p == "SCTP" }
