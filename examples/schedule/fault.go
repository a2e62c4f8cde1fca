package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// fault is a value that cannot be accepted: where it is, what it is, and what
// was expected.
type fault struct {
	field, value, want string
}

func (f *fault) Error() string {
	if f.field == "" {
		return f.value + ": " + f.want
	}
	return f.field + ": " + f.value + ": " + f.want
}

// locate finds the first field in data that keeps it from being decoded into t,
// by decoding ever smaller parts. Err is why the whole failed.
func locate(data []byte, t reflect.Type, path string, err error) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var inner error
	switch t.Kind() {
	case reflect.Struct:
		inner = locateIn(data, path, func(name string) reflect.Type { return fieldType(t, name) })
	case reflect.Map:
		inner = locateIn(data, path, func(string) reflect.Type { return t.Elem() })
	case reflect.Slice:
		var list []json.RawMessage
		if json.Unmarshal(data, &list) != nil {
			break
		}
		for i, part := range list {
			if inner = locatePart(part, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); inner != nil {
				break
			}
		}
	}
	if inner != nil {
		return inner
	}
	return &fault{path, shown(data), reasonFor(t, err)}
}

func locateIn(data []byte, path string, typeOf func(string) reflect.Type) error {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		t := typeOf(name)
		if t == nil {
			continue
		}
		if err := locatePart(fields[name], t, strings.TrimPrefix(path+"."+name, ".")); err != nil {
			return err
		}
	}
	return nil
}

func locatePart(data []byte, t reflect.Type, path string) error {
	if err := json.Unmarshal(data, reflect.New(t).Interface()); err != nil {
		return locate(data, t, path, err)
	}
	return nil
}

// fieldType returns the type of the field with a JSON name, nil for unknown
// names.
func fieldType(t reflect.Type, name string) reflect.Type {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" && f.Anonymous {
			if inner := fieldType(f.Type, name); inner != nil {
				return inner
			}
		}
		if strings.EqualFold(tag, name) {
			return f.Type
		}
	}
	return nil
}

// reasonFor says what was expected of a value of type t.
func reasonFor(t reflect.Type, err error) string {
	if _, ok := err.(*json.UnmarshalTypeError); !ok {
		return err.Error()
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "want an object"
	case reflect.Slice:
		return "want a list"
	case reflect.String:
		return "want a string"
	case reflect.Bool:
		return "want true or false"
	}
	return fmt.Sprintf("want a whole number of %d bits", t.Bits())
}

const shownMax = 80

// shown cuts a value, so that a hostile one cannot flood the terminal.
func shown(data []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, data) == nil {
		data = b.Bytes()
	}
	if len(data) <= shownMax {
		return string(data)
	}
	cut := shownMax
	for cut > 0 && !utf8.RuneStart(data[cut]) {
		cut--
	}
	return string(data[:cut]) + "…"
}
