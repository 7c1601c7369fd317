// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package client has no code of its own: below it is what `make generate` makes of api/v1alpha1, for programs that use the API from Go.
//
//	clientset/versioned           a client with a method for each kind and verb, and a fake of it for unit tests
//	applyconfiguration            what to apply (server-side apply): only the fields that are set are sent
//	informers/externalversions    caches that follow the cluster
//	listers                       reads from these caches
//
// With controller-runtime, its own client serves with the types of api/v1alpha1; of this, applyconfiguration is useful then. The tests
// beside this file show both ways, docs/controllers.md a whole controller, and pkg/sandboxtest how to test one.
package client
