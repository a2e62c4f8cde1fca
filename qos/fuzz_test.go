package qos

import (
	"encoding/json"
	"testing"

	"github.com/orchcore/orchcore/qos/resource"
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

// FuzzThresholds: what parses as an eviction setting prints as one that parses
// to the same threshold, and its amount is within bounds for any capacity.
func FuzzThresholds(f *testing.F) {
	for _, s := range []string{"100Mi", "10%", "0%", "100%", "NaN%", "Inf%", "-1", "1e400%", "%", "5%%", "0x1p-2%", "1e2147483648"} {
		f.Add(s, int64(1<<33))
	}
	f.Fuzz(func(t *testing.T, text string, capacity int64) {
		settings := EvictionSettings{Hard: map[string]string{"memory.available": text}, MinimumReclaim: map[string]string{"memory.available": text}}
		thresholds, err := settings.Thresholds()
		if err != nil {
			if len(err.Error()) > len(text)*8+400 {
				t.Fatalf("%d bytes of error for %d bytes of setting", len(err.Error()), len(text))
			}
			return
		}
		for _, x := range thresholds {
			amount := x.Value.Of(resource.NewInt(capacity))
			if x.Value.Percentage != 0 && capacity > 0 && (amount.Sign() < 0 || amount.Value() > capacity) {
				t.Fatalf("%s of %d is %v", text, capacity, amount)
			}
			if x.Value.Percentage == 0 {
				again, _, err := parseThreshold("memory.available", x.Value.String())
				if x.Value.Quantity.Sign() > 0 && (err != nil || again.Value.Quantity.Cmp(x.Value.Quantity) != 0) {
					t.Fatalf("%s printed as %s: %v", text, x.Value, err)
				}
			}
			x.MinReclaim.Of(resource.NewInt(capacity))
		}
	})
}

// FuzzNode: no pod, summary and budget can make a decision panic.
func FuzzNode(f *testing.F) {
	f.Add([]byte(`{"spec":{"containers":[{"name":"c","resources":{"requests":{"memory":"1Mi"},"limits":{"ephemeral-storage":"1"}}}],"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1"}}]},"metadata":{"uid":"u"}}`),
		[]byte(`{"node":{"memory":{"availableBytes":1,"workingSetBytes":18446744073709551615},"rlimit":{"maxpid":-9223372036854775808,"curproc":9223372036854775807}},"pods":[{"podRef":{"uid":"u"},"memory":{"workingSetBytes":18446744073709551615},"containers":[{"name":"c","rootfs":{"usedBytes":18446744073709551615}}],"volume":[{"name":"v","usedBytes":2},{"name":"v"}]}]}`),
		[]byte(`{"spec":{"maxUnavailable":"-1%"},"status":{"disruptionsAllowed":1}}`))
	f.Fuzz(func(t *testing.T, podText, summaryText, budgetText []byte) {
		p, err := DecodePod(podText)
		if err != nil {
			return
		}
		var s Summary
		var b Budget
		if json.Unmarshal(summaryText, &s) != nil || json.Unmarshal(budgetText, &b) != nil {
			return
		}
		thresholds, err := EvictionSettings{EnforcePods: true}.Thresholds()
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewEvictor(EvictorConfig{Thresholds: thresholds})
		if err != nil {
			t.Fatal(err)
		}
		pods := []*Pod{p, p}
		candidates, observed := Candidates(pods, &s), Observe(&s)
		d := e.Step(epoch, observed, candidates)
		d.Evict = append(d.Evict, e.Reclaimed(observed, candidates).Evict...)
		for _, x := range d.Evict {
			if IsCritical(x.Pod) {
				t.Fatal("evicted a critical pod")
			}
		}
		for _, signal := range Signals() {
			if len(Explain(candidates, signal, Layout{})) != len(pods) {
				t.Fatal("a pod is missing from the order")
			}
		}
		for _, config := range []CgroupConfig{{}, {Memory: TieredReservation, AllocatableMemoryBytes: 1 << 40}} {
			_, _ = PodCgroup(p, config)
			_, _ = TierCgroups(pods, config, 50)
			for i := range p.Spec.Containers {
				_, _ = ContainerCgroup(p, &p.Spec.Containers[i], config)
				_, _ = OOMScoreAdj(p, &p.Spec.Containers[i], 1<<33)
			}
		}
		_, _ = PreemptionVictims(withPriority(podOf(), SystemCriticalPriority), pods, []Shortage{{"memory", 1}, {"pods", 1}})
		_, _ = b.Sync(pods, func(OwnerReference) (int32, bool) { return 3, true }, epoch)
		Drain(pods, DrainOptions{}, func(*Pod) []*Budget { return []*Budget{&b} }, epoch)
		StayOn([]Taint{{Key: "a", Effect: "NoExecute"}}, p.Spec.Tolerations)
	})
}
