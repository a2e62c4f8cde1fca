package proxyrules_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
)

func TestResolve(t *testing.T) {
	services, slices := decode(t,
		`{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"172.30.0.10","clusterIPs":["172.30.0.10","fd00::a"],"ports":[{"name":"http","port":80},{"name":"dns","port":53,"protocol":"UDP"}]}},
		 {"metadata":{"namespace":"t","name":"db"},"spec":{"clusterIP":"None","ports":[{"name":"sql","port":5432}]}},
		 {"metadata":{"namespace":"t","name":"empty"},"spec":{"clusterIP":"None"}},
		 {"metadata":{"namespace":"t","name":"away"},"spec":{"type":"ExternalName","externalName":"db.example.com."}}`,
		`{"metadata":{"namespace":"t","name":"db-1","labels":{"kubernetes.io/service-name":"db"}},"addressType":"IPv4","ports":[{"name":"sql","port":5433}],
		  "endpoints":[{"addresses":["10.0.0.2"],"hostname":"db-0"},{"addresses":["10.0.0.1"]},{"addresses":["10.0.0.3"],"conditions":{"ready":false}}]}`)
	d, err := proxyrules.NewResolver("", services, slices)
	require.NoError(t, err)
	for name, want := range map[string]string{
		"web.t.svc.cluster.local":             "{[172.30.0.10 fd00::a] [] }",
		"WEB.t.svc.cluster.local.":            "{[172.30.0.10 fd00::a] [] }",
		"_http._tcp.web.t.svc.cluster.local":  "{[] [{80 web.t.svc.cluster.local}] }",
		"_dns._udp.web.t.svc.cluster.local":   "{[] [{53 web.t.svc.cluster.local}] }",
		"db.t.svc.cluster.local":              "{[10.0.0.1 10.0.0.2] [] }",
		"db-0.db.t.svc.cluster.local":         "{[10.0.0.2] [] }",
		"10-0-0-1.db.t.svc.cluster.local":     "{[10.0.0.1] [] }",
		"_sql._tcp.db.t.svc.cluster.local":    "{[] [{5433 10-0-0-1.db.t.svc.cluster.local} {5433 db-0.db.t.svc.cluster.local}] }",
		"empty.t.svc.cluster.local":           "{[] [] }",
		"away.t.svc.cluster.local":            "{[] [] db.example.com}",
		"nobody.t.svc.cluster.local":          "",
		"_http._udp.web.t.svc.cluster.local":  "",
		"web.t.svc.elsewhere":                 "",
		"10-0-0-3.db.t.svc.cluster.local":     "",
		"web.other.svc.cluster.local\n; evil": "",
	} {
		a, err := d.Resolve(name)
		if want == "" {
			require.ErrorIs(t, err, proxyrules.ErrNoSuchName, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, want, fmt.Sprint(a), name)
	}
}

func TestResolverRefusals(t *testing.T) {
	for field, service := range map[string]string{
		"metadata.name":      `{"metadata":{"namespace":"t","name":"a b"},"spec":{"clusterIP":"None"}}`,
		"spec.externalName":  `{"metadata":{"namespace":"t","name":"a"},"spec":{"type":"ExternalName","externalName":"x y"}}`,
		"spec.clusterIPs[0]": `{"metadata":{"namespace":"t","name":"a"},"spec":{"clusterIP":"x"}}`,
		"spec.ports[0].port": `{"metadata":{"namespace":"t","name":"a"},"spec":{"clusterIP":"None","ports":[{"port":0}]}}`,
	} {
		services, _ := decode(t, service, "")
		_, err := proxyrules.NewResolver("", services, nil)
		require.ErrorIs(t, err, proxyrules.ErrRefused)
		require.Contains(t, err.Error(), field)
	}
	_, err := proxyrules.NewResolver("no domain", nil, nil)
	require.ErrorIs(t, err, proxyrules.ErrRefused)
}

func ExampleServiceEnv() {
	services := []proxyrules.Service{{
		Metadata: proxyrules.ObjectMeta{Namespace: "shop", Name: "redis-primary"},
		Spec:     proxyrules.ServiceSpec{ClusterIP: "10.0.0.11", Ports: []proxyrules.ServicePort{{Name: "client-port", Port: 6379}}},
	}}
	for _, v := range proxyrules.ServiceEnv(services) {
		fmt.Println(v.Name + "=" + v.Value)
	}
	// Output:
	// REDIS_PRIMARY_SERVICE_HOST=10.0.0.11
	// REDIS_PRIMARY_SERVICE_PORT=6379
	// REDIS_PRIMARY_SERVICE_PORT_CLIENT_PORT=6379
	// REDIS_PRIMARY_PORT=tcp://10.0.0.11:6379
	// REDIS_PRIMARY_PORT_6379_TCP=tcp://10.0.0.11:6379
	// REDIS_PRIMARY_PORT_6379_TCP_PROTO=tcp
	// REDIS_PRIMARY_PORT_6379_TCP_PORT=6379
	// REDIS_PRIMARY_PORT_6379_TCP_ADDR=10.0.0.11
}
