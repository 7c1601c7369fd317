// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends_test

import (
	"flag"
	"strings"
	"testing"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func registry() *backends.Registry {
	return backends.NewRegistry(
		backends.Registration{Name: "cloud", Aliases: []string{"cloud.example"}},
		backends.Registration{Name: "here", OptIn: true, Aliases: []string{"localhost"}, Flags: func(flags *flag.FlagSet) {
			flags.String("here-dir", "", "")
		}},
		backends.Registration{Name: "other"},
	)
}

func wantBackend(t *testing.T, r *backends.Registry, name, want string) {
	t.Helper()
	if found, err := r.Lookup(name); err != nil || found.Name != want {
		t.Errorf("looking up %q gives %q, %v; want %q", name, found.Name, err, want)
	}
}

func wantRefused(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("the error is %v; it must say %q", err, word)
		}
	}
}

func TestBackendsAreFoundByNameAndAlias(t *testing.T) {
	wantBackend(t, registry(), "cloud", "cloud")
	wantBackend(t, registry(), "cloud.example", "cloud")
	_, err := registry().Lookup("clod")
	wantRefused(t, err, `unknown backend "clod"`, "cloud, other")
	if strings.Contains(err.Error(), "here") {
		t.Errorf("%v names a backend that is not enabled", err)
	}
	_, err = backends.NewRegistry().Lookup("cloud")
	wantRefused(t, err, "this operator has: none")
}

func TestOptInBackendsWorkOnlyWhenNamed(t *testing.T) {
	r := registry()
	for _, name := range []string{"here", "localhost"} {
		_, err := r.Lookup(name)
		wantRefused(t, err, "not enabled", "enabled: cloud, other", "--backends=...,here")
	}
	if err := r.Enable(); err != nil {
		t.Errorf("enabling nothing: %v", err)
	}
	wantBackend(t, r, "cloud", "cloud")
}

func TestEnableMakesExactlyTheseAvailable(t *testing.T) {
	r := registry()
	if err := r.Enable("localhost", "other"); err != nil {
		t.Fatal(err)
	}
	wantBackend(t, r, "here", "here")
	wantBackend(t, r, "other", "other")
	_, err := r.Lookup("cloud")
	wantRefused(t, err, "not enabled", "enabled: here, other")
	wantRefused(t, r.Enable("cloud", "nonsense"), `unknown backend "nonsense"`, "known: cloud, here, other")
	wantBackend(t, r, "here", "here")
}

func TestRegistryListsAllAndAddsTheirFlags(t *testing.T) {
	r := registry()
	all := r.All()
	if len(all) != 3 || all[1].Name != "here" {
		t.Errorf("all backends are %+v", all)
	}
	all[0].Name = "changed"
	wantBackend(t, r, "cloud", "cloud")
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	r.AddFlags(flags)
	if flags.Lookup("here-dir") == nil {
		t.Error("a backend's flag is missing")
	}
}
