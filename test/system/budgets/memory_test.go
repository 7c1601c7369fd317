// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package budgets_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

const mebibyte = 1 << 20

// memoryOf reads a line of what the kernel says of a process's memory, in bytes: VmRSS is what it has now, VmHWM the most that it
// had since resetPeak.
func memoryOf(m *testbed.Manager, line string) int64 {
	GinkgoHelper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.PID()))
	Expect(err).NotTo(HaveOccurred())
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), line+":"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			Expect(err).NotTo(HaveOccurred())
			return kilobytes << 10
		}
	}
	Fail("the kernel says nothing of " + line)
	return 0
}

func resetPeak(m *testbed.Manager) {
	GinkgoHelper()
	Expect(os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", m.PID()), []byte("5"), 0o200)).To(Succeed())
}

// settledMemory is the least that the manager has over some seconds: what its start left behind is given back by then.
func settledMemory() int64 {
	GinkgoHelper()
	least := memoryOf(bed.Running(), "VmRSS")
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(250 * time.Millisecond) {
		least = min(least, memoryOf(bed.Running(), "VmRSS"))
	}
	return least
}

// restarted starts the manager anew and waits until it has seen all that there is.
func restarted(ctx context.Context, room *testbed.Room, name string) {
	GinkgoHelper()
	Expect(bed.StopManager()).To(Succeed())
	Expect(bed.StartManager()).To(Succeed())
	room.Run(ctx, room.Exec(name, "box").Command("true"))
}

var _ = Describe("The manager's memory", func() {
	DescribeTable("grows by less than 32 MiB while a command prints 100 MiB, of which head, tail and count are right",
		func(ctx context.Context, to *v1alpha1.OutputDestination) {
			const line, lines = "0123456789abcde\n", 100 * mebibyte / 16
			room := bed.NewRoom(ctx)
			room.Ready(ctx, room.Sandbox("box"))
			room.Run(ctx, room.Exec("first", "box").Command("true"))
			builder := room.Exec("run", "box").
				Shell(fmt.Sprintf("printf 'the head|'; yes %s | head -n %d; printf '|the tail'", strings.TrimSpace(line), lines))
			if to != nil {
				builder.StdoutTo(to)
			}
			before := memoryOf(bed.Running(), "VmRSS")
			resetPeak(bed.Running())
			run := room.Run(ctx, builder)
			grown := memoryOf(bed.Running(), "VmHWM") - before
			AddReportEntry("memory for 100 MiB of output", fmt.Sprintf("%.1f MiB", float64(grown)/mebibyte), ReportEntryVisibilityAlways)

			stdout := run.Status.Stdout
			Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
			Expect(*stdout.Bytes).To(BeEquivalentTo(100*mebibyte + 2*len("the head|")))
			Expect(stdout.Head).To(HavePrefix("the head|" + line))
			Expect(stdout.Tail).To(HaveSuffix(line + "|the tail"))
			Expect(len(stdout.Head) + len(stdout.Tail)).To(Equal(16 << 10))
			Expect(stdout.SHA256).To(HaveLen(64))
			Expect(stdout.StoredIn == nil).To(Equal(to == nil))
			Expect(grown).To(BeNumerically("<", 32*mebibyte))
		},
		Entry("into status", nil),
		Entry("into a ConfigMap as far as it goes", builders.ToConfigMap("", "")),
	)

	It("holds 60 MiB or less for 10,000 finished runs whose status is full", func(ctx context.Context) {
		// The tenth of it in the tenth of the memory; `make bench-memory` takes the whole.
		count := 1000
		if given := os.Getenv("FINISHED_RUNS"); given != "" {
			var err error
			count, err = strconv.Atoi(given)
			Expect(err).NotTo(HaveOccurred())
		}
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		restarted(ctx, room, "before")
		empty := settledMemory()
		makeFinished(ctx, room, count)
		grown := settledMemory() - empty
		restarted(ctx, room, "after")
		anew := settledMemory() - empty
		AddReportEntry(fmt.Sprintf("memory of %d finished runs", count),
			fmt.Sprintf("empty %.1f MiB; %.1f MiB more when they had come, %.1f MiB more after a restart",
				float64(empty)/mebibyte, float64(grown)/mebibyte, float64(anew)/mebibyte), ReportEntryVisibilityAlways)
		// What any traffic leaves behind in a process does not grow with the number of objects.
		const traffic = 24 * mebibyte
		budget := traffic + (60*mebibyte-traffic)*int64(count)/10_000
		Expect(anew).To(BeNumerically("<=", budget))
		Expect(grown).To(BeNumerically("<=", budget))
	})
})

// makeFinished makes so many finished runs, with as much in their status as it takes.
func makeFinished(ctx context.Context, room *testbed.Room, count int) {
	GinkgoHelper()
	half := strings.Repeat("0123456789abcde\n", 512)
	stream := func() *v1alpha1.StreamStatus {
		return &v1alpha1.StreamStatus{
			Head: half, Tail: half, Bytes: new(int64(100_000)), Retention: v1alpha1.RetentionTruncated, Encoding: v1alpha1.EncodingUTF8,
			SHA256: strings.Repeat("0", 64),
		}
	}
	numbers := make(chan int)
	failures := make(chan error, count)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for i := range numbers {
				failures <- makeOneFinished(ctx, room, fmt.Sprintf("finished-%05d", i), stream)
			}
		})
	}
	for i := range count {
		numbers <- i
	}
	close(numbers)
	group.Wait()
	close(failures)
	for err := range failures {
		Expect(err).NotTo(HaveOccurred())
	}
}

func makeOneFinished(ctx context.Context, room *testbed.Room, name string, stream func() *v1alpha1.StreamStatus) error {
	// Nobody starts it before it is finished: its Sandbox does not exist.
	exec := room.Exec(name, "nobody").Shell("seq 100000").Env("LOG_LEVEL", "debug").Output("/workspace/report.json").Obj()
	if err := bed.Client.Create(ctx, exec); err != nil {
		return err
	}
	message := "The command ended with exit code 0; of the 100000 bytes of stdout, beginning and end are kept"
	patched := exec.DeepCopy()
	s := &patched.Status
	s.ObservedGeneration, s.Outcome, s.Reason, s.ExitCode = 1, v1alpha1.OutcomeSucceeded, v1alpha1.ReasonExited, new(int32(0))
	s.Stdout, s.Stderr = stream(), stream()
	s.Outputs = []v1alpha1.OutputStatus{{
		Name: "/workspace/report.json", State: v1alpha1.OutputKept, Bytes: new(int64(16 << 10)), Mode: "0644",
		Content: stream().Head + stream().Tail, SHA256: strings.Repeat("0", 64),
	}}
	s.StartTime, s.CompletionTime = new(metav1.Now()), new(metav1.Now())
	s.DurationMilliseconds, s.Attempt, s.Incarnation = new(int64(12)), 1, 1
	s.SandboxName, s.SandboxUID, s.SandboxID = "nobody", string(exec.UID), string(exec.UID)
	s.Provider = &v1alpha1.ProviderIdentity{
		Kind: v1alpha1.KindClusterSandboxProvider, Name: "local", UID: string(exec.UID), Backend: "local",
	}
	s.Conditions = nil
	for _, kind := range []string{
		v1alpha1.ConditionStarted, v1alpha1.ConditionFinished, v1alpha1.ConditionComplete, v1alpha1.ConditionReady,
	} {
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: string(v1alpha1.OutcomeSucceeded), Message: message, ObservedGeneration: 1,
		})
	}
	return bed.Client.Status().Patch(ctx, patched, client.MergeFrom(exec))
}
