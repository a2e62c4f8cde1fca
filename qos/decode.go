package qos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/orchcore/orchcore/qos/resource"
)

// A FieldError says which field of an object has a wrong value. The error it
// wraps says what the value is and what was expected.
type FieldError struct {
	Field string // such as spec.containers[0].resources.requests["cpu"]
	Err   error
}

// Error names the field and what is wrong with it.
func (e *FieldError) Error() string { return fmt.Sprintf("%s: %v", e.Field, e.Err) }

// Unwrap returns what is wrong, for errors.Is and errors.As.
func (e *FieldError) Unwrap() error { return e.Err }

// DecodePod reads a Kubernetes v1 Pod from JSON. A wrong value is a
// *FieldError; text that is not JSON is a *json.SyntaxError.
func DecodePod(data []byte) (*Pod, error) {
	var p Pod
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, locate(data, err)
	}
	return &p, nil
}

// locate wraps err with the path of the field that caused it. It is the slow
// path of decoding: it reads the object again, without a type.
func locate(data []byte, err error) error {
	var typeErr *json.UnmarshalTypeError
	if errors.As(err, &typeErr) && typeErr.Field != "" {
		return &FieldError{Field: typeErr.Field, Err: err}
	}
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // a float64 would not hold 1e400
	if decoder.Decode(&tree) != nil {
		return err // not JSON
	}
	if field, cause := badQuantity("", tree); cause != nil {
		return &FieldError{Field: field, Err: cause}
	}
	return err
}

// badQuantity returns the path of the first wrong quantity below v, in
// alphabetical order, and what is wrong with it.
func badQuantity(path string, v any) (string, error) {
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			if field, err := badQuantity(fmt.Sprintf("%s[%d]", path, i), item); err != nil {
				return field, err
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			below := key
			if path != "" {
				below = path + "." + key
			}
			field, err := badQuantity(below, v[key])
			if err == nil {
				field, err = badQuantityField(below, key, v[key])
			}
			if err != nil {
				return field, err
			}
		}
	}
	return "", nil
}

// badQuantityField checks v if fields called key hold quantities.
func badQuantityField(path, key string, v any) (string, error) {
	switch key {
	case "requests", "limits", "overhead":
		list, _ := v.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(list)) {
			if err := checkQuantity(list[name]); err != nil {
				return fmt.Sprintf("%s[%q]", path, name), err
			}
		}
	case "sizeLimit":
		return path, checkQuantity(v)
	}
	return "", nil
}

func checkQuantity(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var q resource.Quantity
	return q.UnmarshalJSON(data)
}
