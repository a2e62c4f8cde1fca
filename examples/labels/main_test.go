package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func output(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(args, strings.NewReader(stdin), &out, &out)
	return out.String(), err
}

func TestBuiltInShop(t *testing.T) {
	out, err := output(t, "", "-l", "app=web,version>12")
	require.NoError(t, err)
	require.Contains(t, out, `"app=web,version>12" matches 1 of 10 objects`)
	require.Contains(t, out, "deployment/shop/api (app=api) and statefulset/shop/checkout-workers (role in (queue,worker))")
	require.Contains(t, out, "pod/shop/api-55 is claimed by deployment/shop/api, statefulset/shop/checkout-workers")
	require.NotContains(t, out, "deployment/shop/web (app=web,track notin (canary)) and deployment/shop/web-canary")
}

func TestWhy(t *testing.T) {
	out, err := output(t, "", "-why", "shop/web-7d9c", "-l", "app=api,version<10")
	require.NoError(t, err)
	require.Contains(t, out, `app=api: the label is "web"`)
	require.Contains(t, out, `version<10: the label is "12"`)
	_, err = output(t, "", "-why", "gone")
	require.ErrorContains(t, err, `-why "gone"`)
}

func TestOwnersShareTheirPods(t *testing.T) {
	out, err := output(t, `{"kind":"List","items":[
		{"kind":"Deployment","metadata":{"name":"d","namespace":"n"},"spec":{"selector":{"matchLabels":{"app":"x"}}}},
		{"kind":"ReplicaSet","metadata":{"name":"d-1","namespace":"n","ownerReferences":[{"kind":"Deployment","name":"d"}]},
		 "spec":{"selector":{"matchLabels":{"app":"x","pod-template-hash":"1"}}}},
		{"kind":"Deployment","metadata":{"name":"d","namespace":"other"},"spec":{"selector":{"matchLabels":{"app":"x"}}}},
		{"kind":"Deployment","metadata":{"name":"e","namespace":"other"},"spec":{"selector":{"matchLabels":{"app":"x"}}}},
		{"kind":"Widget","metadata":{"name":"w"},"spec":{"selector":"anything"}}]}`, "-f", "-")
	require.NoError(t, err)
	require.NotContains(t, out, "replicaset/n/d-1")
	require.Contains(t, out, "deployment/other/d (app=x) and deployment/other/e (app=x)")
	require.Contains(t, out, "they select the same pods")
}

func TestYAMLAndManyDocuments(t *testing.T) {
	const web = `{"kind":"Pod","metadata":{"name":"a","labels":{"app":"web"}}}`
	for name, input := range map[string]string{
		"yaml":          "# two\n---\nkind: Pod\nmetadata:\n  name: a\n  labels: {app: web}\n---\n\n--- # last\nkind: List\nitems:\n- kind: Pod\n  metadata: {name: b, labels: {app: web}}\n",
		"crlf":          "kind: Pod\r\nmetadata:\r\n  name: a\r\n  labels: {app: web}\r\n---\r\nkind: Pod\r\nmetadata: {name: b, labels: {app: web}}\r\n---\r\nnull\r\n",
		"flow":          "--- {kind: Pod, metadata: {name: a, labels: {app: web}}}\n--- {kind: Pod, metadata: {name: b, labels: {app: web}}}",
		"json and json": web + "\n" + web,
		"byte order":    "\xef\xbb\xbf" + web + web,
	} {
		out, err := output(t, input, "-f", "-", "-l", "app=web")
		require.NoError(t, err, name)
		require.Contains(t, out, `"app=web" matches 2 of 2 objects`, name)
	}
}

func TestBadInputNamesThePlace(t *testing.T) {
	for input, want := range map[string]string{
		`x`:                          "standard input: document 1: string \"x\": want an object",
		`{"items":[3]}`:              "standard input: document 1: items[0]: number 3: want an object",
		`{} {`:                       "standard input: document 2: near byte",
		`{"items":[{"kind":"Pod"}]}`: `items[0]: kind "Pod", metadata.name ""`,
		`{"items":{}}`:               `document 1: items: object: want a list`,
		`{"items":[{"kind":"Deployment","metadata":{"name":"x"},"spec":{"selector":{"matchLabels":{"-":"b"}}}}]}`: `deployment/x: spec.selector: key: Invalid value: "-"`,
		`{"items":[{"kind":"Service","metadata":{"name":"x"},"spec":{"selector":[]}}]}`:                           `service/x: spec.selector: array: want an object`,
		"kind: Pod\nmetadata: {name: a}\n---\nkind: Pod\nmetadata:\n  name: b\n  labels:\n    version: 12\n":      `standard input: document 2: metadata.labels`,
		"kind: Pod\n---\nkind: [": `standard input: document 2: yaml: line`,
		"kind: Pod\nkind: Pod\n":  `document 1: `,
		"kind: \xff":              `standard input: want UTF-8`,
	} {
		_, err := output(t, input, "-f", "-")
		require.ErrorContains(t, err, want, input)
	}
	_, err := output(t, "kind: Pod\nmetadata: {name: b, labels: {version: 12}}\n", "-f", "-")
	require.ErrorContains(t, err, "number 12: want a string")
	_, err = output(t, "", "-l", "a in")
	require.ErrorContains(t, err, "offset 4")
	_, err = output(t, "", "-f", "no such file")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestRealDumps(t *testing.T) {
	files, err := filepath.Glob("../../../shared/data/*/*.json")
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skip("no real dumps beside the repository")
	}
	for _, file := range files {
		out, err := output(t, "", "-f", file, "-l", "kubernetes.io/os=linux")
		require.NoError(t, err, file)
		require.Contains(t, out, `"kubernetes.io/os=linux" matches`, file)
	}
}
