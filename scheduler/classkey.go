package scheduler

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"reflect"
	"slices"
)

// classKey identifies pods about which the same is decided, given the same
// cluster: the replicas of one template. It is a hash of everything about a
// pending pod that plugins read. Names, UIDs, priority and the nominated node
// are left out: they matter only where pods are nominated and for preemption,
// which the engine looks at pod by pod. A cryptographic hash, because whoever
// can make two pods collide has one placed by the other's rules.
type classKey [sha256.Size]byte

// classOfPod returns the pod's class; ok is false for pods with volumes that
// restrict where they run, and for those whose terms do not compile.
func classOfPod(p *PodInfo) (key classKey, ok bool) {
	if p.affinityErr != nil ||
		slices.ContainsFunc(p.Pod.Spec.Volumes, mayRestrict) ||
		slices.ContainsFunc(p.spread, func(sc spreadConstraint) bool { return sc.err != nil }) {
		return key, false
	}
	var memory [1024]byte
	w := keyWriter{memory[:0]}
	w.text(p.Namespace)
	w.num(int64(p.Labels.Len()))
	for k, v := range p.Labels.All() {
		w.text(k)
		w.text(v)
	}
	for _, r := range [...]*Resources{&p.Request, &p.requested, &p.scored} {
		w.resources(r)
	}
	w.num(p.nonZeroCPUMilli)
	w.num(p.nonZeroMemoryBytes)
	w.num(int64(len(p.hostPorts)))
	for _, port := range p.hostPorts {
		w.text(port.ip)
		w.text(port.protocol)
		w.num(int64(port.port))
	}
	w.texts(p.images)
	w.num(int64(len(p.Pod.Spec.InitContainers) + len(p.Pod.Spec.Containers)))
	w.texts(p.features)
	var owner OwnerReference
	if c := p.Pod.controller(); c != nil {
		owner = OwnerReference{APIVersion: c.APIVersion, Kind: c.Kind, Name: c.Name}
	}
	w.any(owner)
	spec := &p.Pod.Spec
	w.any(spec.Tolerations)
	w.any(spec.NodeSelector)
	w.any(spec.Affinity)
	w.any(spec.TopologySpreadConstraints)
	return sha256.Sum256(w.b), true
}

// mayRestrict says that a volume can matter for where its pod runs.
func mayRestrict(v Volume) bool {
	v.Name, v.Image, v.EmptyDir = "", nil, nil
	return v != Volume{}
}

// namesNodes says that every term of the pod's node affinity names nodes, which
// narrows the scan to these.
func namesNodes(p *Pod) bool {
	required := requiredNodeAffinity(p)
	if required == nil || len(required.NodeSelectorTerms) == 0 {
		return false
	}
	for i := range required.NodeSelectorTerms {
		if _, ok := namesIn(&required.NodeSelectorTerms[i]); !ok {
			return false
		}
	}
	return true
}

// keyWriter writes values so that different ones have different bytes: lengths
// go before what they measure.
type keyWriter struct{ b []byte }

func (w *keyWriter) num(v int64) { w.b = binary.AppendVarint(w.b, v) }

func (w *keyWriter) text(s string) {
	w.num(int64(len(s)))
	w.b = append(w.b, s...)
}

func (w *keyWriter) texts(list []string) {
	w.num(int64(len(list)))
	for _, s := range list {
		w.text(s)
	}
}

func (w *keyWriter) resources(r *Resources) {
	for _, v := range [...]int64{r.CPUMilli, r.MemoryBytes, r.EphemeralBytes, r.Pods, int64(len(r.Scalars))} {
		w.num(v)
	}
	for _, s := range r.Scalars {
		w.text(s.Name)
		w.num(s.Value)
	}
}

// any writes a wire value, whatever fields it has: nil and empty differ.
func (w *keyWriter) any(v any) { w.value(reflect.ValueOf(v)) }

func (w *keyWriter) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		w.text(v.String())
	case reflect.Int, reflect.Int32, reflect.Int64:
		w.num(v.Int())
	case reflect.Bool:
		w.num(map[bool]int64{true: 1}[v.Bool()])
	case reflect.Struct:
		for i := range v.NumField() {
			w.value(v.Field(i))
		}
	case reflect.Pointer:
		w.size(v, 1)
		if !v.IsNil() {
			w.value(v.Elem())
		}
	case reflect.Slice:
		w.size(v, v.Len())
		for i := range v.Len() {
			w.value(v.Index(i))
		}
	case reflect.Map:
		w.size(v, v.Len())
		m := v.Interface().(map[string]string)
		for _, k := range slices.Sorted(maps.Keys(m)) {
			w.text(k)
			w.text(m[k])
		}
	default:
		panic("scheduler: a class key of " + v.Type().String())
	}
}

func (w *keyWriter) size(v reflect.Value, n int) {
	if v.IsNil() {
		n = -1
	}
	w.num(int64(n))
}
