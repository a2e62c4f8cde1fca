package admit

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/scheduler"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// podSpec checks a pod's spec, at path "spec" or "spec.template.spec". raw is the
// same spec as JSON; the scheduler checks in it what only the scheduler reads.
func (c *checker) podSpec(path string, spec *api.PodSpec, raw []byte) {
	c.that(len(spec.Containers) > 0, path+".containers", len(spec.Containers), "want at least one container")
	names := map[string]bool{}
	c.containers(path+".initContainers", spec.InitContainers, names)
	c.containers(path+".containers", spec.Containers, names)
	if spec.NodeName != "" {
		c.subdomain(path+".nodeName", spec.NodeName)
	}
	c.labels(path+".nodeSelector", spec.NodeSelector)
	switch spec.RestartPolicy {
	case "", "Always", "OnFailure", "Never":
	default:
		c.that(false, path+".restartPolicy", spec.RestartPolicy, "want Always, OnFailure or Never")
	}
	if g := spec.TerminationGracePeriodSeconds; g != nil {
		c.that(*g >= 0, path+".terminationGracePeriodSeconds", *g, "want 0 or more")
	}
	c.amounts(path+".overhead", spec.Overhead)
	if spec.Resources != nil {
		c.resources(path+".resources", *spec.Resources)
	}
	c.scheduling(path, raw)
}

func (c *checker) containers(path string, containers []api.Container, names map[string]bool) {
	for i := range containers {
		k, at := &containers[i], fmt.Sprintf("%s[%d]", path, i)
		c.label(at+".name", k.Name)
		c.that(!names[k.Name], at+".name", k.Name, "want a name that no other container of the pod has")
		names[k.Name] = true
		c.that(k.RestartPolicy == "" || k.RestartPolicy == "Always", at+".restartPolicy", k.RestartPolicy, "want Always or nothing")
		c.resources(at+".resources", k.Resources)
		ports := map[string]bool{}
		for j := range k.Ports {
			p, at := &k.Ports[j], fmt.Sprintf("%s.ports[%d]", at, j)
			c.that(port(p.ContainerPort), at+".containerPort", p.ContainerPort, "want 1 to 65535")
			c.that(p.HostPort == 0 || port(p.HostPort), at+".hostPort", p.HostPort, "want 1 to 65535")
			c.that(protocol(p.Protocol), at+".protocol", p.Protocol, "want TCP, UDP or SCTP")
			if p.Name != "" {
				c.that(len(p.Name) <= 15 && portName.MatchString(p.Name), at+".name", p.Name,
					"want at most 15 lower-case letters, digits and '-'")
				c.that(!ports[p.Name], at+".name", p.Name, "want a name that no other port of the container has")
				ports[p.Name] = true
			}
		}
		if p := k.ReadinessProbe; p != nil {
			c.that(p.InitialDelaySeconds >= 0, at+".readinessProbe.initialDelaySeconds", p.InitialDelaySeconds, "want 0 or more")
		}
	}
}

func (c *checker) amounts(path string, list resource.List) {
	for _, name := range sortedKeys(list) {
		c.that(list[name].Sign() >= 0, path+"["+name+"]", list[name].String(), "want an amount that is not negative")
	}
}

func (c *checker) resources(path string, r api.ResourceRequirements) {
	c.amounts(path+".requests", r.Requests)
	c.amounts(path+".limits", r.Limits)
	for _, name := range sortedKeys(r.Requests) {
		limit, ok := r.Limits[name]
		request := r.Requests[name]
		c.that(!ok || request.Cmp(limit) <= 0, path+".requests["+name+"]", request.String(),
			"want at most the limit, %s", limit)
	}
}

// scheduling lets the scheduler judge what it reads: tolerations, affinity,
// spread constraints. What it merely cannot do is no mistake of the input.
func (c *checker) scheduling(path string, raw []byte) {
	if c.err != nil {
		return
	}
	pod := scheduler.Pod{ObjectMeta: scheduler.ObjectMeta{Name: "template"}}
	if err := json.Unmarshal(raw, &pod.Spec); err != nil {
		c.note(&FieldError{Field: path, Value: "", Want: err.Error()})
		return
	}
	var bad *scheduler.InputError
	if err := scheduler.ValidatePod(&pod); errors.As(err, &bad) {
		want := "want " + bad.Want
		if bad.Err != nil {
			want = bad.Err.Error()
		}
		c.note(&FieldError{Field: path + strings.TrimPrefix(bad.Field, "spec"), Value: bad.Value, Want: want})
	}
}
