// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestAMachineThatCanNotWorkSaysWhatToDo(t *testing.T) {
	g := NewWithT(t)
	open := func(s settings, euid int) error {
		_, err := openMachine(t.Context(), s, euid)
		return err
	}
	g.Expect(open(settings{}, 1000)).To(MatchError(And(ContainSubstring("user 1000"), ContainSubstring("start it as root"))))
	g.Expect(open(settings{runsc: "no-such-runsc"}, 0)).To(MatchError(And(
		ContainSubstring("not found"), ContainSubstring("--local-runsc"), ContainSubstring("install"))))

	shell, err := exec.LookPath("sh")
	g.Expect(err).NotTo(HaveOccurred())
	if static, err := isStatic(shell); err == nil && !static {
		g.Expect(open(settings{runsc: shell}, 0)).To(MatchError(And(
			ContainSubstring("dynamically linked"), ContainSubstring("CGO_ENABLED=0"))))
	}
	impostor := filepath.Join(t.TempDir(), "runsc")
	g.Expect(os.WriteFile(impostor, []byte("#!/bin/sh\necho no such command\n"), 0o700)).To(Succeed())
	g.Expect(open(settings{runsc: impostor}, 0)).To(MatchError(And(
		ContainSubstring("no usable runsc"), ContainSubstring("no such command"))))
}

func TestListOfAMachineThatCanNotWorkIsUnavailable(t *testing.T) {
	g := NewWithT(t)
	b := openTestBackend(t, t.TempDir(), "no-such-runsc")
	_, err := b.List(t.Context(), backends.Filter{})
	g.Expect(err).To(MatchError(backends.Unavailable))
	_, err = b.Create(t.Context(), request("box"))
	g.Expect(err).To(MatchError(backends.Unavailable))
}

func TestAStateDirectoryThatCanNotBeMadeIsUnavailable(t *testing.T) {
	g := NewWithT(t)
	file := filepath.Join(t.TempDir(), "file")
	g.Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
	_, err := openStore(file + "/root")
	g.Expect(err).To(HaveOccurred())
}

func TestParametersAreStrict(t *testing.T) {
	g := NewWithT(t)
	build := func(parameters string) error {
		_, err := Registration().New(t.Context(), backends.Config{Parameters: []byte(parameters)})
		return err
	}
	g.Expect(build("")).To(Succeed())
	g.Expect(build(`{"platform":"ptrace"}`)).To(Succeed())
	g.Expect(build(`{"platform":"magic"}`)).To(And(
		MatchError(backends.Invalid), MatchError(ContainSubstring("systrap, ptrace, kvm"))))
	g.Expect(build(`{"root":"/etc"}`)).To(And(
		MatchError(backends.Invalid), MatchError(ContainSubstring("known: platform"))))
}

func TestTheRegistrationTellsWhatAUserNeeds(t *testing.T) {
	g := NewWithT(t)
	registration := Registration()
	g.Expect(registration.OptIn).To(BeTrue())
	g.Expect(registration.Setup.Keys).To(BeEmpty())
	g.Expect(registration.Setup.Where).To(And(ContainSubstring("root"), ContainSubstring("Linux"), ContainSubstring("runsc")))
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	registration.Flags(flags)
	g.Expect(flags.Lookup("local-root").DefValue).To(Equal(defaultRoot))
}

func TestRunscCanBeNamedInTheEnvironment(t *testing.T) {
	t.Setenv(runscVariable, "/opt/gvisor/runsc")
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	Registration().Flags(flags)
	NewWithT(t).Expect(flags.Lookup("local-runsc").DefValue).To(Equal("/opt/gvisor/runsc"))
}
