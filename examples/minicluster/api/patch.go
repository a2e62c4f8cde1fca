package api

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Fields is a JSON object under construction.
type Fields = map[string]any

// Merge applies a JSON merge patch (RFC 7396) to an object: objects merge field by
// field, null removes, anything else replaces. The patch may be any value that
// encodes as a JSON object.
func Merge(object []byte, patch any) ([]byte, error) {
	target, err := Tree(object)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("merge patch: %w", err)
	}
	change, err := Tree(text)
	if err != nil {
		return nil, err
	}
	return json.Marshal(mergeFields(target, change))
}

func mergeFields(target, patch Fields) Fields {
	if target == nil {
		target = Fields{}
	}
	for name, value := range patch {
		switch v := value.(type) {
		case nil:
			delete(target, name)
		case Fields:
			old, _ := target[name].(Fields)
			target[name] = mergeFields(old, v)
		default:
			target[name] = value
		}
	}
	return target
}

// Tree decodes a JSON object into maps, numbers kept as written.
func Tree(data []byte) (Fields, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var tree Fields
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	if tree == nil {
		return nil, fmt.Errorf("decode object: null, want a JSON object")
	}
	return tree, nil
}
