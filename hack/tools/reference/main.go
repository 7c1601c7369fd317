// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command reference writes docs/reference/api.md: every field of the CRDs by the path that a user writes, with what it takes, its
// description, and the rules that the API server holds across fields.
//
// `make manifests` runs it, after controller-gen has written the CRDs. main.go reads them and writes the page; field.go says of one
// field what it takes.
//
// usage: reference [ROOT]
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// definition is what the page needs of a CRD.
type definition struct {
	Spec struct {
		Group string
		Scope string
		Names struct {
			Kind       string
			Plural     string
			ShortNames []string
		}
		Versions []struct {
			Name   string
			Schema struct{ OpenAPIV3Schema field }
		}
	}
}

// order is that of a reader who is new.
var order = []string{"Sandbox", "SandboxExec", "SandboxProvider", "ClusterSandboxProvider"}

const head = `# API reference

Every field of every kind, made from the CRDs (` + "`make manifests`" + `). ` + "`kubectl explain`" + ` shows the same texts. [The API by example](../api-by-example.md) shows
them in use; [conditions](../concepts.md#conditions), [reasons](../troubleshooting.md#by-reason) and [labels, annotations and finalizers](names.md) are told elsewhere.

` + "`[]`" + ` in a path stands for each entry of a list, and ` + "`{}`" + ` for each value of a map. A field that nobody calls required can be left out.
`

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := run(root); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	names, err := filepath.Glob(filepath.Join(root, "config", "crd", "bases", "*.yaml"))
	if err != nil {
		return err
	}
	var all []definition
	for _, name := range names {
		content, err := os.ReadFile(name) //nolint:gosec // the CRDs of this repository
		if err != nil {
			return err
		}
		var d definition
		if err := yaml.Unmarshal(content, &d); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b definition) int {
		return cmp.Compare(slices.Index(order, a.Spec.Names.Kind), slices.Index(order, b.Spec.Names.Kind))
	})
	p := &page{}
	p.WriteString(head)
	for i := range all {
		p.kind(&all[i])
	}
	out := filepath.Join(root, "docs", "reference", "api.md")
	return os.WriteFile(out, p.Bytes(), 0o644) //nolint:gosec // a page for everybody
}

// page is the page so far.
type page struct {
	bytes.Buffer
	// told are objects that the page has told of, so that it need not tell the same again.
	told []told
	// repeated are the paths of the current part whose fields are told of elsewhere.
	repeated []string
}

type told struct {
	where string
	field field
}

func (p *page) kind(d *definition) {
	names, version := d.Spec.Names, d.Spec.Versions[0]
	fmt.Fprintf(p, "\n## %s\n\n`%s/%s`, %s; short name `%s`. %s\n", names.Kind, d.Spec.Group, version.Name,
		map[string]string{"Namespaced": "in a namespace", "Cluster": "of the cluster"}[d.Spec.Scope],
		strings.Join(names.ShortNames, "`, `"), flat(version.Schema.OpenAPIV3Schema.Description))
	for _, part := range []string{"spec", "status"} {
		root := version.Schema.OpenAPIV3Schema.Properties[part]
		fmt.Fprintf(p, "\n### %s %s\n\n", names.Kind, part)
		if root.Description != "" {
			fmt.Fprintf(p, "%s\n\n", flat(root.Description))
		}
		p.repeated = nil
		p.WriteString("| field | takes | |\n|---|---|---|\n")
		p.rows(names.Kind+" ", part, root)
		p.rules(part, root)
	}
}

// rows writes a row for each field below one, and goes down into each; an object that was told of before is named only.
func (p *page) rows(kind, path string, of field) {
	for _, name := range slices.Sorted(maps.Keys(of.Properties)) {
		inner := of.Properties[name]
		at := path + "." + name
		takes := inner.takes(slices.Contains(of.Required, name))
		below, suffix := inner.below()
		said := flat(inner.Description)
		again := ""
		if len(below.Properties) > 0 {
			again = p.again(below)
		}
		if again != "" {
			said += " Its fields are those of " + again + "."
		}
		fmt.Fprintf(p, "| `%s` | %s | %s |\n", at, takes, escape(said))
		if again != "" {
			p.repeated = append(p.repeated, at)
		}
		if len(below.Properties) == 0 || again != "" {
			continue
		}
		p.told = append(p.told, told{kind + "`" + at + suffix + "`", below})
		p.rows(kind, at+suffix, below)
	}
	if len(p.told) == 0 || path == "spec" {
		p.told = append(p.told, told{kind + "`" + path + "`", of})
	}
}

// rules writes what the API server holds, a line for each message, with the paths for which it holds. What is told of elsewhere has
// its rules there.
func (p *page) rules(part string, root field) {
	var messages []string
	paths := map[string][]string{}
	for _, r := range gatherRules(part, root) {
		within := func(path string) bool {
			return strings.HasPrefix(r.path, path+".") || strings.HasPrefix(r.path, path+"[")
		}
		if slices.ContainsFunc(p.repeated, within) || slices.Contains(p.repeated, r.path) {
			continue
		}
		if paths[r.message] == nil {
			messages = append(messages, r.message)
		}
		paths[r.message] = append(paths[r.message], "`"+r.path+"`")
	}
	if len(messages) == 0 {
		return
	}
	p.WriteString("\nRules:\n\n")
	for _, message := range messages {
		fmt.Fprintf(p, "- %s: %s\n", strings.Join(paths[message], ", "), escape(message))
	}
}

// again says where the page has told of the same fields; empty = nowhere.
func (p *page) again(below field) string {
	for _, t := range p.told {
		if len(t.field.Properties) > 1 && reflect.DeepEqual(t.field.Properties, below.Properties) {
			return t.where
		}
	}
	return ""
}
