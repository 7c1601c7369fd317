// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package advice knows what to do about each reason in a condition: the line that describe and doctor print. docs/troubleshooting.md
// has the same at length. reasons.go has the lines, and its test that no reason of the API is without one.
package advice

import "strings"

// About is what a reason was found on. Lines name it, so that they can be typed as they are.
type About struct {
	// Resource is its short name, such as sbx.
	Resource string
	// Namespace and Name are the object's; Namespace is empty for what is the cluster's.
	Namespace, Name string
	// Provider is how kubectl names the provider that it has or asks for, such as "csbxp local"; empty = not known.
	Provider string
}

// Next says what to do about a reason; empty for one that this plugin doesn't know.
func Next(reason string, about About) string {
	object := about.Resource + " " + about.Name
	if about.Namespace != "" {
		object += " -n " + about.Namespace
	}
	provider, namespace := about.Provider, about.Namespace
	if provider == "" {
		provider = "csbxp NAME"
	}
	if namespace == "" {
		namespace = "NAMESPACE"
	}
	return strings.NewReplacer("{object}", object, "{provider}", provider, "{name}", about.Name, "{namespace}", namespace).
		Replace(steps[reason])
}
