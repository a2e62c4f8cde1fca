package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// document is one object of a stream, not yet looked at.
type document struct {
	origin Origin
	tree   api.Fields
}

// Bounds on what is read.
const (
	fileSizeMax     = 64 << 20
	totalSizeMax    = 192 << 20
	yamlDocumentMax = 8 << 20
	filesMax        = 10_000
)

// documents splits a file into its documents. Text that begins with a brace is
// JSON, anything else YAML.
func documents(file string, text []byte) ([]document, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(text) {
		return nil, &Error{Origin: Origin{File: file}, Want: fmt.Sprintf("byte %d is not UTF-8", invalidAt(text))}
	}
	if t := bytes.TrimLeft(text, " \t\r\n"); len(t) > 0 && (t[0] == '{' || t[0] == '[') {
		return jsonDocuments(file, text)
	}
	return yamlDocuments(file, text)
}

func invalidAt(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(text)
}

func jsonDocuments(file string, text []byte) ([]document, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var out []document
	for n := 1; ; n++ {
		origin := Origin{File: file, Document: n}
		var value any
		switch err := decoder.Decode(&value); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, &Error{Origin: origin, Want: fmt.Sprintf("not JSON near byte %d: %v", decoder.InputOffset(), err)}
		}
		tree, ok := value.(api.Fields)
		if !ok {
			return nil, &Error{Origin: origin, Value: show(value), Want: "want a JSON object"}
		}
		out = append(out, document{origin, tree})
	}
}

func yamlDocuments(file string, text []byte) ([]document, error) {
	var out []document
	number := 0
	for _, part := range splitYAML(text) {
		if blank(part.text) {
			continue
		}
		number++
		origin := Origin{File: file, Document: number, Line: part.line}
		tree, err := parseYAML(part.text)
		if err != nil {
			return nil, &Error{Origin: origin, Want: strings.ReplaceAll(err.Error(), "\n", " ")}
		}
		if tree != nil {
			out = append(out, document{origin, tree})
		}
	}
	return out, nil
}

type yamlPart struct {
	text []byte
	line int // of the first line, counted from 1
}

// splitYAML cuts a stream at its "---" lines, and at "..." which ends a document.
func splitYAML(text []byte) []yamlPart {
	var parts []yamlPart
	start, startLine, line := 0, 1, 0
	for pos := 0; pos < len(text); {
		line++
		end := len(text)
		if i := bytes.IndexByte(text[pos:], '\n'); i >= 0 {
			end = pos + i + 1
		}
		row := bytes.TrimRight(text[pos:end], "\r\n")
		if marker(row, "---") || marker(row, "...") {
			parts = append(parts, yamlPart{text[start:pos], startLine})
			// What follows the dashes on their line belongs to the document.
			start, startLine = pos+3, line
		}
		pos = end
	}
	return append(parts, yamlPart{text[start:], startLine})
}

func marker(row []byte, mark string) bool {
	rest, ok := bytes.CutPrefix(row, []byte(mark))
	return ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t')
}

// blank reports whether a part has nothing but comments, directives and white space.
func blank(text []byte) bool {
	for row := range bytes.Lines(text) {
		row = bytes.TrimSpace(row)
		if len(row) > 0 && row[0] != '#' && row[0] != '%' {
			return false
		}
	}
	return true
}

// parseYAML reads one document as an object; nil for one that is null.
func parseYAML(text []byte) (tree api.Fields, err error) {
	if len(text) > yamlDocumentMax {
		return nil, fmt.Errorf("document of %d bytes: want at most %d", len(text), yamlDocumentMax)
	}
	defer func() { // the parser is not ours; a panic of it must not be ours either
		if r := recover(); r != nil {
			tree, err = nil, fmt.Errorf("not YAML: %v", r)
		}
	}()
	if bytes.IndexByte(text, '*') >= 0 && bytes.IndexByte(text, '&') >= 0 {
		if err := checkAliases(text); err != nil {
			return nil, fmt.Errorf("not YAML: %w", err)
		}
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(asJSON))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	switch v := value.(type) {
	case nil:
		return nil, nil
	case api.Fields:
		return v, nil
	}
	return nil, fmt.Errorf("%s: want an object with apiVersion, kind and metadata", show(value))
}
