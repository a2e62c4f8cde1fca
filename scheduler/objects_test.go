package scheduler

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is removed decides nothing any more: after each pair of set and remove
// the pod means to every node what it meant before.
func TestRemoveUndoesSet(t *testing.T) {
	c := NewCache(CacheConfig{})
	for _, n := range []string{
		`{"metadata":{"name":"a","labels":{"kubernetes.io/hostname":"a"}},"status":{"allocatable":{"cpu":"4","pods":"9"}}}`,
		`{"metadata":{"name":"b","labels":{"kubernetes.io/hostname":"b"}},"status":{"allocatable":{"cpu":"4","pods":"9"}}}`,
	} {
		require.NoError(t, c.AddNode(decodeAs[Node](t, n)))
	}
	require.NoError(t, c.AddPod(decodeAs[Pod](t, `{"metadata":{"name":"web","labels":{"app":"web"}},"spec":{"nodeName":"a","containers":[{"name":"c"}]}}`)))
	owned := func(kind, version string) string {
		return `{"metadata":{"name":"p","labels":{"app":"web"},"ownerReferences":[{"apiVersion":"` + version + `","kind":"` + kind + `","name":"web","uid":"1","controller":true}]},"spec":{"containers":[{"name":"c"}]}}`
	}
	const plain = `{"metadata":{"name":"p","labels":{"app":"web"}},"spec":{"containers":[{"name":"c"}]}}`
	const far = `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}],"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[
		{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"web"}},"namespaceSelector":{"matchLabels":{"team":"x"}}}]}}}}`
	tests := []struct {
		name, pod string
		set       func() error
		remove    func()
	}{
		{"service", plain,
			func() error {
				return c.SetService(decodeAs[Service](t, `{"metadata":{"name":"web"},"spec":{"selector":{"app":"web"}}}`))
			},
			func() { c.RemoveService("", "web") }},
		{"replica set", owned("ReplicaSet", "apps/v1"),
			func() error {
				return c.SetReplicaSet(decodeAs[ReplicaSet](t, `{"metadata":{"name":"web"},"spec":{"selector":{"matchLabels":{"app":"web"}}}}`))
			},
			func() { c.RemoveReplicaSet("", "web") }},
		{"stateful set", owned("StatefulSet", "apps/v1"),
			func() error {
				return c.SetStatefulSet(decodeAs[StatefulSet](t, `{"metadata":{"name":"web"},"spec":{"selector":{"matchLabels":{"app":"web"}}}}`))
			},
			func() { c.RemoveStatefulSet("", "web") }},
		{"replication controller", owned("ReplicationController", "v1"),
			func() error {
				return c.SetReplicationController(decodeAs[ReplicationController](t, `{"metadata":{"name":"web"},"spec":{"selector":{"app":"web"}}}`))
			},
			func() { c.RemoveReplicationController("", "web") }},
		{"namespace", far,
			func() error {
				return c.SetNamespace(decodeAs[Namespace](t, `{"metadata":{"name":"default","labels":{"team":"x"}}}`))
			},
			func() { c.RemoveNamespace("default") }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pod := decodeAs[Pod](t, test.pod)
			before := verdicts(t, c, pod)
			require.NoError(t, test.set())
			require.NotEqual(t, before, verdicts(t, c, pod))
			test.remove()
			require.Equal(t, before, verdicts(t, c, pod))
		})
	}
}

