// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command compat compares the CRDs with those of an earlier version, and fails where an object or a manifest of that version
// would not be taken any more, or mean something else: fields and versions that are gone, values that are refused, defaults that changed.
//
// main.go reads both sides, compare.go compares CRDs and walks their schemas, and limits.go has what a schema refuses.
//
// usage: compat [--base REVISION] [--accepted FILE]
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const (
	bases    = "config/crd/bases"
	released = "test/upgrade/testdata/crds"
)

func main() {
	base := flag.String("base", "", "a revision of git; empty = the last tag, and where there is none, the CRDs in "+released)
	accepted := flag.String("accepted", "test/upgrade/testdata/accepted.txt", "changes that were made on purpose, a line each")
	flag.Parse()
	if err := run(*base, *accepted); err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		os.Exit(1)
	}
}

func run(base, accepted string) error {
	old, from, err := readOld(base)
	if err != nil {
		return err
	}
	current, err := readFolder(bases)
	if err != nil {
		return err
	}
	purposes, err := readAccepted(accepted)
	if err != nil {
		return err
	}
	breaks := Unexpected(Compare(old, current), purposes)
	for _, b := range breaks {
		fmt.Println(b)
	}
	if len(breaks) > 0 {
		return fmt.Errorf("%d changes since %s break objects or manifests that were fine before: take them back, or, "+
			"where they are meant, put them into %s, and tell users in CHANGELOG.md", len(breaks), from, accepted)
	}
	fmt.Printf("Objects and manifests of %s are fine with the CRDs in %s.\n", from, bases)
	return nil
}

// readOld reads the CRDs of a revision, and says which it is.
func readOld(base string) ([]apiextensionsv1.CustomResourceDefinition, string, error) {
	if base == "" {
		tag, err := git("describe", "--tags", "--abbrev=0")
		if err != nil {
			old, err := readFolder(released)
			return old, released, err
		}
		base = tag
	}
	names, err := git("ls-tree", "--name-only", base, bases+"/")
	if err != nil {
		return nil, base, fmt.Errorf("reading the CRDs of %s: %w; is this a shallow clone? git fetch --unshallow --tags", base, err)
	}
	if names == "" {
		return nil, base, fmt.Errorf("%s has no CRDs in %s", base, bases)
	}
	var old []apiextensionsv1.CustomResourceDefinition
	for name := range strings.FieldsSeq(names) {
		content, err := git("show", base+":"+name)
		if err != nil {
			return nil, base, err
		}
		if old, err = add(old, name, []byte(content)); err != nil {
			return nil, base, err
		}
	}
	return old, base, nil
}

func git(arguments ...string) (string, error) {
	output, err := exec.Command("git", arguments...).Output() //nolint:noctx // it ends with this program
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = errors.New(strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimRight(string(output), "\n"), err
}

func readFolder(folder string) ([]apiextensionsv1.CustomResourceDefinition, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var found []apiextensionsv1.CustomResourceDefinition
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if found, err = add(found, name, content); err != nil {
			return nil, err
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no CRDs are in %s", folder)
	}
	return found, nil
}

func add(crds []apiextensionsv1.CustomResourceDefinition, name string, content []byte) ([]apiextensionsv1.CustomResourceDefinition, error) {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(content, &crd); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return append(crds, crd), nil
}

// readAccepted reads lines as this program prints them; a line that begins with # is a comment.
func readAccepted(name string) ([]string, error) {
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var lines []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if line := strings.TrimSpace(scanner.Text()); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// Unexpected are the breaks that nobody accepted.
func Unexpected(breaks, accepted []string) []string {
	return slices.DeleteFunc(breaks, func(b string) bool { return slices.Contains(accepted, b) })
}
