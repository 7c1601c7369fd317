// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// DecodeParameters decodes a provider's free-form parameters into the options of a backend, strictly: an unknown or wrong
// field is an error that names the known ones. Empty and null decode to the zero value. T is a flat struct with json tags.
func DecodeParameters[T any](raw []byte) (T, error) {
	var options T
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return options, nil
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(raw, &given); err != nil {
		return options, errors.New("parameters are not an object")
	}
	known := parameterNames[T]()
	for _, name := range sortedKeys(given) {
		// encoding/json matches names regardless of case, which would let one option have two spellings.
		if _, ok := known[name]; !ok {
			return options, fmt.Errorf("unknown parameter %q (known: %s)", Bounded(name, 64), knownParameters(known))
		}
	}
	if err := json.Unmarshal(raw, &options); err != nil {
		if wrongType, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return options, fmt.Errorf("parameter %q must be %s (got: %s)",
				wrongType.Field, describeType(wrongType.Type), Bounded(wrongType.Value, 64))
		}
		return options, fmt.Errorf("parameters: %w", err)
	}
	return options, nil
}

func parameterNames[T any]() map[string]struct{} {
	names := map[string]struct{}{}
	for field := range reflect.TypeFor[T]().Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
			names[name] = struct{}{}
		}
	}
	return names
}

func knownParameters(known map[string]struct{}) string {
	if len(known) == 0 {
		return "none"
	}
	return strings.Join(sortedKeys(known), ", ")
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// describeType says what to write in JSON or YAML for a Go type.
func describeType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "an integer"
	}
}
