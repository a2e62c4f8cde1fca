package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Both axes are logarithmic: a constant cost is a level line, a linear one rises
// like the diagonal of a square.
const (
	chartWidth, chartHeight = 760.0, 400.0
	marginLeft, marginRight = 70.0, 190.0
	marginTop, marginBottom = 40.0, 50.0
)

// palette holds colours that differ also for the colour-blind (Okabe and Ito).
var palette = []string{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A00"}

// axis maps values to positions by their logarithm.
type axis struct {
	low, high  float64 // logarithms
	start, end float64 // positions
}

func newAxis(low, high, start, end float64) axis {
	a := axis{math.Log10(low), math.Log10(high), start, end}
	if a.high-a.low < 1e-9 {
		a.low, a.high = a.low-0.5, a.high+0.5
	}
	return a
}

func (a axis) at(v float64) float64 {
	return a.start + (math.Log10(v)-a.low)/(a.high-a.low)*(a.end-a.start)
}

// svg draws the series over the sizes.
func (g *growth) svg(title string) string {
	least, most := math.Inf(1), 0.0
	for _, bySize := range g.values {
		for _, v := range bySize {
			least, most = min(least, v), max(most, v)
		}
	}
	// Whole decades, so that the grid has lines to name.
	least, most = math.Pow(10, math.Floor(math.Log10(least))), math.Pow(10, math.Ceil(math.Log10(most)))
	x := newAxis(g.sizes[0], g.sizes[len(g.sizes)-1], marginLeft, chartWidth-marginRight)
	y := newAxis(least, most, chartHeight-marginBottom, marginTop)

	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12">`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&out, `<rect width="%g" height="%g" fill="white"/>`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&out, `<text x="%g" y="22" font-size="15">%s</text>`+"\n", marginLeft, html.EscapeString(title))
	for v := least; v <= most*1.001; v *= 10 {
		fmt.Fprintf(&out, `<path d="M%g %.1fH%g" stroke="#ddd"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`+"\n",
			marginLeft, y.at(v), chartWidth-marginRight, marginLeft-8, y.at(v)+4, figure(v))
	}
	for _, size := range g.sizes {
		fmt.Fprintf(&out, `<path d="M%.1f %gV%g" stroke="#eee"/><text x="%.1f" y="%g" text-anchor="middle">%s</text>`+"\n",
			x.at(size), marginTop, chartHeight-marginBottom, x.at(size), chartHeight-marginBottom+18, figure(size))
	}
	fmt.Fprintf(&out, `<text x="%g" y="%g" text-anchor="middle">%s</text>`+"\n", (marginLeft+chartWidth-marginRight)/2, chartHeight-10, html.EscapeString(g.x))
	fmt.Fprintf(&out, `<text x="%g" y="%g" text-anchor="end">%s</text>`+"\n", marginLeft-8, marginTop-14, html.EscapeString(g.y))
	for i, series := range g.names {
		g.line(&out, series, palette[i%len(palette)], x, y)
		at := marginTop + 12 + 20*float64(i)
		fmt.Fprintf(&out, `<path d="M%g %gh20" stroke="%s" stroke-width="2"/><text x="%g" y="%g">%s</text>`+"\n",
			chartWidth-marginRight+12, at-4, palette[i%len(palette)], chartWidth-marginRight+38, at, html.EscapeString(series))
	}
	out.WriteString("</svg>\n")
	return out.String()
}

func (g *growth) line(out *strings.Builder, series, colour string, x, y axis) {
	var path, dots strings.Builder
	for _, size := range g.sizes {
		v, ok := g.values[series][size]
		if !ok {
			continue
		}
		step := "L"
		if path.Len() == 0 {
			step = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", step, x.at(size), y.at(v))
		fmt.Fprintf(&dots, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, x.at(size), y.at(v), colour)
	}
	fmt.Fprintf(out, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>%s`+"\n", path.String(), colour, dots.String())
}
