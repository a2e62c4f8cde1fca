package qos

import (
	"encoding/json"
	"testing"
)

// FuzzDecodePod: whatever decodes has a class, keeps it through JSON, and the
// fast and the plain form agree on it.
func FuzzDecodePod(f *testing.F) {
	f.Add([]byte(`{"spec":{"containers":[{"resources":{"requests":{"cpu":"1"},"limits":{"cpu":"1","memory":"1Gi"}}}]}}`))
	f.Add([]byte(`{"spec":{"resources":{"limits":{"cpu":1e3}},"overhead":{"memory":null},"initContainers":[{"restartPolicy":"Always"}]}}`))
	f.Add([]byte(`{"status":{"qosClass":"Guaranteed"},"metadata":{"creationTimestamp":null}}`))
	f.Add([]byte(`{"spec":{"containers":[{"resources":{"requests":{"cpu":[]}}}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodePod(data)
		if err != nil {
			return
		}
		class := ClassOf(p)
		if plain := plainClass(p); class != plain {
			t.Fatalf("class %v, plain form %v", class, plain)
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := DecodePod(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if ClassOf(q) != class {
			t.Fatalf("class %v became %v in %s", class, ClassOf(q), again)
		}
		ClassOf(Defaulted(p))
		Requests(p)
		Limits(p)
	})
}
