// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command sbom writes what a Go program is made of, as the linker noted it in the program itself, in CycloneDX's format
// (https://cyclonedx.org/docs/1.6/json): every module with its version, and the Go release. Unlike go.mod, it has what is in the
// program and nothing else.
//
//	go run ./hack/sbom --version v1.2.3 bin/manager >dist/sbom.cdx.json
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

func main() {
	version := flag.String("version", "", "version of the program")
	flag.Parse()
	if err := run(os.Stdout, flag.Arg(0), *version); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// component is one of CycloneDX's, as far as a Go program has something to say.
type component struct {
	Type    string `json:"type"`
	BOMRef  string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl,omitempty"`
}

type bom struct {
	BOMFormat   string `json:"bomFormat"`
	SpecVersion string `json:"specVersion"`
	Version     int    `json:"version"`
	Metadata    struct {
		Component component `json:"component"`
	} `json:"metadata"`
	Components []component `json:"components"`
}

func run(to io.Writer, program, version string) error {
	if program == "" {
		return errors.New("say which program: sbom [--version VERSION] PROGRAM")
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(describe(info, version))
}

func describe(info *debug.BuildInfo, version string) bom {
	if version == "" {
		version = info.Main.Version
	}
	b := bom{BOMFormat: "CycloneDX", SpecVersion: "1.6", Version: 1}
	b.Metadata.Component = module("application", info.Main.Path, version)
	b.Components = []component{module("library", "stdlib", info.GoVersion)}
	for _, dependency := range info.Deps {
		if dependency.Replace != nil {
			dependency = dependency.Replace
		}
		b.Components = append(b.Components, module("library", dependency.Path, dependency.Version))
	}
	return b
}

// module is a Go module by its package URL, which vulnerability databases go by.
func module(kind, path, version string) component {
	url := "pkg:golang/" + path
	if version != "" {
		url += "@" + version
	}
	return component{Type: kind, BOMRef: url, Name: path, Version: version, PURL: url}
}
