// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A Sandbox", func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) { room = bed.NewRoom(ctx) })

	It("has its files, byte for byte and with their modes, before it is Ready", func(ctx context.Context) {
		binary := []byte{0, 1, 0xff, '\n', '\r', 0x80, 0}
		room.ConfigMap(ctx, "data", map[string]string{"text": "a text\n"}, map[string][]byte{"binary": binary})
		room.Secret(ctx, "keys", map[string]string{"key": "the key"})
		box := room.Ready(ctx, room.Sandbox("box").
			File("/workspace/inline ü.txt", "inline\n").File("/workspace/empty", "").File("/opt/deep/er/file", "outside\n").
			FileFrom("/workspace/text", 0o640, builders.ConfigMapKey("data", "text")).
			FileFrom("/workspace/binary", 0o755, builders.ConfigMapKey("data", "binary")).
			FileFrom("/workspace/key", 0o400, builders.SecretKey("keys", "key")))
		Expect(meta.IsStatusConditionTrue(box.Status.Conditions, v1alpha1.ConditionFilesWritten)).To(BeTrue())
		modes := room.Output(ctx, "modes", "box",
			`cd /workspace; stat -c '%a %s %n' "inline ü.txt" empty text binary key /opt/deep/er/file`)
		Expect(modes).To(
			Equal("644 7 inline ü.txt\n644 0 empty\n640 7 text\n755 7 binary\n400 7 key\n644 8 /opt/deep/er/file\n"))
		Expect(room.Output(ctx, "content", "box", `cat "inline ü.txt" text /opt/deep/er/file; od -An -tx1 binary`)).To(
			Equal("inline\na text\noutside\n 00 01 ff 0a 0d 80 00\n"))
	})

	It("waits for what its files refer to, and says which key is missing", func(ctx context.Context) {
		room.ConfigMap(ctx, "data", map[string]string{"other": "x"}, nil)
		box := room.Sandbox("box").FileFrom("/workspace/text", 0o644, builders.ConfigMapKey("data", "text")).Obj()
		room.Create(ctx, box)
		c := room.EventuallyNotReady(ctx, box, v1alpha1.ReasonReferenceNotFound)
		Expect(c.Message).To(ContainSubstring(
			`file /workspace/text: ConfigMap "data" in namespace "` + room.Namespace + `" has no key "text"`))
		room.EventuallyRemotes(ctx, room.Namespace, 0)
	})

	It("says that its image does not exist, or can't be pulled", func(ctx context.Context) {
		missing := room.Sandbox("missing").Image(images + "/no/such:image").Obj()
		unreachable := room.Sandbox("unreachable").Image(noRegistry + "/any:image").Obj()
		forbidden := room.Sandbox("forbidden").Image("127.0.0.1:1/any:image").Obj()
		malformed := room.Sandbox("malformed").Image("Not An Image").Obj()
		room.Create(ctx, missing, forbidden, malformed)
		Expect(room.EventuallyNotReady(ctx, missing, v1alpha1.ReasonInvalid).Message).To(ContainSubstring("does not exist at its registry"))
		Expect(meta.IsStatusConditionTrue(missing.Status.Conditions, v1alpha1.ConditionStalled)).To(BeTrue())
		Expect(room.EventuallyNotReady(ctx, forbidden, v1alpha1.ReasonInvalid).Message).To(ContainSubstring("--local-registries"))
		Expect(room.EventuallyNotReady(ctx, malformed, v1alpha1.ReasonInvalid).Message).To(ContainSubstring("Not An Image"))
		room.Create(ctx, unreachable)
		Expect(room.EventuallyNotReady(ctx, unreachable, v1alpha1.ReasonUnavailable).Message).To(
			ContainSubstring("its registry can't be reached"))

		By("going on with others meanwhile")
		for i := range 5 {
			room.Create(ctx, room.Sandbox(fmt.Sprintf("unreachable-%d", i)).Image(noRegistry+"/any:image").Obj())
		}
		Eventually(ctx, func(g Gomega) {
			g.Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(unreachable), unreachable)).To(Succeed())
			g.Expect(unreachable.Annotations[v1alpha1.JournalAnnotation]).To(ContainSubstring(`"attempt":4`))
		}).WithTimeout(testbed.Patience).Should(Succeed(), func() string { return testbed.StateOf(unreachable) })
		began := time.Now()
		room.Ready(ctx, room.Sandbox("healthy"))
		Expect(time.Since(began)).To(BeNumerically("<", 5*time.Second), "an image that can't be pulled holds up others")
	})

	It("says that it has no templates, before anything is made", func(ctx context.Context) {
		box := room.Sandbox("box").Template("base").Obj()
		room.Create(ctx, box)
		c := room.EventuallyNotReady(ctx, box, v1alpha1.ReasonUnsupported)
		Expect(c.Message).To(And(ContainSubstring("spec.source.template"), ContainSubstring("docs/providers/local.md")))
		Expect(box.Finalizers).To(BeEmpty())
	})

	It("has the resources that it asks for, and says when it died of them", func(ctx context.Context) {
		box := room.Ready(ctx, room.Sandbox("box").Memory("128Mi"))
		run := room.Exec("run", "box").Shell("echo begin; head -c 1G /dev/zero | tail").Obj()
		room.Create(ctx, run)
		c := room.EventuallyNotReady(ctx, box, v1alpha1.ReasonRemoteStopped)
		Expect(c.Message).To(ContainSubstring("memory"))
		Expect(box.Status.State).To(Equal(v1alpha1.SandboxStopped))
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSandboxLost), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonRemoteStopped))
		room.Delete(ctx, box)
		room.EventuallyGone(ctx, box)
		room.EventuallyRemotes(ctx, room.Namespace, 0)
	})

	It("says when its remote is gone", func(ctx context.Context) {
		box := room.Ready(ctx, room.Sandbox("box"))
		Expect(bed.Provider.Destroy(ctx, box.Status.SandboxID)).To(Succeed())
		c := room.EventuallyNotReady(ctx, box, v1alpha1.ReasonRemoteGone)
		Expect(c.Message).To(ContainSubstring("does not exist at the provider any more"))
		Expect(box.Status.State).To(Equal(v1alpha1.SandboxGone))
		room.Delete(ctx, box)
		room.EventuallyGone(ctx, box)
	})

	It("leaves its remote at the provider when its deletionPolicy is Retain", func(ctx context.Context) {
		box := room.Ready(ctx, room.Sandbox("box").Retain())
		room.Delete(ctx, box)
		room.EventuallyGone(ctx, box)
		remotes := room.EventuallyRemotes(ctx, room.Namespace, 1)
		Expect(remotes[0].ID).To(Equal(box.Status.SandboxID))
		Expect(remotes[0].State).To(Equal(backends.StateRunning))
		Expect(bed.Provider.Destroy(ctx, remotes[0].ID)).To(Succeed())
	})

	It("can have its deletionPolicy changed", func(ctx context.Context) {
		box := room.Ready(ctx, room.Sandbox("box").Retain())
		Expect(bed.Client.Patch(ctx, box, mergePatch(`{"spec":{"deletionPolicy":null}}`))).To(Succeed())
		room.Delete(ctx, box)
		room.EventuallyGone(ctx, box)
		room.EventuallyRemotes(ctx, room.Namespace, 0)
	})

	It("can be made again under the same name", func(ctx context.Context) {
		first := room.Ready(ctx, room.Sandbox("box"))
		room.Delete(ctx, first)
		room.EventuallyGone(ctx, first)
		second := room.Ready(ctx, room.Sandbox("box"))
		Expect(second.Status.SandboxID).NotTo(Equal(first.Status.SandboxID))
		Expect(room.EventuallyRemotes(ctx, room.Namespace, 1)[0].ID).To(Equal(second.Status.SandboxID))
	})

	It("that is copied with the journal of another makes a remote of its own", func(ctx context.Context) {
		first := room.Ready(ctx, room.Sandbox("box"))
		journal := first.Annotations[v1alpha1.JournalAnnotation]
		second := room.Ready(ctx, room.Sandbox("copy").Annotation(v1alpha1.JournalAnnotation, journal))
		Expect(second.Status.SandboxID).NotTo(Equal(first.Status.SandboxID))
		room.EventuallyRemotes(ctx, room.Namespace, 2)
	})
})

