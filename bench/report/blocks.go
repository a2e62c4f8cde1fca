package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	commentOpen  = "<!-- "
	commentClose = " -->"
	endMarker    = commentOpen + "end" + commentClose
)

// request is the first comment of a block: a kind, a file, settings.
type request struct {
	kind     string
	path     string
	settings map[string]string
}

var settingsOf = map[string][]string{
	"ratios": {"rows"},
	"growth": {"x", "y", "bench", "chart", "title"},
}

// parseRequest reads a line. Other comments than requests are not ok; a request
// that cannot be met is an error.
func parseRequest(line string) (r request, ok bool, err error) {
	inner, found := strings.CutPrefix(line, commentOpen)
	inner, closed := strings.CutSuffix(inner, commentClose)
	words := strings.Fields(inner)
	if !found || !closed || len(words) == 0 || settingsOf[words[0]] == nil {
		return request{}, false, nil
	}
	if len(words) < 2 {
		return request{}, false, fmt.Errorf("%q names no file", line)
	}
	r = request{kind: words[0], path: words[1], settings: map[string]string{}}
	for _, word := range words[2:] {
		key, value, found := strings.Cut(word, "=")
		if !found || !slices.Contains(settingsOf[r.kind], key) {
			return request{}, false, fmt.Errorf("%q: unknown setting %q, want one of %v", line, word, settingsOf[r.kind])
		}
		r.settings[key] = value
	}
	return r, true, nil
}

// pattern compiles a setting; an absent one matches everything.
func (r request) pattern(key string) (*regexp.Regexp, error) {
	p, err := regexp.Compile(r.settings[key])
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", key, r.settings[key], err)
	}
	return p, nil
}

// fill replaces the blocks of a page whose files lie beside dir.
func fill(page, dir string) (text string, charts []file, err error) {
	var out strings.Builder
	lines := strings.Split(page, "\n")
	for i := 0; i < len(lines); i++ {
		out.WriteString(lines[i])
		if i < len(lines)-1 {
			out.WriteByte('\n')
		}
		r, ok, err := parseRequest(lines[i])
		if err != nil {
			return "", nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if !ok {
			continue
		}
		size := slices.Index(lines[i+1:], endMarker)
		if size < 0 {
			return "", nil, fmt.Errorf("line %d: no line %q follows", i+1, endMarker)
		}
		table, chart, err := r.answer(dir)
		if err != nil {
			return "", nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		out.WriteString("\n" + table + "\n")
		charts = append(charts, chart...)
		i += size // the end marker is the next line
	}
	return out.String(), charts, nil
}

// answer makes the Markdown that a request asks for, and its chart.
func (r request) answer(dir string) (markdown string, charts []file, err error) {
	if r.kind == "ratios" {
		markdown, err = r.ratioTable(filepath.Join(dir, r.path))
		return markdown, nil, err
	}
	g, err := r.readGrowth(filepath.Join(dir, r.path))
	if err != nil {
		return "", nil, err
	}
	markdown = g.table()
	if chart := r.settings["chart"]; chart != "" {
		title := strings.ReplaceAll(r.settings["title"], "_", " ")
		charts = []file{{filepath.Join(dir, chart), []byte(g.svg(title))}}
		markdown += fmt.Sprintf("\n![%s](%s)\n", title, chart)
	}
	return markdown, charts, nil
}
