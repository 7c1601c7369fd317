// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// field is what the page needs of a schema.
type field struct {
	Type                 string
	Format               string
	Description          string
	Properties           map[string]field
	Required             []string
	Items                *field
	AdditionalProperties *field
	Enum                 []json.RawMessage
	Default              json.RawMessage
	Minimum, Maximum     *float64
	MinLength, MaxLength *int64
	MinItems, MaxItems   *int64
	MaxProperties        *int64
	IntOrString          bool   `json:"x-kubernetes-int-or-string"`
	Preserve             bool   `json:"x-kubernetes-preserve-unknown-fields"`
	Rules                []rule `json:"x-kubernetes-validations"`
}

type rule struct{ Rule, Message string }

// takes says what the field takes, for a cell of a table.
func (f field) takes(required bool) string {
	words := []string{f.kind()}
	if required {
		words = append(words, "**required**")
	}
	if bounds := f.bounds(); bounds != "" {
		words = append(words, bounds)
	}
	if f.Default != nil {
		words = append(words, "default `"+string(f.Default)+"`")
	}
	return strings.Join(words, ", ")
}

func (f field) kind() string {
	switch {
	case len(f.Enum) > 0:
		var values []string
		for _, value := range f.Enum {
			values = append(values, "`"+strings.Trim(string(value), `"`)+"`")
		}
		return strings.Join(values, ", ")
	case f.IntOrString:
		return "quantity"
	case f.Format == "date-time":
		return "time"
	case f.Items != nil:
		return "list of " + f.Items.kind()
	case f.AdditionalProperties != nil:
		return "map of " + f.AdditionalProperties.kind()
	case f.Preserve && f.Type == "object":
		return "any object"
	default:
		return f.Type
	}
}

func (f field) bounds() string {
	var found []string
	add := func(format string, value float64) {
		found = append(found, fmt.Sprintf(format, strconv.FormatFloat(value, 'f', -1, 64)))
	}
	if f.Minimum != nil {
		add("at least %s", *f.Minimum)
	}
	if f.Maximum != nil {
		add("at most %s", *f.Maximum)
	}
	for _, bound := range []struct {
		most *int64
		of   string
	}{{f.MaxLength, "characters"}, {f.MaxItems, "entries"}, {f.MaxProperties, "entries"}} {
		if bound.most != nil && len(f.Enum) == 0 {
			add("at most %s "+bound.of, float64(*bound.most))
		}
	}
	return strings.Join(found, ", ")
}

// below is the object whose fields come next, and what stands in their path for it.
func (f field) below() (field, string) {
	switch {
	case f.Items != nil:
		inner, suffix := f.Items.below()
		return inner, "[]" + suffix
	case f.AdditionalProperties != nil:
		inner, suffix := f.AdditionalProperties.below()
		return inner, "{}" + suffix
	default:
		return f, ""
	}
}

// ruleAt is a rule's message, and the path that it holds for.
type ruleAt struct{ path, message string }

// gatherRules are all rules of a field and below it.
func gatherRules(path string, f field) []ruleAt {
	var found []ruleAt
	for _, r := range f.Rules {
		if r.Message != "" {
			found = append(found, ruleAt{path, flat(r.Message)})
		}
	}
	below, suffix := f.below()
	if suffix != "" {
		found = append(found, gatherRules(path+suffix, below)...)
		return found
	}
	for _, name := range slices.Sorted(maps.Keys(f.Properties)) {
		found = append(found, gatherRules(path+"."+name, f.Properties[name])...)
	}
	return found
}

func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// escape keeps a text within a cell of a table, and from being taken for HTML.
func escape(text string) string {
	return strings.NewReplacer("|", `\|`, "<", `\<`, ">", `\>`, "*", `\*`).Replace(text)
}
