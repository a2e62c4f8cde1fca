package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/orchcore/orchcore/selector"
)

// fileSizeMax bounds what is read: YAML takes several times its size.
const fileSizeMax = 256 << 20

func load(file string, stdin io.Reader) (*cluster, error) {
	name, data, err := read(file, stdin)
	if err != nil {
		return nil, err
	}
	c := &cluster{bySelect: make(map[string]*selector.Registry[*object])}
	documents, err := split(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for i, d := range documents {
		if err := c.addDocument(d); err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", name, i+1, err)
		}
	}
	return c, nil
}

func read(file string, stdin io.Reader) (name string, data []byte, err error) {
	switch file {
	case "":
		return "the built-in shop", shop, nil
	case "-":
		name = "standard input"
	default:
		name = file
		f, err := os.Open(file)
		if err != nil {
			return "", nil, err
		}
		defer f.Close()
		stdin = f
	}
	data, err = io.ReadAll(io.LimitReader(stdin, fileSizeMax+1))
	if err == nil && len(data) > fileSizeMax {
		err = fmt.Errorf("more than %d bytes", fileSizeMax)
	}
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", name, err)
	}
	return name, data, nil
}

// split cuts the input into documents and turns each into JSON. What begins
// with a brace is JSON, one document after the other; anything else is YAML.
func split(data []byte) ([]json.RawMessage, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		return nil, errors.New("want UTF-8")
	}
	var documents []json.RawMessage
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' {
		decoder := json.NewDecoder(bytes.NewReader(data))
		for {
			var d json.RawMessage
			switch err := decoder.Decode(&d); {
			case err == io.EOF:
				return documents, nil
			case err != nil:
				return nil, fmt.Errorf("document %d: near byte %d: %w", len(documents)+1, decoder.InputOffset(), err)
			}
			documents = append(documents, d)
		}
	}
	for _, text := range splitYAML(string(data)) {
		if blank(text) {
			continue
		}
		d, err := yaml.YAMLToJSONStrict([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("document %d: %s", len(documents)+1, strings.ReplaceAll(err.Error(), "\n", " "))
		}
		documents = append(documents, d)
	}
	return documents, nil
}

// splitYAML cuts a stream at its "---" lines. What follows the dashes on their
// line belongs to the next document.
func splitYAML(stream string) []string {
	var out []string
	var text strings.Builder
	for line := range strings.Lines(stream) {
		rest, marked := strings.CutPrefix(line, "---")
		if marked && (rest == "" || strings.ContainsRune(" \t\r\n", rune(rest[0]))) {
			out = append(out, text.String())
			text.Reset()
			line = "   " + rest
		}
		text.WriteString(line)
	}
	return append(out, text.String())
}

// blank reports whether a document is white space and comments.
func blank(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return false
		}
	}
	return true
}

// addDocument takes in an object, or the items of a list.
func (c *cluster) addDocument(data []byte) error {
	if string(bytes.TrimSpace(data)) == "null" {
		return nil
	}
	var list struct {
		Items *[]json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return placed(data, err)
	}
	if list.Items == nil {
		return c.add(data)
	}
	for i, item := range *list.Items {
		if err := c.add(item); err != nil {
			return fmt.Errorf("items[%d]: %w", i, err)
		}
	}
	return nil
}

// placed says of a value of the wrong type which field it is in, what it is and
// what was wanted.
func placed(data []byte, err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	field := ""
	if wrong.Field != "" {
		field = wrong.Field + ": "
	}
	return fmt.Errorf("%s%s%s: want %s", field, wrong.Value, literalBefore(data, wrong.Offset), jsonType(wrong))
}

// literalBefore returns, after a space, the number, string or word that ends at
// the offset; nothing for a list or an object.
func literalBefore(data []byte, offset int64) string {
	if offset < 1 || offset > int64(len(data)) {
		return ""
	}
	const shownBytes = 60
	start := bytes.LastIndexAny(data[:offset], ":,[{ \t\r\n") + 1
	literal := data[start:offset]
	if len(literal) == 0 || len(literal) > shownBytes || !json.Valid(literal) {
		return ""
	}
	return " " + string(literal)
}

func jsonType(wrong *json.UnmarshalTypeError) string {
	switch kind := wrong.Type.Kind().String(); kind {
	case "struct", "map", "ptr":
		return "an object"
	case "slice":
		return "a list"
	case "string":
		return "a string"
	default:
		return kind
	}
}