var _ = Describe("A deleted namespace", func() {
	It("ends within seconds with its sandboxes, runs and provider, and leaves nothing at the provider", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		room.Secret(ctx, "keys", map[string]string{"token": "open-sesame"})
		room.Create(ctx, builders.MakeProvider(room.Namespace, "own", "local").Default().Obj())
		for i := range 3 {
			name := fmt.Sprintf("box-%d", i)
			room.Create(ctx, builders.MakeSandbox(room.Namespace, name).Obj())
			for _, run := range []string{"a", "b"} {
				room.Create(ctx, room.Exec(name+run, name).
					EnvFrom("TOKEN", builders.SecretKey("keys", "token")).Command("sleep", "600").Obj())
			}
		}
		var runs v1alpha1.SandboxExecList
		Eventually(ctx, func(g Gomega) {
			g.Expect(bed.Client.List(ctx, &runs, client.InNamespace(room.Namespace))).To(Succeed())
			for i := range runs.Items {
				g.Expect(runs.Items[i].Finalizers).NotTo(BeEmpty(), func() string { return testbed.StateOf(&runs.Items[i]) })
			}
		}).WithTimeout(testbed.Patience).Should(Succeed())
		// One that waits, and one that can't be made.
		room.Create(ctx, room.Exec("waits", "nobody").Command("true").Obj(),
			builders.MakeSandbox(room.Namespace, "blocked").ClusterProvider("nobody").Obj())
		room.EventuallyRemotes(ctx, room.Namespace, 3)

		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: room.Namespace}}
		began := time.Now()
		room.Delete(ctx, namespace)
		var ours time.Duration
		Eventually(ctx, func(g Gomega) {
			if ours == 0 && none(ctx, room.Namespace) {
				ours = time.Since(began)
			}
			g.Expect(apierrors.IsNotFound(bed.Client.Get(ctx, client.ObjectKeyFromObject(namespace), namespace))).To(BeTrue())
		}).WithTimeout(25*time.Second).WithPolling(50*time.Millisecond).
			Should(Succeed(), func() string { return bed.Report(room.Namespace) })
		took := time.Since(began)
		AddReportEntry("the end of a namespace", fmt.Sprintf("after %v; its objects of ours after %v",
			took.Round(time.Millisecond), ours.Round(time.Millisecond)), ReportEntryVisibilityAlways)
		Expect(ours).To(BeNumerically(">", 0))
		// Kubernetes itself begins after 5 s, and where anything is left then, it comes again some seconds later.
		Expect(took).To(BeNumerically("<", 15*time.Second), "objects of ours were gone after %v", ours)
		remotes, err := bed.Remotes(ctx, room.Namespace)
		Expect(err).NotTo(HaveOccurred())
		Expect(remotes).To(BeEmpty())
	})
})

// none says whether a namespace has no object of the operator.
func none(ctx context.Context, namespace string) bool {
	for _, list := range []client.ObjectList{&v1alpha1.SandboxList{}, &v1alpha1.SandboxExecList{}, &v1alpha1.SandboxProviderList{}} {
		if bed.Client.List(ctx, list, client.InNamespace(namespace)) != nil || meta.LenList(list) > 0 {
			return false
		}
	}
	return true
}
