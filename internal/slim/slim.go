// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package slim leaves out of what the API server sends to a cache what the cache keeps nothing of anyway: managed fields, and what
// finished runs have printed. Ten thousand runs with full output are half a gigabyte, which a Kubernetes client reads half a dozen
// times over until an object comes of it; here all that is passed over before the client sees it.
//
// transport.go is where it stands between client and API server, and this file what it does to one answer or one event of a watch.
package slim

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// What stands in the place of what is left out.
const (
	noText   = `""`
	noFields = `null`
)

// value appends an answer or an event to dst without what is left out. What is no JSON of Kubernetes is appended as it is.
func value(dst, whole []byte) []byte {
	s := &slimmer{whole: whole, dst: dst, read: jsontext.NewDecoder(bytes.NewBuffer(whole), lenient...)}
	if err := s.top(); err != nil {
		return append(dst, whole...)
	}
	return append(s.dst, whole[s.copied:]...)
}

// lenient takes whatever the API server sends; what is wrong with it is for the client to say.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// slimmer goes through a text, and copies what is not left out.
type slimmer struct {
	whole, dst []byte
	read       *jsontext.Decoder
	// copied is how much of the text has been copied or left out.
	copied int64
	// finished says that the status being read is of a run that has ended. That is said before its output, as the API server sorts the
	// names; where it is not, the output stays.
	finished bool
}

// top is an object, a list of objects, or an event of a watch with one.
func (s *slimmer) top() error {
	return s.members(func(name string) error {
		switch name {
		case `"object"`:
			return s.object()
		case `"items"`:
			return s.elements(s.object)
		}
		return s.read.SkipValue()
	})
}

func (s *slimmer) object() error {
	s.finished = false
	return s.members(func(name string) error {
		switch name {
		case `"metadata"`:
			return s.members(s.leaving(noFields, `"managedFields"`))
		case `"status"`:
			return s.members(s.status)
		}
		return s.read.SkipValue()
	})
}

func (s *slimmer) status(name string) error {
	switch {
	case name == `"outcome"`:
		outcome, err := s.read.ReadValue()
		s.finished = outcome.Kind() == jsontext.KindString && len(outcome) > len(noText)
		return err
	case s.finished && (name == `"stdout"` || name == `"stderr"`):
		return s.members(s.leaving(noText, `"head"`, `"tail"`))
	case s.finished && name == `"outputs"`:
		return s.elements(func() error { return s.members(s.leaving(noText, `"content"`)) })
	}
	return s.read.SkipValue()
}

// leaving leaves out the members of these names.
func (s *slimmer) leaving(instead string, names ...string) func(string) error {
	return func(name string) error {
		if slices.Contains(names, name) {
			return s.leaveOut(instead)
		}
		return s.read.SkipValue()
	}
}

// leaveOut copies all until the next value, and something else in the place of that.
func (s *slimmer) leaveOut(instead string) error {
	skipped, err := s.read.ReadValue()
	if err != nil {
		return err
	}
	end := s.read.InputOffset()
	s.dst = append(append(s.dst, s.whole[s.copied:end-int64(len(skipped))]...), instead...)
	s.copied = end
	return nil
}

// members calls a function with each name of an object, quotes and all, which has to read the value. Of what is no object it skips all.
func (s *slimmer) members(each func(name string) error) error {
	if s.read.PeekKind() != jsontext.KindBeginObject {
		return s.read.SkipValue()
	}
	if _, err := s.read.ReadToken(); err != nil {
		return err
	}
	for s.read.PeekKind() != jsontext.KindEndObject {
		name, err := s.read.ReadValue()
		if err != nil {
			return err
		}
		if err := each(string(name)); err != nil {
			return err
		}
	}
	_, err := s.read.ReadToken()
	return err
}

// elements calls a function for each element of an array, which has to read it. Of what is no array it skips all.
func (s *slimmer) elements(each func() error) error {
	if s.read.PeekKind() != jsontext.KindBeginArray {
		return s.read.SkipValue()
	}
	if _, err := s.read.ReadToken(); err != nil {
		return err
	}
	for s.read.PeekKind() != jsontext.KindEndArray {
		if err := each(); err != nil {
			return err
		}
	}
	_, err := s.read.ReadToken()
	return err
}
