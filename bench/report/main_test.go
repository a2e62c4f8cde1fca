package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadmeIsCurrent holds the README to the recorded measurements.
func TestReadmeIsCurrent(t *testing.T) {
	var complaint strings.Builder
	require.Zero(t, run([]string{"-check", "../../README.md"}, &complaint), complaint.String())
}

const (
	recordedRatios = `{"area":"a","row":"put/clients=1","unit":"puts/s","ours":2000.4,"peer":1000,"ratio":2.0004}

{"area":"a","row":"cold","unit":"ns/op","ours":61900000,"peer":623000000,"ratio":10.06}
`
	recordedBench = `goos: linux
BenchmarkCost/load=basic/nodes=1000-2   	 100	 4100 ns/op	 0 B/op	 244000 pods/s
BenchmarkCost/load=basic/nodes=10000-2  	 100	 2100 ns/op
BenchmarkCost/load=basic/nodes=10000-2  	 100	 2300 ns/op
BenchmarkCost/load=basic/nodes=10000-2  	 100	 9900 ns/op
BenchmarkCost/load=spread/nodes=1000-2  	 100	 1500 ns/op
BenchmarkOther/nodes=1000-2             	 100	 7 ns/op
PASS
`
)

// write puts files into a new directory and returns it.
func write(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func TestBlocksAreFilled(t *testing.T) {
	page := "# Page\n<!-- ratios r.jsonl -->\nold\n<!-- end -->\nbetween\n<!-- a comment -->\n" +
		"<!-- growth b.txt x=nodes y=ns/op bench=^Cost chart=c.svg title=Cost_<of>_a_pod -->\n<!-- end -->\nlast\n"
	dir := write(t, map[string]string{"page.md": page, "r.jsonl": recordedRatios, "b.txt": recordedBench})
	at := filepath.Join(dir, "page.md")
	var complaint strings.Builder
	require.Equal(t, 1, run([]string{"-check", at}, &complaint))
	require.Contains(t, complaint.String(), "page.md is not what its measurements say")
	require.Contains(t, complaint.String(), "c.svg is not what its measurements say")

	require.Zero(t, run([]string{at}, &complaint))
	text, err := os.ReadFile(at)
	require.NoError(t, err)
	require.Equal(t, `# Page
<!-- ratios r.jsonl -->

| | unit | ours | peer | ratio |
| --- | --- | ---: | ---: | ---: |
| put/clients=1 | puts/s | 2,000 | 1,000 | 2 |
| cold | ms | 61.9 | 623 | 10.1 |

<!-- end -->
between
<!-- a comment -->
<!-- growth b.txt x=nodes y=ns/op bench=^Cost chart=c.svg title=Cost_<of>_a_pod -->

| ns/op at nodes | 1,000 | 10,000 |
| --- | ---: | ---: |
| Cost basic | 4,100 | 2,300 |
| Cost spread | 1,500 | |

![Cost <of> a pod](c.svg)

<!-- end -->
last
`, string(text))

	require.Zero(t, run([]string{"-check", at}, &complaint), "a second run changes nothing")
	wellFormed(t, filepath.Join(dir, "c.svg"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "r.jsonl"), []byte(strings.ReplaceAll(recordedRatios, "2000.4", "2500")), 0o600))
	require.Equal(t, 1, run([]string{"-check", at}, &complaint), "other measurements make it stale")
}

func wellFormed(t *testing.T, path string) {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	elements := map[string]int{}
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok {
			elements[start.Name.Local]++
		}
	}
	require.Equal(t, 3, elements["circle"], "a dot per median")
}

func TestBrokenInputIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ page, ratios, want string }{
		"no end":          {"<!-- ratios r.jsonl -->\n", recordedRatios, `line 1: no line "<!-- end -->" follows`},
		"no file":         {"<!-- ratios -->\n<!-- end -->", "", "names no file"},
		"missing file":    {"<!-- ratios other.jsonl -->\n<!-- end -->", "", "no such file"},
		"unknown setting": {"\n<!-- ratios r.jsonl top=3 -->\n<!-- end -->", recordedRatios, `line 2: "<!-- ratios r.jsonl top=3 -->": unknown setting "top=3"`},
		"bad pattern":     {"<!-- ratios r.jsonl rows=( -->\n<!-- end -->", recordedRatios, "rows=(: error parsing regexp"},
		"nothing matches": {"<!-- ratios r.jsonl rows=^nothing -->\n<!-- end -->", recordedRatios, `no row that matches "^nothing"`},
		"not JSON":        {"<!-- ratios r.jsonl -->\n<!-- end -->", "{}\nx", "line 1: {}: want row, unit"},
		"negative":        {"<!-- ratios r.jsonl -->\n<!-- end -->", `{"row":"a","unit":"b","ours":-1,"peer":1,"ratio":1}`, "positive"},
		"no x":            {"<!-- growth r.jsonl y=ns/op -->\n<!-- end -->", recordedBench, "x and y must be set"},
		"no result":       {"<!-- growth r.jsonl x=keys y=ns/op -->\n<!-- end -->", recordedBench, "no result with keys=… and ns/op"},
		"odd value":       {"<!-- growth r.jsonl x=nodes y=ns/op -->\n<!-- end -->", "BenchmarkA/nodes=1-2 5 x ns/op", `line 1: "x": want a positive number of ns/op`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"page.md": c.page, "r.jsonl": c.ratios})
			var complaint strings.Builder
			require.Equal(t, 2, run([]string{filepath.Join(dir, "page.md")}, &complaint))
			require.Contains(t, complaint.String(), c.want)
			text, err := os.ReadFile(filepath.Join(dir, "page.md"))
			require.NoError(t, err)
			require.Equal(t, c.page, string(text), "the page is left alone")
		})
	}
}

func TestFigure(t *testing.T) {
	for want, v := range map[string]float64{"0.12": 0.12, "1.25": 1.2512, "12.9": 12.94, "99": 99.04, "484": 483.6, "1,000": 999.6, "28,000": 27999.7, "1,234,568": 1234567.8} {
		require.Equal(t, want, figure(v))
	}
}
