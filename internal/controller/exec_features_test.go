// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	. "github.com/onsi/gomega/gstruct" //nolint:revive // as gomega itself
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// runShellless answers commands as a sandbox does that has no shell.
func runShellless(ctx context.Context, _ backends.Remote, command backends.Command) (backends.Result, error) {
	if command.Argv[0] == "/bin/sh" {
		return backends.Result{ExitCode: 127, Stderr: []byte("no such file")}, nil
	}
	program := exec.CommandContext(ctx, command.Argv[0], command.Argv[1:]...)
	program.Stdin = strings.NewReader(string(command.Stdin))
	program.WaitDelay = 100 * time.Millisecond
	var stderr strings.Builder
	program.Stderr = &stderr
	output, err := program.Output()
	if ctx.Err() != nil {
		return backends.Result{}, backends.Errorf(backends.Ambiguous, "shellless", "run", "the call ended first")
	}
	result := backends.Result{Stdout: output, Stderr: []byte(stderr.String())}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		result.ExitCode = exit.ExitCode()
	}
	return result, nil
}

var _ = Describe("A SandboxExec with all that it may ask for", func() {
	var ns, ran string
	p := providers["named"]
	BeforeEach(func(ctx SpecContext) {
		ns = newNamespace(ctx)
		ran = filepath.Join(GinkgoT().TempDir(), "ran")
		create(ctx, builders.MakeProvider(ns, "named", "named").Obj(), builders.MakeProvider(ns, "shellless", "shellless").Obj())
	})
	box := func() *builders.SandboxBuilder { return builders.MakeSandbox(ns, "sbx").NamespacedProvider("named") }
	ready := func(ctx SpecContext, b *builders.SandboxBuilder) *v1alpha1.Sandbox {
		GinkgoHelper()
		sandbox := b.Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		return sandbox
	}
	finished := func(ctx SpecContext, exec *v1alpha1.SandboxExec, outcome v1alpha1.ExecOutcome) {
		GinkgoHelper()
		eventually(ctx, exec, v1alpha1.ConditionFinished, "True/"+string(outcome))
		Expect(exec.Status.Outcome).To(Equal(outcome))
	}
	times := func() int {
		content, _ := os.ReadFile(ran)
		return strings.Count(string(content), "\n")
	}
	sandboxes := func(ctx context.Context) []v1alpha1.Sandbox {
		GinkgoHelper()
		var list v1alpha1.SandboxList
		Expect(k8s.List(ctx, &list, client.InNamespace(ns))).To(Succeed())
		return list.Items
	}

	Describe("as a one-shot", func() {
		It("runs in a Sandbox of its own, which goes when it ends", func(ctx SpecContext) {
			one := builders.MakeOneShot(ns, "one", box()).Shell("echo hello; sleep 1.5").Obj()
			create(ctx, one)
			Eventually(func() string { return refresh(ctx, one).Status.SandboxName }).Should(HavePrefix("one-"))
			Expect(metav1.IsControlledBy(&sandboxes(ctx)[0], one)).To(BeTrue())
			finished(ctx, one, v1alpha1.OutcomeSucceeded)
			Expect(one.Status.Stdout.Head).To(Equal("hello\n"))
			Eventually(func() int { return len(sandboxes(ctx)) }).Should(BeZero())
			Expect(remotesOf("named", ns)).To(BeEmpty())
		})

		DescribeTable("leaves nothing, whatever way it ends", func(
			ctx SpecContext, outcome v1alpha1.ExecOutcome, oneShot func() *v1alpha1.SandboxExec,
		) {
			one := oneShot()
			create(ctx, one)
			finished(ctx, one, outcome)
			Eventually(func() int { return len(sandboxes(ctx)) }).Should(BeZero())
		},
			Entry("failed", v1alpha1.OutcomeFailed, func() *v1alpha1.SandboxExec {
				return builders.MakeOneShot(ns, "one", box()).Command("false").Obj()
			}),
			Entry("out of time", v1alpha1.OutcomeTimedOut, func() *v1alpha1.SandboxExec {
				return builders.MakeOneShot(ns, "one", box()).Shell("sleep 60").Timeout(1).Obj()
			}),
			Entry("never started", v1alpha1.OutcomeStartFailed, func() *v1alpha1.SandboxExec {
				return builders.MakeOneShot(ns, "one", builders.MakeSandbox(ns, "x").NamespacedProvider("absent")).
					Command("true").StartDeadline(3).Obj()
			}),
		)

		It("takes no Sandbox that is not its own", func(ctx SpecContext) {
			gate := memory.NewGate()
			remove := p.Inject(memory.Fault{Operation: memory.OperationCreate, Gate: gate})
			defer remove()
			one := builders.MakeOneShot(ns, "one", box()).Command("true").Obj()
			create(ctx, one)
			Eventually(gate.Reached()).Should(BeClosed())
			own := sandboxes(ctx)[0]
			own.OwnerReferences = nil
			Expect(k8s.Update(ctx, &own)).To(Succeed())
			gate.Open()
			finished(ctx, one, v1alpha1.OutcomeStartFailed)
			Expect(one.Status.Reason).To(Equal(v1alpha1.ReasonNameConflict))
			Consistently(func() int { return len(sandboxes(ctx)) }, time.Second).Should(Equal(1))
		})

		It("retries in a new sandbox", func(ctx SpecContext) {
			one := builders.MakeOneShot(ns, "one", box()).Shell("echo ran >>"+ran+"; exit 3").Retry(1, "Failed").Obj()
			create(ctx, one)
			finished(ctx, one, v1alpha1.OutcomeFailed)
			Expect(times()).To(Equal(2))
			Expect(one.Status.Attempt).To(BeEquivalentTo(2))
			Expect(one.Status.Attempts).To(HaveLen(1))
			Expect(one.Status.Attempts[0].SandboxID).NotTo(Equal(one.Status.SandboxID))
			Eventually(func() int { return len(sandboxes(ctx)) }).Should(BeZero())
		})

		It("is refused with what can't be kept", func(ctx SpecContext) {
			err := k8s.Create(ctx, builders.MakeOneShot(ns, "one", box().Retain()).Command("true").Obj())
			Expect(err).To(MatchError(ContainSubstring("name it in sandboxRef")))
			both := builders.MakeOneShot(ns, "one", box()).Command("true").Obj()
			both.Spec.SandboxRef = &v1alpha1.LocalReference{Name: "sbx"}
			Expect(k8s.Create(ctx, both)).To(MatchError(ContainSubstring("set exactly one of sandboxRef")))
		})
	})

	Describe("with files", func() {
		It("finds its inputs, and leaves its outputs where they were asked for", func(ctx SpecContext) {
			dir := GinkgoT().TempDir()
			ready(ctx, box())
			create(ctx, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "in"}, BinaryData: map[string][]byte{"b": {0, 1, 0xff}},
			})
			run := builders.MakeExec(ns, "run", "sbx").
				Input(dir+"/deep/text", "it's a text\n").InputFrom(dir+"/binary", 0o640, builders.ConfigMapKey("in", "b")).
				Shell(`cat "`+dir+`/deep/text"; mkdir -p "$HOME/../root/d/sub"; cd "$HOME/../root"; cp `+dir+`/binary b
					printf text >t; cp t d/e; cp t s`).
				Output("/t").Output("/d").Output("/absent").Output("/b").
				OutputTo("/b2", builders.ToConfigMap("", "")).OutputTo("/s", builders.ToSecret("mine", "k")).Obj()
			run.Spec.Outputs[4].Path = "/d/e"
			create(ctx, run)
			finished(ctx, run, v1alpha1.OutcomeSucceeded)
			Expect(run.Status.Stdout.Head).To(Equal("it's a text\n"))
			Expect(os.ReadFile(dir + "/binary")).To(Equal([]byte{0, 1, 0xff}))
			Expect(os.Stat(dir + "/binary")).To(HaveField("Mode()", os.FileMode(0o640)))
			states := map[string]v1alpha1.OutputStatus{}
			for _, o := range run.Status.Outputs {
				states[o.Name] = o
			}
			Expect(states["/t"]).To(MatchFields(IgnoreExtras, Fields{
				"State": Equal(v1alpha1.OutputKept), "Content": Equal("text"), "Bytes": HaveValue(BeEquivalentTo(4)),
				"SHA256": Equal("982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"),
			}))
			Expect(states["/d"].State).To(Equal(v1alpha1.OutputListed))
			Expect(states["/d"].Entries).To(ConsistOf(HaveField("Name", "e"), HaveField("Type", v1alpha1.EntryDirectory)))
			Expect(states["/absent"].State).To(Equal(v1alpha1.OutputMissing))
			Expect(states["/b"].State).To(Equal(v1alpha1.OutputNotText))
			Expect(states["/d/e"].StoredIn).To(HaveValue(Equal(v1alpha1.StoredObject{ConfigMap: "run", Keys: []string{"e"}})))
			var configMap corev1.ConfigMap
			Expect(k8s.Get(ctx, client.ObjectKey{Namespace: ns, Name: "run"}, &configMap)).To(Succeed())
			Expect(configMap.Data).To(Equal(map[string]string{"e": "text"}))
			Expect(metav1.IsControlledBy(&configMap, run)).To(BeTrue())
			var secret corev1.Secret
			Expect(k8s.Get(ctx, client.ObjectKey{Namespace: ns, Name: "mine"}, &secret)).To(Succeed())
			Expect(secret.Data).To(Equal(map[string][]byte{"k": []byte("text")}))
		})

		It("fails when an output that it must have is missing, and reads the others", func(ctx SpecContext) {
			ready(ctx, box())
			run := builders.MakeExec(ns, "run", "sbx").Shell(`mkdir -p "$HOME/../root"; echo x >"$HOME/../root/x"`).
				RequiredOutput("/absent").Output("/x").Obj()
			create(ctx, run)
			finished(ctx, run, v1alpha1.OutcomeFailed)
			Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonOutputMissing))
			Expect(run.Status.ExitCode).To(HaveValue(BeZero()))
			Expect(run.Status.Outputs[1].Content).To(Equal("x\n"))
		})

		It("stores 900 KiB, and says of more what to do", func(ctx SpecContext) {
			ready(ctx, box())
			run := builders.MakeExec(ns, "run", "sbx").
				Shell(`mkdir -p "$HOME/../root"; cd "$HOME/../root"; head -c 921600 /dev/urandom >fits; head -c 921601 /dev/zero >over`).
				OutputTo("/fits", builders.ToConfigMap("fits", "")).OutputTo("/over", builders.ToSecret("over", "")).Obj()
			create(ctx, run)
			finished(ctx, run, v1alpha1.OutcomeSucceeded)
			Expect(run.Status.Outputs[0].State).To(Equal(v1alpha1.OutputStored))
			Expect(run.Status.Outputs[1].State).To(Equal(v1alpha1.OutputTooLarge))
			Expect(run.Status.Outputs[1].Message).To(And(ContainSubstring("921601"), ContainSubstring("store of yours")))
			var configMap corev1.ConfigMap
			Expect(k8s.Get(ctx, client.ObjectKey{Namespace: ns, Name: "fits"}, &configMap)).To(Succeed())
			Expect(configMap.BinaryData["fits"]).To(HaveLen(921600))
		})

		It("does not run when what it would write to exists and is not its own", func(ctx SpecContext) {
			ready(ctx, box())
			create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "theirs"}, Data: map[string]string{"k": "v"}})
			run := builders.MakeExec(ns, "run", "sbx").Shell("echo ran >>"+ran).OutputTo("/x", builders.ToConfigMap("theirs", "")).Obj()
			create(ctx, run)
			finished(ctx, run, v1alpha1.OutcomeStartFailed)
			Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonNameConflict))
			Expect(times()).To(BeZero())
		})

		It("does not run when two outputs go to one place", func(ctx SpecContext) {
			ready(ctx, box())
			run := builders.MakeExec(ns, "run", "sbx").Command("true").
				OutputTo("/a/x", builders.ToConfigMap("", "")).OutputTo("/b/x", builders.ToConfigMap("", "")).Obj()
			create(ctx, run)
			finished(ctx, run, v1alpha1.OutcomeStartFailed)
			Expect(condition(ctx, run, v1alpha1.ConditionReady)).To(ContainSubstring("name different keys"))
		})

		It("stores the whole of a stream, without the values of Secrets", func(ctx SpecContext) {
			ready(ctx, box())
			create(ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}, StringData: map[string]string{"k": "tops3cret"},
			})
			run := builders.MakeExec(ns, "run", "sbx").EnvFrom("TOKEN", builders.SecretKey("s", "k")).
				Shell(`i=0; while [ $i -lt 3000 ]; do echo "line $i $TOKEN"; i=$((i+1)); done`).
				StdoutTo(builders.ToConfigMap("logs", "")).Obj()
			create(ctx, run)
			finished(ctx, run, v1alpha1.OutcomeSucceeded)
			Expect(run.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionTruncated))
			Expect(run.Status.Stdout.StoredIn).To(HaveValue(Equal(v1alpha1.StoredObject{ConfigMap: "logs", Keys: []string{"stdout"}})))
			var configMap corev1.ConfigMap
			Expect(k8s.Get(ctx, client.ObjectKey{Namespace: ns, Name: "logs"}, &configMap)).To(Succeed())
			Expect(strings.Count(configMap.Data["stdout"], "\n")).To(Equal(3000))
			Expect(configMap.Data["stdout"]).NotTo(ContainSubstring("tops3cret"))
		})
	})

	Describe("with a retry", func() {
		It("runs again as often as it may, and keeps how each attempt ended", func(ctx SpecContext) {
			ready(ctx, box())
			run := builders.MakeExec(ns, "run", "sbx").
				Shell("echo ran >>"+ran+"; n=$(wc -l <"+ran+"); echo try $n; [ $n -ge 3 ] || exit $n").Retry(5, "Failed").Obj()
			create(ctx, run)
			finished(ctx, run, v1alpha1.OutcomeSucceeded)
			Expect(times()).To(Equal(3))
			Expect(run.Status.Attempt).To(BeEquivalentTo(3))
			Expect(run.Status.Stdout.Head).To(Equal("try 3\n"))
			Expect(run.Status.Attempts).To(HaveLen(2))
			Expect(run.Status.Attempts[1]).To(MatchFields(IgnoreExtras, Fields{
				"Attempt": BeEquivalentTo(2), "Outcome": Equal(v1alpha1.OutcomeFailed), "ExitCode": HaveValue(BeEquivalentTo(2)),
			}))
			Expect(run.Status.NextAttemptTime).To(BeNil())
		})

		It("is not run again after other outcomes, nor more often", func(ctx SpecContext) {
			ready(ctx, box())
			other := builders.MakeExec(ns, "other", "sbx").Command("false").Retry(3, "TimedOut", "Unknown").Obj()
			limited := builders.MakeExec(ns, "limited", "sbx").Shell("echo ran >>"+ran+"; exit 1").Retry(1, "Failed").Obj()
			create(ctx, other, limited)
			finished(ctx, other, v1alpha1.OutcomeFailed)
			Expect(other.Status.Attempt).To(BeEquivalentTo(1))
			finished(ctx, limited, v1alpha1.OutcomeFailed)
			Expect(times()).To(Equal(2))
		})

		It("runs again in the Sandbox that replaces a lost one", func(ctx SpecContext) {
			sandbox := ready(ctx, box())
			run := builders.MakeExec(ns, "run", "sbx").Shell("echo ran >>"+ran+"; [ $(wc -l <"+ran+") -ge 2 ] || sleep 60").
				Retry(1, "SandboxLost").Obj()
			create(ctx, run)
			Eventually(func() []string { return refresh(ctx, run).Finalizers }).Should(ContainElement(v1alpha1.ExecFinalizer))
			Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
			gone(ctx, sandbox)
			ready(ctx, box())
			finished(ctx, run, v1alpha1.OutcomeSucceeded)
			Expect(run.Status.Attempts[0].Outcome).To(Equal(v1alpha1.OutcomeSandboxLost))
			Expect(times()).To(Equal(2))
		})

		It("stops when it is cancelled between two attempts", func(ctx SpecContext) {
			ready(ctx, box())
			run := builders.MakeExec(ns, "run", "sbx").Shell("echo ran >>"+ran+"; exit 1").Retry(5, "Failed").Obj()
			run.Spec.Retry.BackoffSeconds = new(int32(600))
			create(ctx, run)
			eventually(ctx, run, v1alpha1.ConditionReady, "False/WaitingForRetry: Attempt 1 of 6 ended Failed (Exited)")
			run.Spec.DesiredState = v1alpha1.ExecCancelled
			Expect(k8s.Update(ctx, run)).To(Succeed())
			finished(ctx, run, v1alpha1.OutcomeCancelled)
			Expect(times()).To(Equal(1))
		})
	})

	It("runs one after another in a serial Sandbox, in the order of creation", func(ctx SpecContext) {
		b := box()
		sandbox := b.Obj()
		sandbox.Spec.ExecConcurrency = v1alpha1.ExecSerial
		var execs []*v1alpha1.SandboxExec
		for i := range 5 {
			one := builders.MakeExec(ns, fmt.Sprintf("run-%d", i), "sbx").
				Shell(fmt.Sprintf("echo begin %[1]d >>%[2]s; sleep 0.2; echo end %[1]d >>%[2]s", i, ran)).Obj()
			execs = append(execs, one)
			create(ctx, one)
		}
		create(ctx, sandbox)
		for _, one := range execs {
			finished(ctx, one, v1alpha1.OutcomeSucceeded)
		}
		content, err := os.ReadFile(ran)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(content)).To(Equal("begin 0\nend 0\nbegin 1\nend 1\nbegin 2\nend 2\nbegin 3\nend 3\nbegin 4\nend 4\n"))
	})

	It("shows what is printed while it runs, without the values of Secrets", func(ctx SpecContext) {
		ready(ctx, box())
		create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}, StringData: map[string]string{"k": "tops3cret"},
		})
		run := builders.MakeExec(ns, "run", "sbx").EnvFrom("TOKEN", builders.SecretKey("s", "k")).
			Shell("echo one $TOKEN; sleep 3; echo two; sleep 3").Progress().Obj()
		create(ctx, run)
		tail := func() string {
			if refresh(ctx, run).Status.Stdout == nil {
				return ""
			}
			return string(run.Status.Stdout.Retention) + ": " + run.Status.Stdout.Tail
		}
		Eventually(tail).Should(Equal("Partial: one [redacted]\n"))
		Eventually(tail).Should(Equal("Partial: one [redacted]\ntwo\n"))
		finished(ctx, run, v1alpha1.OutcomeSucceeded)
		Expect(run.Status.Stdout.Head).To(Equal("one [redacted]\ntwo\n"))
		Expect(run.Status.Stdout.Tail).To(BeEmpty())
	})

	Describe("with code of other kinds", func() {
		It("is run by the interpreter that it names, with its arguments", func(ctx SpecContext) {
			ready(ctx, box())
			run := builders.MakeExec(ns, "run", "sbx").Code("", "1s/.*/read by sed/p").
				Interpreter("sed", "-n", "-f").Arguments("/etc/hostname").Obj()
			create(ctx, run)
			finished(ctx, run, v1alpha1.OutcomeSucceeded)
			Expect(run.Status.Stdout.Head).To(Equal("read by sed\n"))
		})

		It("names the languages that there are", func(ctx SpecContext) {
			err := k8s.Create(ctx, builders.MakeExec(ns, "run", "sbx").Code("cobol", "x").Obj())
			Expect(err).To(MatchError(And(ContainSubstring("cobol"), ContainSubstring("python"), ContainSubstring("typescript"))))
			err = k8s.Create(ctx, builders.MakeExec(ns, "run", "sbx").Code("", "x").Obj())
			Expect(err).To(MatchError(ContainSubstring("interpreter for any other")))
		})

		It("is run by the provider's own interpreter, with rich results", func(ctx SpecContext) {
			ready(ctx, box())
			p.SetCode("python", func(context.Context, backends.Remote, backends.SourceCode) (backends.CodeResult, error) {
				return backends.CodeResult{Result: backends.Result{Stdout: []byte("printed\n")}, Rich: []backends.RichResult{
					{Name: "result-1.txt", MediaType: "text/plain", Data: []byte("42")},
					{Name: "result-2.png", MediaType: "image/png", Data: []byte("\x89PNG\xff")},
				}}, nil
			})
			defer p.SetCode("python", nil)
			run := builders.MakeExec(ns, "run", "sbx").Code(v1alpha1.LanguagePython, "42").Native().Obj()
			stored := builders.MakeExec(ns, "stored", "sbx").Code(v1alpha1.LanguagePython, "42").Native().Obj()
			stored.Spec.Code.Results = builders.ToConfigMap("", "r-")
			create(ctx, run, stored)
			finished(ctx, run, v1alpha1.OutcomeSucceeded)
			Expect(run.Status.Stdout.Head).To(Equal("printed\n"))
			Expect(run.Status.Outputs[0].Content).To(Equal("42"))
			Expect(run.Status.Outputs[1].State).To(Equal(v1alpha1.OutputNotText))
			Expect(run.Status.Outputs[1].MediaType).To(Equal("image/png"))
			finished(ctx, stored, v1alpha1.OutcomeSucceeded)
			Expect(stored.Status.Outputs[1].StoredIn).To(HaveValue(Equal(
				v1alpha1.StoredObject{ConfigMap: "stored", Keys: []string{"r-result-2.png"}})))
			var configMap corev1.ConfigMap
			Expect(k8s.Get(ctx, client.ObjectKey{Namespace: ns, Name: "stored"}, &configMap)).To(Succeed())
			Expect(configMap.BinaryData["r-result-2.png"]).To(Equal([]byte("\x89PNG\xff")))
		})

		It("is told when its backend has no interpreter of its own", func(ctx SpecContext) {
			create(ctx, builders.MakeProvider(ns, "imageless", "imageless").Obj())
			ready(ctx, builders.MakeSandbox(ns, "sbx").NamespacedProvider("imageless"))
			run := builders.MakeExec(ns, "run", "sbx").Code(v1alpha1.LanguagePython, "42").Native().Obj()
			create(ctx, run)
			finished(ctx, run, v1alpha1.OutcomeStartFailed)
			Expect(condition(ctx, run, v1alpha1.ConditionReady)).To(And(HavePrefix("False/Unsupported"), ContainSubstring("code.engine")))
		})
	})

	Describe("in a sandbox without a shell", func() {
		shellless := func() *builders.SandboxBuilder {
			return builders.MakeSandbox(ns, "sbx").NamespacedProvider("shellless")
		}

		It("runs within one call", func(ctx SpecContext) {
			ready(ctx, shellless())
			run := builders.MakeExec(ns, "run", "sbx").Command("cat").Stdin(builders.Text("hello")).Obj()
			failing := builders.MakeExec(ns, "failing", "sbx").Command("false").Obj()
			create(ctx, run, failing)
			finished(ctx, run, v1alpha1.OutcomeSucceeded)
			Expect(run.Status.Stdout.Head).To(Equal("hello"))
			finished(ctx, failing, v1alpha1.OutcomeFailed)
			Expect(failing.Status.ExitCode).To(HaveValue(BeEquivalentTo(1)))
		})

		It("has an unknown end when it is cancelled or its object goes, and blocks nobody", func(ctx SpecContext) {
			ready(ctx, shellless())
			run := builders.MakeExec(ns, "run", "sbx").Command("sleep", "60").Obj()
			deleted := builders.MakeExec(ns, "deleted", "sbx").Command("sleep", "60").Obj()
			create(ctx, run, deleted)
			eventually(ctx, run, v1alpha1.ConditionStarted, "True/Attached")
			eventually(ctx, deleted, v1alpha1.ConditionStarted, "True/Attached")
			Expect(k8s.Delete(ctx, deleted)).To(Succeed())
			gone(ctx, deleted)
			run.Spec.DesiredState = v1alpha1.ExecCancelled
			Expect(k8s.Update(ctx, run)).To(Succeed())
			finished(ctx, run, v1alpha1.OutcomeUnknown)
			Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonCancelRequested))
		})

		It("is Unknown, and not run again, after a restart of the operator", func(ctx SpecContext) {
			ready(ctx, shellless())
			run := builders.MakeExec(ns, "run", "sbx").Command("/usr/bin/env", "sh", "-c", "echo ran >>"+ran+"; sleep 60").Obj()
			create(ctx, run)
			Eventually(times).Should(Equal(1))
			stopManager()
			stopManager = startManager()
			finished(ctx, run, v1alpha1.OutcomeUnknown)
			Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonOperatorRestarted))
			Expect(times()).To(Equal(1))
		})
	})

	It("empties the spools of runs that are recorded, on the way, and keeps their fences", func(ctx SpecContext) {
		sandbox := ready(ctx, box())
		root := filepath.Join(p.Dir(sandbox.Status.SandboxID), "spool")
		first := builders.MakeExec(ns, "first", "sbx").Command("echo", "hello").Obj()
		create(ctx, first)
		finished(ctx, first, v1alpha1.OutcomeSucceeded)
		spools, err := filepath.Glob(filepath.Join(root, string(first.UID)+"-1", "*"))
		Expect(err).NotTo(HaveOccurred())
		Expect(spools).NotTo(BeEmpty())
		calls := p.Calls(memory.OperationRunCommand)
		second := builders.MakeExec(ns, "second", "sbx").Command("true").Obj()
		create(ctx, second)
		finished(ctx, second, v1alpha1.OutcomeSucceeded)
		Expect(p.Calls(memory.OperationRunCommand) - calls).To(Equal(1))
		spools, err = filepath.Glob(filepath.Join(root, string(first.UID)+"-1", "*"))
		Expect(err).NotTo(HaveOccurred())
		Expect(spools).To(BeEmpty())
		Expect(filepath.Join(root, string(first.UID)+"-1")).To(BeADirectory())
	})
})

