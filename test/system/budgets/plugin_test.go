// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package budgets_test

import (
	"context"
	"os"
	"os/exec"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
)

var _ = Describe("kubectl sandbox", func() {
	It("runs a command within a second, half of one in a Ready Sandbox, and shows help before anybody sees it", func(ctx context.Context) {
		program := GinkgoT().TempDir() + "/kubectl-sandbox"
		Expect(binaries.Build(ctx, program, "./cmd/kubectl-sandbox")).To(Succeed())
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		sandbox := func(arguments ...string) time.Duration {
			GinkgoHelper()
			command := exec.CommandContext(ctx, program, append([]string{"-n", room.Namespace}, arguments...)...)
			command.Env = append(os.Environ(), "KUBECONFIG="+bed.Plane.Kubeconfig)
			began := time.Now()
			output, err := command.CombinedOutput()
			took := time.Since(began)
			Expect(err).NotTo(HaveOccurred(), string(output))
			return took
		}
		// The bound of the start is generous: what is to be seen is a heavy import.
		for _, c := range []struct {
			budget    time.Duration
			arguments []string
		}{
			{time.Second, []string{"run", "--provider", "local", "--", "echo", "hi"}},
			{500 * time.Millisecond, []string{"exec", "box", "--", "echo", "hi"}},
			{150 * time.Millisecond, []string{"--help"}},
			{150 * time.Millisecond, []string{"version"}},
		} {
			// A neighbour of this machine can only make it slower: one try within the budget shows what it takes.
			const tries = 15
			best := time.Hour
			for try := 0; try < tries && (try < 3 || best >= c.budget); try++ {
				best = min(best, sandbox(c.arguments...))
			}
			AddReportEntry("fastest of "+c.arguments[0], best.Round(time.Millisecond).String(), ReportEntryVisibilityAlways)
			Expect(best).To(BeNumerically("<", c.budget), "%v", c.arguments)
		}
	})
})