func TestStorageObjects(t *testing.T) {
	c := NewCache(CacheConfig{})
	require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"a"},"status":{"allocatable":{"pods":"9"}}}`)))
	pod := decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}],"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"data"}}]}}`)
	s := newScheduler(t, c)
	why := func() string {
		_, err := s.Schedule(pod)
		if err == nil {
			return ""
		}
		var fit *FitError
		require.ErrorAs(t, err, &fit)
		return fit.FilterText()
	}
	steps := []struct {
		do   func() error
		want string
	}{
		{func() error { return nil },
			`0/1 nodes are available: persistentvolumeclaim "data" not found.`},
		{func() error {
			return c.SetPersistentVolumeClaim(decodeAs[PersistentVolumeClaim](t, `{"metadata":{"name":"data","annotations":{"pv.kubernetes.io/bind-completed":"yes"}},"spec":{"volumeName":"disk"}}`))
		}, `0/1 nodes are available: persistentvolume "disk" not found.`},
		{func() error {
			return c.SetPersistentVolume(decodeAs[PersistentVolume](t, `{"metadata":{"name":"disk"},"spec":{"csi":{"driver":"d","volumeHandle":"1"}}}`))
		}, ""},
		{func() error {
			return c.SetCSINode(decodeAs[CSINode](t, `{"metadata":{"name":"a"},"spec":{"drivers":[{"name":"d","allocatable":{"count":0}}]}}`))
		}, `0/1 nodes are available: 1 node(s) exceed max volume count.`},
		{func() error { c.RemoveCSINode("a"); return nil }, ""},
		{func() error {
			require.NoError(t, c.SetCSINode(decodeAs[CSINode](t, `{"metadata":{"name":"a"},"spec":{"drivers":[{"name":"d","allocatable":{"count":1}}]}}`)))
			require.NoError(t, c.SetPersistentVolume(decodeAs[PersistentVolume](t, `{"metadata":{"name":"other"},"spec":{"csi":{"driver":"d","volumeHandle":"2"}}}`)))
			return c.SetVolumeAttachment(decodeAs[VolumeAttachment](t, `{"metadata":{"name":"at"},"spec":{"attacher":"d","nodeName":"a","source":{"persistentVolumeName":"other"}}}`))
		}, `0/1 nodes are available: 1 node(s) exceed max volume count.`},
		{func() error { c.RemoveVolumeAttachment("at"); return nil }, ""},
		{func() error { c.RemovePersistentVolume("disk"); return nil },
			`0/1 nodes are available: persistentvolume "disk" not found.`},
		{func() error {
			c.RemovePersistentVolumeClaim("", "data")
			return c.SetPersistentVolumeClaim(decodeAs[PersistentVolumeClaim](t, `{"metadata":{"name":"data"},"spec":{"storageClassName":"late","resources":{"requests":{"storage":"5Gi"}}}}`))
		}, `0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.`},
		{func() error {
			return c.SetStorageClass(decodeAs[StorageClass](t, `{"metadata":{"name":"late"},"provisioner":"d","volumeBindingMode":"WaitForFirstConsumer","allowedTopologies":[{"matchLabelExpressions":[{"key":"zone","values":["x"]}]}]}`))
		}, `0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.`},
		{func() error {
			return c.SetStorageClass(decodeAs[StorageClass](t, `{"metadata":{"name":"late"},"provisioner":"d","volumeBindingMode":"WaitForFirstConsumer"}`))
		}, ""},
		{func() error {
			return c.SetCSIDriver(decodeAs[CSIDriver](t, `{"metadata":{"name":"d"},"spec":{"storageCapacity":true}}`))
		}, `0/1 nodes are available: 1 node(s) did not have enough free storage.`},
		{func() error {
			return c.SetCSIStorageCapacity(decodeAs[CSIStorageCapacity](t, `{"metadata":{"name":"room"},"storageClassName":"late","capacity":"1Gi","maximumVolumeSize":"5Gi","nodeTopology":{}}`))
		}, ""},
		{func() error { c.RemoveCSIStorageCapacity("", "room"); return nil },
			`0/1 nodes are available: 1 node(s) did not have enough free storage.`},
		{func() error { c.RemoveCSIDriver("d"); return nil }, ""},
		{func() error { c.RemoveStorageClass("late"); return nil },
			`0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.`},
	}
	for i, step := range steps {
		require.NoError(t, step.do())
		require.Equal(t, step.want, why(), "step %d", i)
	}
}

