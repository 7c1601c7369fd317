// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/conformance"
)

func TestConformance(t *testing.T) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	ginkgo.RunSpecs(t, "Local backend")
}

var _ = conformance.Describe("local", func() conformance.Subject {
	described := subject(newHost(ginkgo.GinkgoTB()))
	described.Server = answerByPerl
	return described
})

// answerByPerl is a server for a sandbox that sees a machine's /usr with perl.
func answerByPerl(port int, answer string) []string {
	const program = `use IO::Socket::INET;
my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ARGV[0], Listen => 5, ReuseAddr => 1) or die;
while (my $c = $s->accept) { my $line = <$c>; print $c $ARGV[1]; close $c }`
	return []string{"perl", "-e", program, strconv.Itoa(port), answer}
}

// The default source's work directory is where files are native. An image with files in it has the other kind.
var _ = conformance.Describe("local in an image", func() conformance.Subject {
	t := ginkgo.GinkgoTB()
	tools := []string{
		"bash", "cat", "chmod", "cp", "cut", "date", "dd", "dirname", "echo", "env", "false", "find", "grep", "head", "id", "kill",
		"ln", "ls", "mkdir", "mkfifo", "mktemp", "mv", "od", "printf", "ps", "pwd", "rm", "rmdir", "sed", "seq", "setsid",
		"sort", "stat", "tail",
		"tee", "test", "timeout", "touch", "tr", "true", "wc", "yes",
	}
	image := imageOf(t, v1.Config{}, shellLayer(t, tools...), layerOf(t, entry{name: "tmp/", mode: 0o1777}))
	h := newHost(t)
	return subject(h, backends.Source{Image: newTestRegistry(t, h).push(t, "tools:latest", image)})
})

func subject(h *host, sources ...backends.Source) conformance.Subject {
	return conformance.Subject{
		Registration: Registration(), Backend: h.backend, Another: h.another(), Sources: sources,
		Scratch:   func(string) string { return defaultWorkingDir + "/scratch" },
		MakeError: h.makeError,
	}
}

// makeError provokes what can be provoked without harm to the machine.
func (h *host) makeError(code backends.Code, id string) (undo func(), possible bool) {
	g := gomega.NewWithT(h.t)
	switch code {
	case backends.NotRunning:
		d := (&store{root: h.root}).remote(id)
		g.Expect(syscall.Kill(sandboxProcess(d, d.sentry()), syscall.SIGKILL)).To(gomega.Succeed())
		g.Eventually(func() int { return sandboxProcess(d, d.sentry()) }).WithTimeout(15 * time.Second).Should(gomega.BeZero())
		return func() {}, true
	case backends.NotFound:
		g.Expect(h.another().Destroy(h.t.Context(), id)).To(gomega.Succeed())
		return func() {}, true
	case backends.Unavailable:
		// The state directory is gone, as when its disk is.
		sandboxes, aside := h.root+"/"+sandboxesDir, h.root+"/aside"
		g.Expect(os.Rename(sandboxes, aside)).To(gomega.Succeed())
		return func() { g.Expect(os.Rename(aside, sandboxes)).To(gomega.Succeed()) }, true
	default:
		return nil, false
	}
}