var _ = Describe("Old finished SandboxExecs", func() {
	It("lose their output, and keep outcome, exit code, counts and digests", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		old := builders.MakeExec(ns, "old", "sbx").Command("true").Obj()
		create(ctx, old)
		eventually(ctx, old, v1alpha1.ConditionReady, "False/WaitingForSandbox")
		sum := strings.Repeat("a", 64)
		Eventually(func() error {
			status := &refresh(ctx, old).Status
			longAgo := metav1.NewTime(time.Now().Add(-8 * 24 * time.Hour))
			status.Outcome, status.ExitCode, status.CompletionTime = v1alpha1.OutcomeFailed, new(int32(3)), &longAgo
			status.Stdout = &v1alpha1.StreamStatus{
				Head: "text", Bytes: new(int64(4)), SHA256: sum, Retention: v1alpha1.RetentionComplete, Encoding: v1alpha1.EncodingUTF8,
			}
			status.Outputs = []v1alpha1.OutputStatus{
				{Name: "/o", State: v1alpha1.OutputKept, Content: "text", Bytes: new(int64(4)), SHA256: sum},
			}
			return k8s.Status().Update(ctx, old)
		}).Should(Succeed())
		// The status of another's hand wakes nobody; a change of the spec does.
		old.Spec.TTLSecondsAfterFinished = new(int32(31536000))
		Expect(k8s.Update(ctx, old)).To(Succeed())
		Eventually(func() v1alpha1.StreamRetention { return refresh(ctx, old).Status.Stdout.Retention }).
			Should(Equal(v1alpha1.RetentionCompacted))
		Expect(old.Status.Stdout).To(HaveValue(MatchFields(IgnoreExtras, Fields{
			"Head": BeEmpty(), "Bytes": HaveValue(BeEquivalentTo(4)), "SHA256": Equal(sum),
		})))
		Expect(old.Status.Outputs).To(ConsistOf(MatchFields(IgnoreExtras, Fields{
			"State": Equal(v1alpha1.OutputCompacted), "Content": BeEmpty(), "SHA256": Equal(sum),
		})))
		Expect(old.Status.ExitCode).To(HaveValue(BeEquivalentTo(3)))
		Expect(old.Status.Outcome).To(Equal(v1alpha1.OutcomeFailed))
	})
})
