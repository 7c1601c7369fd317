// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd has the CustomResourceDefinitions of the API group sandboxes.run, as `make manifests` writes them, in the program
// itself: pkg/sandboxtest installs them into other people's test clusters.
package crd

import "embed"

// Bases holds the definitions as YAML, one a file, in the folder bases.
//
//go:embed bases/*.yaml
var Bases embed.FS
