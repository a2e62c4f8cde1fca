package main

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// growth is how a cost grows with a size, for several series.
type growth struct {
	x, y   string
	sizes  []float64
	names  []string
	values map[string]map[float64]float64 // by series, by size: the median
}

// benchLine is a result line of go test -bench: name, runs, then value and unit in
// turn. The number of processors is no part of the name.
var benchLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.*)$`)

// readGrowth reads the results that the request selects.
func (r request) readGrowth(path string) (*growth, error) {
	g := &growth{x: r.settings["x"], y: r.settings["y"], values: map[string]map[float64]float64{}}
	if g.x == "" || g.y == "" {
		return nil, fmt.Errorf("growth of %s: x and y must be set", path)
	}
	selected, err := r.pattern("bench")
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	samples := map[string]map[float64][]float64{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		m := benchLine.FindStringSubmatch(lines.Text())
		if m == nil || !selected.MatchString(m[1]) {
			continue
		}
		series, size, ok := splitName(m[1], g.x)
		value, found, err := metric(m[2], g.y)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		if !ok || !found {
			continue
		}
		if samples[series] == nil {
			samples[series] = map[float64][]float64{}
			g.names = append(g.names, series)
		}
		samples[series][size] = append(samples[series][size], value)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(g.names) == 0 {
		return nil, fmt.Errorf("%s has no result with %s=… and %s", path, g.x, g.y)
	}
	g.settle(samples)
	return g, nil
}

// splitName takes key=size out of a benchmark's name; the rest, without the other
// keys, names the series.
func splitName(name, key string) (series string, size float64, ok bool) {
	var rest []string
	for _, part := range strings.Split(name, "/") {
		k, v, pair := strings.Cut(part, "=")
		switch {
		case pair && k == key:
			n, err := strconv.ParseFloat(v, 64)
			if err != nil || !(n > 0 && n <= math.MaxFloat64) {
				return "", 0, false
			}
			size, ok = n, true
		case pair:
			rest = append(rest, v)
		default:
			rest = append(rest, part)
		}
	}
	return strings.Join(rest, " "), size, ok
}

// metric finds the value of a unit among "value unit value unit …".
func metric(fields, unit string) (value float64, found bool, err error) {
	words := strings.Fields(fields)
	for i := 0; i+1 < len(words); i += 2 {
		if words[i+1] != unit {
			continue
		}
		v, err := strconv.ParseFloat(words[i], 64)
		if err != nil || !(v > 0 && v <= math.MaxFloat64) {
			return 0, false, fmt.Errorf("%q: want a positive number of %s", words[i], unit)
		}
		return v, true, nil
	}
	return 0, false, nil
}

// settle takes medians and orders the sizes.
func (g *growth) settle(samples map[string]map[float64][]float64) {
	sizes := map[float64]bool{}
	for series, bySize := range samples {
		g.values[series] = map[float64]float64{}
		for size, values := range bySize {
			slices.SortFunc(values, cmp.Compare[float64])
			g.values[series][size] = values[len(values)/2]
			sizes[size] = true
		}
	}
	g.sizes = slices.Sorted(maps.Keys(sizes))
}

func (g *growth) table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "| %s at %s |", g.y, g.x)
	for _, size := range g.sizes {
		fmt.Fprintf(&out, " %s |", figure(size))
	}
	out.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(g.sizes)) + "\n")
	for _, series := range g.names {
		fmt.Fprintf(&out, "| %s |", series)
		for _, size := range g.sizes {
			if v, ok := g.values[series][size]; ok {
				fmt.Fprintf(&out, " %s |", figure(v))
			} else {
				out.WriteString(" |")
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}