func TestObjectErrors(t *testing.T) {
	c := NewCache(CacheConfig{})
	for _, test := range []struct {
		err  error
		want string
	}{
		{c.SetNamespace(nil), `namespace: metadata.name: "": want a name`},
		{c.SetService(nil), `service: metadata.name: "": want a name`},
		{c.SetReplicationController(nil), `replicationcontroller: metadata.name: "": want a name`},
		{c.SetReplicaSet(nil), `replicaset: metadata.name: "": want a name`},
		{c.SetStatefulSet(&StatefulSet{}), `statefulset: metadata.name: "": want a name`},
		{c.SetPodDisruptionBudget(nil), `poddisruptionbudget: metadata.name: "": want a name`},
		{c.SetPersistentVolumeClaim(nil), `persistentvolumeclaim: metadata.name: "": want a name`},
		{c.SetPersistentVolume(nil), `persistentvolume: metadata.name: "": want a name`},
		{c.SetStorageClass(nil), `storageclass: metadata.name: "": want a name`},
		{c.SetCSINode(nil), `csinode: metadata.name: "": want a name`},
		{c.SetCSIDriver(nil), `csidriver: metadata.name: "": want a name`},
		{c.SetCSIStorageCapacity(nil), `csistoragecapacity: metadata.name: "": want a name`},
		{c.SetVolumeAttachment(nil), `volumeattachment: metadata.name: "": want a name`},
		{c.SetStorageClass(decodeAs[StorageClass](t, `{"metadata":{"name":"x"},"volumeBindingMode":"Soon"}`)),
			`storageclass x: volumeBindingMode: "Soon": want one of [Immediate WaitForFirstConsumer]`},
		{c.SetCSINode(decodeAs[CSINode](t, `{"metadata":{"name":"x"},"spec":{"drivers":[{"name":"d","allocatable":{"count":-1}}]}}`)),
			`csinode x: spec.drivers[0].allocatable.count: "-1": want 0 or more`},
		{c.Nominate(decodeAs[Pod](t, `{"metadata":{"name":"p"}}`), ""), `pod default/p: status.nominatedNodeName: "": want a node name`},
	} {
		require.EqualError(t, test.err, test.want)
	}
	for _, selector := range []error{
		c.SetReplicaSet(decodeAs[ReplicaSet](t, `{"metadata":{"name":"x"},"spec":{"selector":{"matchExpressions":[{"key":"k","operator":"Near"}]}}}`)),
		c.SetPodDisruptionBudget(decodeAs[PodDisruptionBudget](t, `{"metadata":{"name":"x"},"spec":{"selector":{"matchExpressions":[{"key":"k","operator":"Near"}]}}}`)),
		c.SetPersistentVolumeClaim(decodeAs[PersistentVolumeClaim](t, `{"metadata":{"name":"x"},"spec":{"selector":{"matchExpressions":[{"key":"k","operator":"Near"}]}}}`)),
	} {
		require.ErrorContains(t, selector, "default/x: spec.selector")
	}
}

func TestNominationEnds(t *testing.T) {
	c := NewCache(CacheConfig{})
	require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"1","pods":"9"}}}`)))
	vip := decodeAs[Pod](t, `{"metadata":{"name":"vip"},"spec":{"priority":9,"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}`)
	pod := decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}`)
	fits := func() bool { return feasible(t, c, pod)["a"] }
	require.True(t, fits())
	require.NoError(t, c.Nominate(vip, "a"))
	require.False(t, fits())
	require.NoError(t, c.Nominate(vip, "elsewhere"), "moved")
	require.True(t, fits())
	require.NoError(t, c.Nominate(vip, "a"))
	c.Unnominate("", "vip")
	require.True(t, fits())
	require.NoError(t, c.Nominate(vip, "a"))
	require.NoError(t, c.Assume(vip, "a"))
	require.ErrorIs(t, c.Nominate(vip, "a"), ErrExists)
	require.NoError(t, c.Forget("", "vip"))
	require.True(t, fits(), "assuming a pod ends its nomination")
	require.Empty(t, c.nominated.pods.m)
}
