package api_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// The cases of RFC 7396, appendix A, in which target and patch are objects.
func TestMergeAsTheRFCSays(t *testing.T) {
	for _, c := range []struct{ object, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		got, err := api.Merge([]byte(c.object), json.RawMessage(c.patch))
		require.NoError(t, err)
		require.JSONEq(t, c.want, string(got), "%s + %s", c.object, c.patch)
	}
}

func TestMergeKeepsNumbersAsWritten(t *testing.T) {
	got, err := api.Merge([]byte(`{"big":9007199254740993,"exact":1.10}`), api.Fields{"x": 1})
	require.NoError(t, err)
	require.Equal(t, `{"big":9007199254740993,"exact":1.10,"x":1}`, string(got))
}

func TestMergeRefusesWhatIsNoObject(t *testing.T) {
	for _, object := range []string{``, `[]`, `null`, `3`, `{"a"`} {
		_, err := api.Merge([]byte(object), api.Fields{})
		require.Error(t, err, object)
	}
	_, err := api.Merge([]byte(`{}`), []int{1})
	require.Error(t, err)
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1}}`), []byte(`{"a":{"b":null,"c":[]}}`))
	f.Add([]byte(`{}`), []byte(`{"":{"":null}}`))
	f.Fuzz(func(t *testing.T, object, patch []byte) {
		once, err := api.Merge(object, json.RawMessage(patch))
		if err != nil {
			return
		}
		twice, err := api.Merge(once, json.RawMessage(patch))
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice), "applying a patch again changes nothing")
	})
}

func TestKeysComeApartAgain(t *testing.T) {
	for _, k := range append(api.Kinds(), api.Leases) {
		namespace := ""
		if k.Namespaced {
			namespace = "shop"
		}
		plural, ns, name, ok := api.SplitKey(k.Key("shop", "a.b-c"))
		require.True(t, ok)
		require.Equal(t, []string{k.Plural, namespace, "a.b-c"}, []string{plural, ns, name})
	}
	for _, key := range []string{"", "/registry/", "/other/pods/a/b", "/registry/a/b/c/d"} {
		_, _, _, ok := api.SplitKey(key)
		require.False(t, ok, key)
	}
}

func TestKindsCompareExactly(t *testing.T) {
	_, ok := api.KindOf("apps/v1", "Deployment")
	require.True(t, ok)
	for _, c := range [][2]string{{"apps/v1", "deployment"}, {"extensions/v1beta1", "Deployment"}, {"v1", "ConfigMap"}, {"", ""}} {
		_, ok := api.KindOf(c[0], c[1])
		require.False(t, ok, c)
	}
}

func TestTolerates(t *testing.T) {
	taint := api.Taint{Key: "dedicated", Value: "data", Effect: api.NoSchedule}
	for _, c := range []struct {
		name string
		t    api.Toleration
		want bool
	}{
		{"equal", api.Toleration{Key: "dedicated", Operator: "Equal", Value: "data", Effect: api.NoSchedule}, true},
		{"no operator means equal", api.Toleration{Key: "dedicated", Value: "data"}, true},
		{"other value", api.Toleration{Key: "dedicated", Value: "web"}, false},
		{"exists", api.Toleration{Key: "dedicated", Operator: "Exists"}, true},
		{"everything", api.Toleration{Operator: "Exists"}, true},
		{"other effect", api.Toleration{Operator: "Exists", Effect: api.NoExecute}, false},
		{"other key", api.Toleration{Key: "gpu", Operator: "Exists"}, false},
		{"unknown operator", api.Toleration{Key: "dedicated", Operator: "Gt", Value: "data"}, false},
	} {
		require.Equal(t, c.want, c.t.Tolerates(&taint), c.name)
	}
}

func TestRequests(t *testing.T) {
	for _, c := range []struct{ name, spec, cpu, memory string }{
		{"sum of containers", `{"containers":[{"resources":{"requests":{"cpu":"100m"}}},{"resources":{"requests":{"cpu":"1","memory":"1Gi"}}}]}`, "1100m", "1Gi"},
		{"init container needs more", `{"initContainers":[{"resources":{"requests":{"cpu":"2"}}}],"containers":[{"resources":{"requests":{"cpu":"1"}}}]}`, "2", "0"},
		{"init container needs less", `{"initContainers":[{"resources":{"requests":{"cpu":"500m"}}}],"containers":[{"resources":{"requests":{"cpu":"1"}}}]}`, "1", "0"},
		{"sidecar runs on", `{"initContainers":[{"restartPolicy":"Always","resources":{"requests":{"cpu":"300m"}}},{"resources":{"requests":{"cpu":"1"}}}],"containers":[{"resources":{"requests":{"cpu":"800m"}}}]}`, "1300m", "0"},
		{"overhead", `{"overhead":{"cpu":"50m"},"containers":[{"resources":{"requests":{"cpu":"1"}}}]}`, "1050m", "0"},
		{"pod level", `{"resources":{"requests":{"cpu":"3"}},"containers":[{"resources":{"requests":{"cpu":"1","memory":"1Mi"}}}]}`, "3", "1Mi"},
		{"nothing", `{"containers":[{}]}`, "0", "0"},
	} {
		var p api.Pod
		require.NoError(t, json.Unmarshal([]byte(`{"spec":`+c.spec+`}`), &p), c.name)
		r := p.Requests()
		cpu, memory := r["cpu"], r["memory"]
		require.Equal(t, c.cpu, cpu.String(), c.name)
		require.Equal(t, c.memory, memory.String(), c.name)
	}
}

func TestIntOrString(t *testing.T) {
	for text, want := range map[string]string{`8080`: "8080", `"http"`: "http", `0`: "0", `"25%"`: "25%"} {
		var v api.IntOrString
		require.NoError(t, json.Unmarshal([]byte(text), &v))
		require.Equal(t, want, v.String())
		again, err := json.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, text, string(again))
	}
	for _, text := range []string{`1.5`, `true`, `[]`, `99999999999`} {
		var v api.IntOrString
		require.Error(t, json.Unmarshal([]byte(text), &v), text)
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		v     api.IntOrString
		of    int
		round func(float64) float64
		want  int
	}{
		{api.IntOrString{Text: "25%"}, 10, math.Ceil, 3},
		{api.IntOrString{Text: "25%"}, 10, math.Floor, 2},
		{api.IntOrString{Text: "0%"}, 10, math.Ceil, 0},
		{api.IntOrString{Int: 7}, 10, math.Ceil, 7},
	} {
		got, err := c.v.Share(c.of, c.round)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	for _, v := range []api.IntOrString{{Int: -1}, {Text: "x"}, {Text: "-5%"}, {Text: "5"}} {
		_, err := v.Share(10, math.Ceil)
		require.Error(t, err, v)
	}
}

func TestWithConditionKeepsTheTransitionTime(t *testing.T) {
	early, late := time.Unix(100, 0), time.Unix(200, 0)
	list := api.WithCondition(nil, api.Condition{Type: "Ready", Status: "False", LastTransitionTime: early})
	list = api.WithCondition(list, api.Condition{Type: "Ready", Status: "False", Reason: "Still", LastTransitionTime: late})
	require.Equal(t, []api.Condition{{Type: "Ready", Status: "False", Reason: "Still", LastTransitionTime: early}}, list)
	list = api.WithCondition(list, api.Condition{Type: "Ready", Status: "True", LastTransitionTime: late})
	require.Equal(t, late, api.ConditionOf(list, "Ready").LastTransitionTime)
}

func TestControlledBy(t *testing.T) {
	rs := api.ObjectMeta{Name: "web-1", Namespace: "shop", UID: "u1"}
	pod := api.ObjectMeta{Namespace: "shop", OwnerReferences: api.OwnedBy(api.ReplicaSets, &rs)}
	require.True(t, pod.ControlledBy(api.ReplicaSets, &rs))
	require.False(t, pod.ControlledBy(api.DaemonSets, &rs))
	require.False(t, pod.ControlledBy(api.ReplicaSets, &api.ObjectMeta{Name: "web-1", Namespace: "shop", UID: "u2"}), "another object of that name")
	require.False(t, pod.ControlledBy(api.ReplicaSets, &api.ObjectMeta{Name: "web-1", Namespace: "other", UID: "u1"}))
	pod.OwnerReferences[0].UID = ""
	require.True(t, pod.ControlledBy(api.ReplicaSets, &rs), "hand-written references have no UID")
}
