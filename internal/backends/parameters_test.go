// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends_test

import (
	"strings"
	"testing"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

type options struct {
	Region  string   `json:"region,omitempty"`
	Count   int      `json:"count"`
	Names   []string `json:"names"`
	private string
	Ignored string `json:"-"`
}

func TestParametersDecode(t *testing.T) {
	for raw, want := range map[string]options{
		"": {}, " ": {}, "null": {}, "{}": {}, "\n null \n": {},
		`{"region":"eu","count":3}`: {Region: "eu", Count: 3},
		`{"region":null}`:           {},
	} {
		got, err := backends.DecodeParameters[options]([]byte(raw))
		if err != nil || got.Region != want.Region || got.Count != want.Count || got.private != "" {
			t.Errorf("%q decodes to %+v, %v", raw, got, err)
		}
	}
}

func TestWrongParametersAreNamedWithTheKnownOnes(t *testing.T) {
	for raw, words := range map[string][]string{
		`{"reigon":"eu"}`:                        {`unknown parameter "reigon"`, "known: count, names, region"},
		`{"Region":"eu"}`:                        {`unknown parameter "Region"`},
		`{"private":"x"}`:                        {`unknown parameter "private"`},
		`{"Ignored":"x"}`:                        {`unknown parameter "Ignored"`},
		`{"-":"x"}`:                              {`unknown parameter "-"`},
		`{"count":"three"}`:                      {`parameter "count" must be an integer`, "string"},
		`{"names":"one"}`:                        {`parameter "names" must be a list`, "string"},
		`{"count":1.5}`:                          {`parameter "count" must be an integer`, "1.5"},
		`[]`:                                     {"not an object"},
		`"text"`:                                 {"not an object"},
		`{`:                                      {"not an object"},
		`{"` + strings.Repeat("x", 500) + `":1}`: {"unknown parameter", "…"},
	} {
		_, err := backends.DecodeParameters[options]([]byte(raw))
		if err == nil {
			t.Errorf("%s is accepted", raw)
			continue
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) || len(err.Error()) > 300 {
				t.Errorf("%s gives %q, which lacks %q", raw, err, word)
			}
		}
	}
	if _, err := backends.DecodeParameters[struct{}]([]byte(`{"a":1}`)); err == nil || !strings.Contains(err.Error(), "known: none") {
		t.Errorf("a backend without parameters says %v", err)
	}
}
