// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugin_test

import (
	"context"
	"io"
	"os"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("Ctrl-C", func() {
	var here *place

	BeforeEach(func(ctx context.Context) { here = newPlace(ctx) })

	// execs are the runs of the namespace.
	execs := func(ctx context.Context) []v1alpha1.SandboxExec {
		GinkgoHelper()
		var list v1alpha1.SandboxExecList
		Expect(bed.Client.List(ctx, &list, client.InNamespace(here.Namespace))).To(Succeed())
		return list.Items
	}

	It("cancels the run, says so, waits for its end and prints what came until then", func(ctx context.Context) {
		running := here.start(ctx, "run", "--provider", "local", "--", "sh", "-c",
			"trap 'echo told; exit 7' TERM; echo begun; sleep 600 & wait")
		running.eventuallyPrints("begun\n")
		running.signal(os.Interrupt)
		Expect(running.ends()).To(Equal(130))
		Expect(running.out.String()).To(Equal("begun\ntold\n"))
		Expect(running.err.String()).To(And(HavePrefix("kubectl sandbox: cancelling; Ctrl-C again leaves at once\n"),
			ContainSubstring("error: cancelled: The command was killed")))
		Eventually(func() []v1alpha1.SandboxExec { return execs(ctx) }).WithTimeout(testbed.Patience).Should(BeEmpty())
		here.EventuallyRemotes(ctx, here.Namespace, 0)
	})

	It("leaves at once the second time, and nothing is left all the same", func(ctx context.Context) {
		running := here.start(ctx, "run", "--provider", "local", "--", "sh", "-c", "echo begun; sleep 600")
		running.eventuallyPrints("begun\n")
		Expect(bed.Running().Freeze()).To(Succeed())
		DeferCleanup(bed.Running().Thaw)
		running.signal(os.Interrupt)
		Eventually(running.err.String).WithTimeout(testbed.Patience).Should(ContainSubstring("cancelling"))
		Consistently(running.ended, "300ms").ShouldNot(BeClosed())
		running.signal(os.Interrupt)
		Expect(running.ends()).To(Equal(130))
		for _, exec := range execs(ctx) {
			Expect(exec.DeletionTimestamp).NotTo(BeNil(), "it is to be deleted")
		}
		Expect(bed.Running().Thaw()).To(Succeed())
		Eventually(func() []v1alpha1.SandboxExec { return execs(ctx) }).WithTimeout(testbed.Patience).Should(BeEmpty())
		here.EventuallyRemotes(ctx, here.Namespace, 0)
	})

	It("ends it at once while it reads standard input, and nothing is made", func(ctx context.Context) {
		read, write, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(write.Close)
		command := here.command(ctx, "run", "--provider", "local", "-i", "--", "cat")
		command.Stdin = read
		Expect(command.Start()).To(Succeed())
		Expect(read.Close()).To(Succeed())
		// More than a pipe holds: what is over has been read by the plugin.
		_, err = write.Write(make([]byte, 1<<17))
		Expect(err).NotTo(HaveOccurred())
		Expect(command.Process.Signal(os.Interrupt)).To(Succeed())
		ended := make(chan error, 1)
		go func() { ended <- command.Wait() }()
		Eventually(ended).WithTimeout(testbed.Patience).Should(Receive())
		Expect(command.ProcessState.String()).To(Equal("signal: interrupt"), "as any program that has nothing to cancel")
		Expect(execs(ctx)).To(BeEmpty())
	})

	It("is not all: SIGTERM and a reader that went away end the run, too", func(ctx context.Context) {
		running := here.start(ctx, "run", "--provider", "local", "--", "sh", "-c", "echo begun; sleep 600")
		running.eventuallyPrints("begun\n")
		running.signal(syscall.SIGTERM)
		Expect(running.ends()).To(Equal(130))

		read, write, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		command := here.command(ctx, "run", "--provider", "local", "--", "sh", "-c", "while echo more; do sleep 0.1; done")
		command.Stdout = write
		Expect(command.Start()).To(Succeed())
		Expect(write.Close()).To(Succeed())
		_, err = io.ReadFull(read, make([]byte, 5))
		Expect(err).NotTo(HaveOccurred())
		Expect(read.Close()).To(Succeed())
		Expect(codeOf(command.Wait())).To(Equal(141))
		here.EventuallyRemotes(ctx, here.Namespace, 0)
	})

	It("can't be told by who is killed: the run ends by its time, and its object goes an hour later", func(ctx context.Context) {
		running := here.start(ctx, "run", "--provider", "local", "--timeout", "2s", "--", "sh", "-c", "echo begun; sleep 600")
		running.eventuallyPrints("begun\n")
		running.signal(syscall.SIGKILL)
		<-running.ended
		left := execs(ctx)
		Expect(left).To(HaveLen(1))
		Expect(left[0].Spec.TTLSecondsAfterFinished).To(HaveValue(BeEquivalentTo(3600)))
		here.EventuallyFinished(ctx, &left[0])
		Expect(left[0].Status.Outcome).To(Equal(v1alpha1.OutcomeTimedOut))
		here.EventuallyRemotes(ctx, here.Namespace, 0)
	})
})
