// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func isTrue(value *bool) bool { return value != nil && *value }

// compareLimits complains where the current schema refuses a value that the old one takes, or understands it otherwise.
func (f *findings) compareLimits(where string, old, now *schema) {
	if old.Type != now.Type || old.XIntOrString != now.XIntOrString {
		f.addf(where, "the type changed from %q to %q", old.Type, now.Type)
	}
	if was, is := text(old.Default), text(now.Default); was != is {
		f.addf(where, "the default changed from %s to %s", cmp.Or(was, "none"), cmp.Or(is, "none"))
	}
	if old.Nullable && !now.Nullable {
		f.addf(where, "null is refused now")
	}
	if isTrue(old.XPreserveUnknownFields) && !isTrue(now.XPreserveUnknownFields) {
		f.addf(where, "unknown fields are dropped now")
	}
	if now.Pattern != "" && old.Pattern != now.Pattern {
		f.addf(where, "the pattern changed from %q to %q", old.Pattern, now.Pattern)
	}
	if now.Format != "" && old.Format != now.Format {
		f.addf(where, "the format changed from %q to %q", old.Format, now.Format)
	}
	f.compareEnum(where, old, now)
	f.compareNumbers(where, old, now)
	f.compareLists(where, old, now)
	f.compareRules(where, old, now)
}

func text(value *apiextensionsv1.JSON) string {
	if value == nil {
		return ""
	}
	return string(value.Raw)
}

func (f *findings) compareEnum(where string, old, now *schema) {
	if len(now.Enum) == 0 {
		return
	}
	if len(old.Enum) == 0 {
		f.addf(where, "only some values are taken now")
	}
	for i := range old.Enum {
		same := func(value apiextensionsv1.JSON) bool { return text(&value) == text(&old.Enum[i]) }
		if !slices.ContainsFunc(now.Enum, same) {
			f.addf(where, "the value %s is refused now", text(&old.Enum[i]))
		}
	}
}

func (f *findings) compareNumbers(where string, old, now *schema) {
	atMost(f, where, "maximum", old.Maximum, now.Maximum)
	atMost(f, where, "maxLength", old.MaxLength, now.MaxLength)
	atMost(f, where, "maxItems", old.MaxItems, now.MaxItems)
	atMost(f, where, "maxProperties", old.MaxProperties, now.MaxProperties)
	if now.Minimum != nil && (old.Minimum == nil || *now.Minimum > *old.Minimum) {
		f.addf(where, "minimum is %v now", *now.Minimum)
	}
	atLeast(f, where, "minLength", old.MinLength, now.MinLength)
	atLeast(f, where, "minItems", old.MinItems, now.MinItems)
	atLeast(f, where, "minProperties", old.MinProperties, now.MinProperties)
}

func atMost[T int64 | float64](f *findings, where, what string, old, now *T) {
	if now != nil && (old == nil || *now < *old) {
		f.addf(where, "%s is %v now", what, *now)
	}
}

// atLeast is of lengths and counts, of which none is below 0.
func atLeast(f *findings, where, what string, old, now *int64) {
	if now != nil && (old == nil && *now > 0 || old != nil && *now > *old) {
		f.addf(where, "%s is %v now", what, *now)
	}
}

// compareLists complains where server-side apply would merge otherwise.
func (f *findings) compareLists(where string, old, now *schema) {
	was, is := value(old.XListType), value(now.XListType)
	if was != is {
		f.addf(where, "the list's type changed from %q to %q", was, is)
	}
	if was, is := strings.Join(old.XListMapKeys, ","), strings.Join(now.XListMapKeys, ","); was != is {
		f.addf(where, "the list's keys changed from %q to %q", was, is)
	}
	if was, is := value(old.XMapType), value(now.XMapType); was != is {
		f.addf(where, "the map's type changed from %q to %q", was, is)
	}
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// compareRules complains of rules that were not there: nobody but a person can say whether they refuse what was fine.
func (f *findings) compareRules(where string, old, now *schema) {
	for _, rule := range now.XValidations {
		same := func(was apiextensionsv1.ValidationRule) bool { return was.Rule == rule.Rule }
		if !slices.ContainsFunc(old.XValidations, same) {
			f.addf(where, "there is another rule: %s", strings.Join(strings.Fields(rule.Rule), " "))
		}
	}
}
