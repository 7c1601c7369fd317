// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
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
		var wrongType *json.UnmarshalTypeError
		if errors.As(err, &wrongType) {
			return options, fmt.Errorf("parameter %q must be a %s, not a %s", wrongType.Field, wrongType.Type, wrongType.Value)
		}
		return options, fmt.Errorf("parameters: %w", err)
	}
	return options, nil
}

func parameterNames[T any]() map[string]struct{} {
	names := map[string]struct{}{}
	t := reflect.TypeFor[T]()
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
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
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
