package load

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// fieldError is a value of the wrong type.
type fieldError struct {
	field string
	value any
	want  string
}

func (e *fieldError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.field, show(e.value), e.want)
}

// check compares a tree with the Go type that will later be decoded from it, and
// reports the path of the first value that does not fit. Fields that the type does
// not have are left alone, except those that differ from one of its fields only in
// case: encoding/json would take them, Kubernetes would not.
func check(value any, t reflect.Type, path string) error {
	if t == reflect.TypeFor[api.TemplateSpec]() {
		t = reflect.TypeFor[api.PodSpec]()
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if value == nil || t.Kind() == reflect.Interface {
		return nil
	}
	switch {
	case t.Kind() == reflect.Map:
		return checkMap(value, t, path)
	case reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		return checkLeaf(value, t, path)
	}
	switch t.Kind() {
	case reflect.Struct:
		return checkStruct(value, t, path)
	case reflect.Slice:
		return checkSlice(value, t, path)
	case reflect.String:
		if _, ok := value.(string); !ok {
			return &fieldError{path, value, "want a string"}
		}
	case reflect.Bool:
		if _, ok := value.(bool); !ok {
			return &fieldError{path, value, "want true or false"}
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		return checkNumber(value, t, path)
	}
	return nil
}

func checkStruct(value any, t reflect.Type, path string) error {
	object, ok := value.(api.Fields)
	if !ok {
		return &fieldError{path, value, "want an object"}
	}
	fields := map[string]reflect.Type{}
	collect(t, fields)
	for name := range object {
		if _, known := fields[name]; known {
			continue
		}
		for field := range fields {
			if strings.EqualFold(field, name) {
				return &fieldError{join(path, name), object[name], fmt.Sprintf("unknown field, want %q", field)}
			}
		}
	}
	for _, name := range sortedKeys(fields) {
		if err := check(object[name], fields[name], join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

// collect lists the JSON fields of a struct, those of embedded structs included.
func collect(t reflect.Type, fields map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "-":
		case tag != "":
			fields[tag] = f.Type
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			collect(f.Type, fields)
		}
	}
}

func checkMap(value any, t reflect.Type, path string) error {
	object, ok := value.(api.Fields)
	if !ok {
		return &fieldError{path, value, "want an object"}
	}
	for _, name := range sortedKeys(object) {
		if object[name] == nil && t.Elem().Kind() == reflect.String {
			return &fieldError{path + "[" + name + "]", nil, "want a string"}
		}
		if err := check(object[name], t.Elem(), path+"["+name+"]"); err != nil {
			return err
		}
	}
	return nil
}

func checkSlice(value any, t reflect.Type, path string) error {
	list, ok := value.([]any)
	if !ok {
		return &fieldError{path, value, "want a list"}
	}
	for i, element := range list {
		at := path + "[" + strconv.Itoa(i) + "]"
		if element == nil && t.Elem().Kind() != reflect.Interface {
			return &fieldError{at, nil, "want a value"}
		}
		if err := check(element, t.Elem(), at); err != nil {
			return err
		}
	}
	return nil
}

func checkNumber(value any, t reflect.Type, path string) error {
	number, ok := value.(json.Number)
	if !ok {
		return &fieldError{path, value, "want a number, not in quotes"}
	}
	if err := json.Unmarshal([]byte(number), reflect.New(t).Interface()); err != nil {
		want := fmt.Sprintf("want a whole number of at most %d bits", t.Bits())
		if f, err := number.Float64(); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 && strings.ContainsAny(string(number), ".eE") {
			want = "want a number without exponent or fraction"
		}
		return &fieldError{path, value, want}
	}
	return nil
}

// checkLeaf lets a type that decodes itself try the value.
func checkLeaf(value any, t reflect.Type, path string) error {
	text, err := json.Marshal(value)
	if err != nil {
		return &fieldError{path, value, err.Error()}
	}
	if err := reflect.New(t).Interface().(json.Unmarshaler).UnmarshalJSON(text); err != nil {
		return &fieldError{path, value, err.Error()}
	}
	return nil
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
