// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestAProgramIsDescribedByWhatIsInIt(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var written bytes.Buffer
	if err := run(&written, program, "v9.8.7"); err != nil {
		t.Fatal(err)
	}
	var b bom
	if err := json.Unmarshal(written.Bytes(), &b); err != nil {
		t.Fatal(err)
	}
	if b.BOMFormat != "CycloneDX" || b.Metadata.Component.Version != "v9.8.7" {
		t.Errorf("it is %+v", b)
	}
	if len(b.Components) == 0 || b.Components[0].PURL != "pkg:golang/stdlib@"+runtime.Version() {
		t.Errorf("the Go release is missing in %+v", b.Components)
	}
}

func TestWhatIsNoProgramIsRefused(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(none, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"", none, filepath.Join(t.TempDir(), "absent")} {
		if err := run(&bytes.Buffer{}, program, ""); err == nil {
			t.Errorf("%q is taken", program)
		}
	}
}
