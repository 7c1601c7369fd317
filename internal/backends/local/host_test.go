// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(
		"github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2"))
}

// testRunsc finds the runsc that `make` has built, or the one that SANDBOX_RUNSC names; "" when there is none.
func testRunsc() string {
	if path := os.Getenv(runscVariable); path != "" {
		return path
	}
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			found, _ := filepath.Glob(filepath.Join(dir, "bin", "runsc", "*", "runsc"))
			if len(found) > 0 {
				return found[len(found)-1]
			}
			return ""
		}
		dir = filepath.Dir(dir)
	}
	return ""
}

// host is a state directory of its own, with a backend on it.
type host struct {
	*backend
	t    testing.TB
	root string
	// registries on the loopback are allowed.
	registries []string
}

// newHost skips the test where gVisor can't run, and fails it when it leaves a process behind.
func newHost(tb testing.TB) *host {
	tb.Helper()
	program := testRunsc()
	if os.Geteuid() != 0 {
		tb.Skip("gVisor sandboxes need root")
	}
	if program == "" {
		tb.Skip("there is no runsc: run hack/build-binaries runsc, or set " + runscVariable)
	}
	root := tb.TempDir()
	h := &host{backend: openTestBackend(tb, root, program), t: tb, root: root}
	tb.Cleanup(h.destroyAll)
	return h
}

// openTestBackend opens a backend as the operator does: flags, then New.
func openTestBackend(tb testing.TB, root, program string, registries ...string) *backend {
	tb.Helper()
	g := NewWithT(tb)
	registration := Registration()
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	registration.Flags(flags)
	g.Expect(flags.Parse([]string{
		"--local-root=" + root, "--local-runsc=" + program, "--local-registries=" + strings.Join(registries, ","),
	})).To(Succeed())
	opened, err := registration.New(tb.Context(), backends.Config{})
	g.Expect(err).NotTo(HaveOccurred())
	b, ok := opened.(*backend)
	g.Expect(ok).To(BeTrue())
	return b
}

// another returns a backend of another process, as it were, on the same state directory.
func (h *host) another() *backend {
	return openTestBackend(h.t, h.root, h.opener.settings.runsc, h.registries...)
}

func (h *host) destroyAll() {
	g := NewWithT(h.t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	remotes, err := h.List(ctx, backends.Filter{})
	g.Expect(err).NotTo(HaveOccurred())
	for _, remote := range remotes {
		g.Expect(h.Destroy(ctx, remote.ID)).To(Or(Succeed(), MatchError(backends.NotFound)))
	}
	g.Eventually(func() []string { return processesUnder(h.root) }).WithTimeout(5*time.Second).
		Should(BeEmpty(), "processes of the test's sandboxes are left")
}

// processesUnder returns the command lines of all processes that name the directory.
func processesUnder(dir string) []string {
	var found []string
	entries, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, entry := range entries {
		line, _ := os.ReadFile(entry)
		pid := filepath.Base(filepath.Dir(entry))
		if bytes.Contains(line, []byte(dir)) && pid != strconv.Itoa(os.Getpid()) {
			found = append(found, pid+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// request asks for a sandbox with the machine's /usr.
func request(name string) backends.CreateRequest {
	return backends.CreateRequest{Name: name, Mark: markOf("uid-" + name)}
}

func markOf(uid string) backends.Mark {
	return backends.Mark{
		Installation: "installation", Namespace: "default", Name: "box", UID: uid,
		Incarnation: 1, DeletionPolicy: "Delete",
	}
}

// create makes a sandbox, which must run.
func (h *host) create(r backends.CreateRequest) backends.Remote {
	h.t.Helper()
	g := NewWithT(h.t)
	remote, err := h.Create(h.t.Context(), r)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(remote.State).To(Equal(backends.StateRunning), remote.Reason)
	return remote
}

func (h *host) running(name string) string {
	h.t.Helper()
	return h.create(request(name)).ID
}

// run runs a command, which must run, whatever its exit code.
func (h *host) run(id string, argv ...string) backends.Result {
	h.t.Helper()
	return h.runCommand(id, backends.Command{Argv: argv})
}

func (h *host) sh(id, script string) backends.Result {
	h.t.Helper()
	return h.run(id, "/bin/sh", "-c", script)
}

func (h *host) runCommand(id string, command backends.Command) backends.Result {
	h.t.Helper()
	result, err := h.RunCommand(h.t.Context(), id, command)
	NewWithT(h.t).Expect(err).NotTo(HaveOccurred())
	return result
}
