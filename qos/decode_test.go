package qos

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecodePodNamesTheField(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"spec":{"containers":[{"name":"a"},{"resources":{"requests":{"cpu":"1x"}}}]}}`, `spec.containers[1].resources.requests["cpu"]: parse quantity "1x"`},
		{`{"spec":{"overhead":{"memory":{}}}}`, `spec.overhead["memory"]: parse quantity "{}"`},
		{`{"spec":{"containers":[{"resources":{"limits":{"cpu":1e400}}}]}}`, `spec.containers[0].resources.limits["cpu"]: parse quantity "1e400": quantity out of range`},
		{`{"spec":{"volumes":[{"emptyDir":{"sizeLimit":"much"}}]}}`, `spec.volumes[0].emptyDir.sizeLimit: parse quantity "much"`},
		{`{"spec":{"priority":"high"}}`, `spec.priority: json: cannot unmarshal string`},
		{`{"spec":{"containers":{}}}`, `spec.containers: json: cannot unmarshal object`},
		{`{"status":{"qosClass":"Gold"}}`, `"Gold": want BestEffort, Burstable or Guaranteed`},
		{`{"metadata":{"creationTimestamp":"yesterday"}}`, `"yesterday"`},
		{`{`, `unexpected end of JSON input`},
	} {
		p, err := DecodePod([]byte(c.in))
		require.ErrorContains(t, err, c.want, c.in)
		require.Nil(t, p)
	}
}

func TestDecodePodIgnoresUnknownFields(t *testing.T) {
	p, err := DecodePod([]byte(`{"kind":"Pod","spec":{"containers":[{"name":"a","image":"b","resources":{"claims":[{"name":"gpu"}],"requests":{"cpu":1}}}],"nodeSelector":null}}`))
	require.NoError(t, err)
	require.Equal(t, Burstable, ClassOf(p))
}

// realPods returns the pods of a sample of a real cluster.
func realPods(t testing.TB) []*Pod {
	t.Helper()
	data, err := os.ReadFile("../../shared/data/openshift-insights-sample/nodes-pods.json")
	if err != nil {
		t.Skip("no sample of a real cluster: ", err)
	}
	var items struct{ Items []json.RawMessage }
	require.NoError(t, json.Unmarshal(data, &items))
	var pods []*Pod
	for i, item := range items.Items {
		p, err := DecodePod(item)
		require.NoError(t, err, "item %d", i)
		if len(p.Spec.Containers) > 0 {
			pods = append(pods, p)
		}
	}
	require.NotEmpty(t, pods)
	return pods
}

// Where the API server recorded a class it is the one computed here.
func TestRealPods(t *testing.T) {
	recorded := 0
	for _, p := range realPods(t) {
		if p.Status.QOSClass != 0 {
			require.Equal(t, p.Status.QOSClass, ComputeClass(p), p.Metadata.Name)
			recorded++
		}
	}
	require.NotZero(t, recorded, "no pod with a recorded class")
}
