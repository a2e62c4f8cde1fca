package qos

import (
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	upstream "k8s.io/apimachinery/pkg/api/resource"
	upstreamqos "k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
)

// Ratios measures quantities and classes.
func Ratios() measure.Area {
	rows := []measure.Row{
		parseRow("128Mi"), parseRow("1.5Gi"), parseRow("100m"), parseRow("9223372036854775807"),
		addRow("add/mixed", "1.5Gi", "1536Mi"), addRow("add/mixed/decimal", "1", "1500m"),
		compareRow("cmp/mixed", "1.5Gi", "1536Mi"), compareRow("cmp/mixed/decimal", "1", "1500m"),
		stringRow("string/uncached", "100m", "128Mi", "1.5Gi"),
		stringRow("string/uncached/100m", "100m"), stringRow("string/uncached/128Mi", "128Mi"), stringRow("string/uncached/1.5Gi", "1.5Gi"),
	}
	for class, text := range classTexts() {
		rows = append(rows, classRow(class, text))
	}
	return measure.Area{Name: "qos", Rows: append(rows, rankRows()...)}
}

// answers asserts that what the two loops computed prints the same.
func answers(ours, peer func() string) func() error {
	return func() error {
		if o, p := ours(), peer(); o != p {
			return fmt.Errorf("ours %q, peer %q", o, p)
		}
		return nil
	}
}

func parseRow(text string) measure.Row {
	return measure.Row{Name: "parse/" + text, Unit: "ns/op", Open: func() (*measure.Pair, error) {
		var o resource.Quantity
		var u upstream.Quantity
		return &measure.Pair{
			Ours: measure.Loop(func(n int) {
				for range n {
					o, _ = resource.Parse(text)
				}
			}),
			Peer: measure.Loop(func(n int) {
				for range n {
					u, _ = upstream.ParseQuantity(text)
				}
			}),
			Check: answers(func() string { return o.String() }, func() string { return uncached(u) }),
		}, nil
	}}
}

// addRow adds to a copy each time: upstream's Add changes its receiver, and a
// copy of a quantity in big form is not one until DeepCopy made it.
func addRow(name, a, b string) measure.Row {
	return measure.Row{Name: name, Unit: "ns/op", Open: func() (*measure.Pair, error) {
		oa, ob := resource.MustParse(a), resource.MustParse(b)
		ua, ub := upstream.MustParse(a), upstream.MustParse(b)
		var o resource.Quantity
		var u upstream.Quantity
		return &measure.Pair{
			Ours: measure.Loop(func(n int) {
				for range n {
					o = oa.Add(ob)
				}
			}),
			Peer: measure.Loop(func(n int) {
				for range n {
					u = ua.DeepCopy()
					u.Add(ub)
				}
			}),
			Check: answers(func() string { return o.String() }, func() string { return uncached(u) }),
		}, nil
	}}
}

// compareRow compares copies, as upstream's callers do with values from maps:
// comparing mixed forms converts the receiver for good.
func compareRow(name, a, b string) measure.Row {
	return measure.Row{Name: name, Unit: "ns/op", Open: func() (*measure.Pair, error) {
		oa, ob := resource.MustParse(a), resource.MustParse(b)
		ua, ub := upstream.MustParse(a), upstream.MustParse(b)
		var o, u int
		return &measure.Pair{
			Ours: measure.Loop(func(n int) {
				o = 0
				for range n {
					o += oa.Cmp(ob)
				}
				o /= n
			}),
			Peer: measure.Loop(func(n int) {
				u = 0
				for range n {
					receiver := ua
					u += receiver.Cmp(ub)
				}
				u /= n
			}),
			Check: answers(func() string { return fmt.Sprint(o) }, func() string { return fmt.Sprint(u) }),
		}, nil
	}}
}

func stringRow(name string, texts ...string) measure.Row {
	return measure.Row{Name: name, Unit: "ns/op", Open: func() (*measure.Pair, error) {
		var os []resource.Quantity
		var us []upstream.Quantity
		for _, text := range texts {
			u := upstream.MustParse(text)
			u.Add(upstream.Quantity{}) // drops the cached text
			us, os = append(us, u), append(os, resource.MustParse(text))
		}
		o, u := make([]string, len(texts)), make([]string, len(texts))
		return &measure.Pair{
			Ours: measure.Loop(func(n int) {
				for range n {
					for i := range os {
						o[i] = os[i].String()
					}
				}
			}),
			Peer: measure.Loop(func(n int) {
				for range n {
					for i := range us {
						q := us[i] // String caches in its receiver
						u[i] = q.String()
					}
				}
			}),
			Check: answers(func() string { return fmt.Sprint(o) }, func() string { return fmt.Sprint(u) }),
		}, nil
	}}
}

// classTexts yields pods of three containers, one per class; the Burstable one
// is the plain row.
func classTexts() func(yield func(string, string) bool) {
	const half, full = `{"cpu":"250m","memory":"256Mi"}`, `{"cpu":"500m","memory":"512Mi"}`
	return func(yield func(string, string) bool) {
		for _, c := range [][3]string{{"", half, full}, {"/class=Guaranteed", full, full}, {"/class=BestEffort", "{}", "{}"}} {
			container := fmt.Sprintf(`{"resources":{"requests":%s,"limits":%s}}`, c[1], c[2])
			if !yield("class/containers=3"+c[0], fmt.Sprintf(`{"spec":{"containers":[%[1]s,%[1]s,%[1]s]}}`, container)) {
				return
			}
		}
	}
}

func classRow(name, text string) measure.Row {
	return measure.Row{Name: name, Unit: "ns/op", Open: func() (*measure.Pair, error) {
		var up v1.Pod
		if err := json.Unmarshal([]byte(text), &up); err != nil {
			return nil, err
		}
		op, err := qos.DecodePod([]byte(text))
		if err != nil {
			return nil, err
		}
		var o qos.Class
		var u v1.PodQOSClass
		return &measure.Pair{
			Ours: measure.Loop(func(n int) {
				for range n {
					o = qos.ClassOf(op)
				}
			}),
			Peer: measure.Loop(func(n int) {
				for range n {
					u = upstreamqos.GetPodQOS(&up)
				}
			}),
			Check: answers(func() string { return o.String() }, func() string { return string(u) }),
		}, nil
	}}
}
