package control

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// Annotations that the control plane writes for itself.
const (
	// AnnotationPodsCreated counts the pods a replica set has ever made. A pod and
	// its count are written in one transaction, so that no crash, retry or second
	// controller can make a replica twice.
	AnnotationPodsCreated = "minicluster.orchcore/pods-created"
	// AnnotationTemplate is the digest of the template that a pod was made from.
	AnnotationTemplate = "minicluster.orchcore/template"
	// AnnotationPlacement says why the scheduler chose the pod's node.
	AnnotationPlacement = "minicluster.orchcore/placement"
)

// nameAlphabet has no vowels and no digits that look like letters, as in
// Kubernetes, so that no suffix spells a word.
const nameAlphabet = "bcdfghjklmnpqrstvwxz2456789"

// digest condenses the parts; the zero byte keeps ("ab","c") and ("a","bc") apart.
func digest(seed uint64, parts ...string) [sha256.Size]byte {
	h := binary.BigEndian.AppendUint64(nil, seed)
	for _, p := range parts {
		h = append(append(h, p...), 0)
	}
	return sha256.Sum256(h)
}

// Suffix is a name suffix of length letters that depends on the parts alone.
func Suffix(length int, seed uint64, parts ...string) string {
	sum := digest(seed, parts...)
	out := make([]byte, length)
	for i := range out {
		out[i] = nameAlphabet[int(sum[i])%len(nameAlphabet)]
	}
	return string(out)
}

// UID is an identifier in the form of a UUID that depends on the parts alone.
func UID(seed uint64, parts ...string) string {
	sum := digest(seed, parts...)
	sum[6] = sum[6]&0x0f | 0x80 // version 8: custom
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

const nameMax = 253

// childName is owner-suffix, the owner cut so that the whole stays a valid name.
func childName(owner, suffix string) string {
	room := nameMax - 1 - len(suffix)
	if len(owner) > room {
		owner = strings.TrimRight(owner[:room], "-.")
	}
	return owner + "-" + suffix
}

// labelHash is the label by which replica sets of one deployment tell their pods apart.
const labelHash = "pod-template-hash"

// templateHash is a digest of a pod template that does not depend on field order
// or on the hash label itself.
func templateHash(t *api.PodTemplate) (string, error) {
	spec, err := api.Tree(t.Spec.Raw)
	if err != nil {
		return "", err
	}
	labels := map[string]string{}
	for k, v := range t.Metadata.Labels {
		if k != labelHash {
			labels[k] = v
		}
	}
	text, err := json.Marshal([]any{labels, t.Metadata.Annotations, spec})
	if err != nil {
		return "", err
	}
	return Suffix(10, 0, string(text)), nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
