// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kubernetes

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

var _ = Describe("A sandbox's pod", func() {
	podOf := func(ctx SpecContext, remote backends.Remote) *corev1.Pod {
		GinkgoHelper()
		pod, err := admin.CoreV1().Pods(namespace).Get(ctx, remote.Name, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		return pod
	}

	It("holds what a Sandbox asks for, and has no secret, no token and no privilege", func(ctx SpecContext) {
		b := connectWith(config(map[string]any{"maxLifetimeSeconds": 3600}))
		r := request()
		r.Env = map[string]string{"MONEY": "$$(HOME) $(PATH)"}
		r.Resources = backends.Resources{MilliCPU: 250, MemoryBytes: 64 << 20, DiskBytes: 1 << 30}
		r.User, r.Lifetime = "1001:1001", time.Hour
		r.Ports = []backends.Port{{Number: 8080, Protocol: backends.ProtocolHTTP}}
		remote := running(ctx, b, r)
		spec := podOf(ctx, remote).Spec
		container := spec.Containers[0]
		Expect(container.Resources.Limits).To(Equal(container.Resources.Requests))
		Expect(container.Resources.Limits.Cpu().String()).To(Equal("250m"))
		Expect(container.Resources.Limits.StorageEphemeral().String()).To(Equal("1Gi"))
		Expect(spec.AutomountServiceAccountToken).To(HaveValue(BeFalse()))
		Expect(spec.EnableServiceLinks).To(HaveValue(BeFalse()))
		Expect(spec.RestartPolicy).To(Equal(corev1.RestartPolicyNever))
		Expect(spec.HostNetwork || spec.HostPID || spec.HostIPC).To(BeFalse())
		Expect(spec.ActiveDeadlineSeconds).To(HaveValue(BeEquivalentTo(3600)))
		Expect(remote.ExpiresAt).To(BeTemporally("~", time.Now().Add(time.Hour), time.Minute))
		result, err := b.RunCommand(ctx, remote.ID, backends.Command{Argv: []string{"sh", "-c", "printf %s \"$MONEY\"; id -u; id -g"}})
		Expect(err).NotTo(HaveOccurred())
		Expect(string(result.Stdout)).To(Equal("$$(HOME) $(PATH)1001\n1001\n"))
	})

	DescribeTable("that does not start says why, so that a person understands",
		func(ctx SpecContext, parameters map[string]any, image string, state backends.State, words string) {
			b := connectWith(config(parameters))
			r := request()
			r.Source.Image = image
			remote := create(ctx, b, r)
			Eventually(b.Get).WithContext(ctx).WithArguments(remote.ID).WithTimeout(time.Minute).
				Should(And(HaveField("State", state), HaveField("Reason", ContainSubstring(words))))
		},
		Entry("an image that is not there, at first", nil, "registry.invalid/none:1", backends.StateCreating, "its image can't be pulled"),
		Entry("an image that is not there, at last", map[string]any{"startDeadlineSeconds": 1}, "registry.invalid/none:1",
			backends.StateStopped, "it did not start within 1s: its image can't be pulled"),
		Entry("a name that is none", nil, "Not-A-Name", backends.StateStopped, "is no name of an image"),
		Entry("a node that does not exist", map[string]any{"nodeSelector": map[string]string{"disk": "golden"}}, imageName,
			backends.StateCreating, "no node can take it: node(s) didn't match Pod's node affinity/selector"),
		Entry("an image without a shell", nil, "example.com/no-shell:1", backends.StateStopped, "its image has no /bin/sh"),
	)

	It("that ended says why", func(ctx SpecContext) {
		b := connectWith(config(map[string]any{"maxLifetimeSeconds": 2}))
		r := request()
		r.Resources.MemoryBytes = 32 << 20
		for reason, words := range map[string]string{
			"OOMKilled": "it ran out of memory: its limit is 32Mi", "Evicted": "its node evicted it",
			"": "it reached the longest lifetime that its provider allows",
		} {
			r.Name, r.Mark.UID = request().Name, request().Mark.UID
			remote := running(ctx, b, r)
			if reason != "" {
				node.End(namespace, remote.Name, reason)
			}
			Eventually(b.Get).WithContext(ctx).WithArguments(remote.ID).WithTimeout(time.Minute).
				Should(And(HaveField("State", backends.StateStopped), HaveField("Reason", ContainSubstring(words))))
		}
	})

	It("has the network that it asks for from its first moment, by a policy that it shares", func(ctx SpecContext) {
		b := connectWith(config(nil))
		r := request()
		r.Network = backends.Network{Policy: backends.NetworkRestricted, CIDRs: []string{"192.0.2.7/24", "198.51.100.0/24", "192.0.2.0/24"}}
		first := create(ctx, b, r)
		r.Name, r.Mark.UID = request().Name, request().Mark.UID
		second := create(ctx, b, r)
		value := podOf(ctx, first).Labels[networkLabel]
		Expect(podOf(ctx, second).Labels).To(HaveKeyWithValue(networkLabel, value))
		policy, err := admin.NetworkingV1().NetworkPolicies(namespace).Get(ctx, "sandboxes-"+value, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(policy.Spec.PodSelector.MatchLabels).To(Equal(map[string]string{networkLabel: value}))
		Expect(policy.Spec.PolicyTypes).To(ConsistOf(networkingv1.PolicyTypeEgress))
		Expect(policy.Spec.Egress).To(HaveLen(1))
		Expect(policy.Spec.Egress[0].To).To(HaveExactElements(
			HaveField("IPBlock.CIDR", "192.0.2.0/24"), HaveField("IPBlock.CIDR", "198.51.100.0/24")))

		r = request()
		r.Network = backends.Network{Policy: backends.NetworkDeny}
		Expect(podOf(ctx, create(ctx, b, r)).Labels).To(HaveKeyWithValue(networkLabel, "deny"))
		policy, err = admin.NetworkingV1().NetworkPolicies(namespace).Get(ctx, "sandboxes-deny", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(policy.Spec.Egress).To(BeEmpty())

		r = request()
		r.Network = backends.Network{Policy: backends.NetworkRestricted, Hosts: []string{"example.com"}}
		_, err = b.Create(ctx, r)
		Expect(err).To(MatchError(backends.Unsupported))
		Expect(err).To(MatchError(ContainSubstring("use network.cidrs")))
	})

	It("is no other pod of the namespace: those are not looked at, entered or deleted", func(ctx SpecContext) {
		b := connectWith(config(nil))
		other := running(ctx, b, request())
		patch := []byte(`{"metadata":{"labels":{"` + SandboxLabel + `":null}}}`)
		_, err := admin.CoreV1().Pods(namespace).Patch(ctx, other.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		_, err = b.Get(ctx, other.ID)
		Expect(err).To(MatchError(ContainSubstring("is no sandbox: it has no label")))
		Expect(b.Destroy(ctx, other.ID)).To(MatchError(backends.Invalid))
		Expect(b.List(ctx, backends.Filter{})).NotTo(ContainElement(HaveField("ID", other.ID)))
		Expect(podOf(ctx, other).DeletionTimestamp).To(BeNil())
		Expect(admin.CoreV1().Pods(namespace).Delete(ctx, other.Name, metav1.DeleteOptions{})).To(Succeed())

		for _, id := range []string{"kube-system/coredns/0000", "../x/y", "a/b", "", namespace + "/../../nodes/x"} {
			_, err := b.Get(ctx, id)
			Expect(err).To(HaveOccurred(), id)
			_, err = b.RunCommand(ctx, id, backends.Command{Argv: []string{"true"}})
			Expect(err).To(HaveOccurred(), id)
			Expect(b.Destroy(ctx, id)).NotTo(Succeed(), id)
		}
	})

	It("is entered although somebody else made it, and it doesn't know its UID", func(ctx SpecContext) {
		b := connectWith(config(nil))
		foreign, err := b.pod(request(), "", time.Now())
		Expect(err).NotTo(HaveOccurred())
		foreign.Spec.Containers[0].Env = nil
		foreign.Annotations = nil
		adopted, err := admin.CoreV1().Pods(namespace).Create(ctx, foreign, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		id := identityOf(adopted).String()
		DeferCleanup(func(ctx SpecContext) { _ = b.Destroy(ctx, id) })
		Eventually(b.Get).WithContext(ctx).WithArguments(id).WithTimeout(time.Minute).Should(HaveField("State", backends.StateRunning))
		result, err := b.RunCommand(ctx, id, backends.Command{Argv: []string{"cat"}, Stdin: []byte("once")})
		Expect(err).NotTo(HaveOccurred())
		Expect(string(result.Stdout)).To(Equal("once"))
	})

	It("is known to have no shell also where the reason is lost on its way", func(ctx SpecContext) {
		b := connectWith(config(map[string]any{"firstProcess": "Image"}))
		r := request()
		r.Source.Image = "example.com/no-shell-reset:1"
		remote := running(ctx, b, r)
		result, err := b.RunCommand(ctx, remote.ID, backends.Command{Argv: []string{"tr", "a-z", "A-Z"}, Stdin: []byte("in")})
		Expect(err).NotTo(HaveOccurred())
		Expect(string(result.Stdout)).To(Equal("IN"))
	})

	It("runs what an image without a shell has, as far as that goes", func(ctx SpecContext) {
		b := connectWith(config(map[string]any{"firstProcess": "Image"}))
		r := request()
		r.Source.Image = "example.com/no-shell:1"
		remote := running(ctx, b, r)
		run := func(command backends.Command) (backends.Result, error) { return b.RunCommand(ctx, remote.ID, command) }

		result, err := run(backends.Command{Argv: []string{"tr", "a-z", "A-Z"}, Stdin: []byte("in")})
		Expect(err).NotTo(HaveOccurred())
		Expect(string(result.Stdout)).To(Equal("IN"))
		result, err = run(backends.Command{Argv: []string{"false"}})
		Expect(err).NotTo(HaveOccurred())
		Expect(result.ExitCode).To(Equal(1))
		result, err = run(backends.Command{Argv: []string{"nowhere"}})
		Expect(err).NotTo(HaveOccurred())
		Expect(result.ExitCode).To(Equal(127))
		result, err = run(backends.Command{Argv: []string{"/bin/sh", "-c", "true"}, Timeout: time.Minute})
		Expect(err).NotTo(HaveOccurred())
		Expect(result.ExitCode).To(Equal(127), "so it is known that there is no shell")
		_, err = run(backends.Command{Argv: []string{"true"}, Timeout: time.Minute})
		Expect(err).To(MatchError(backends.Unsupported))
		Expect(err).To(MatchError(ContainSubstring("timeoutSeconds: 0")))

		r = request()
		r.Lifetime = time.Hour
		_, err = b.Create(ctx, r)
		Expect(err).To(MatchError(ContainSubstring("set leaseSeconds of the provider to 0")))
	})

	It("tells of its changes within a moment", func(ctx SpecContext) {
		b := connectWith(config(nil))
		told := make(chan backends.Remote, 1000)
		watching, stop := contextOf(ctx)
		ended := make(chan error, 1)
		go func() { ended <- b.Watch(watching, "suite", func(r backends.Remote) { told <- r }) }()
		remote := create(ctx, b, request())
		seen := func(state backends.State) {
			GinkgoHelper()
			Eventually(told).WithTimeout(time.Minute).Should(Receive(And(HaveField("ID", remote.ID), HaveField("State", state))))
		}
		seen(backends.StateCreating)
		seen(backends.StateRunning)
		Expect(b.Destroy(ctx, remote.ID)).To(Succeed())
		seen(backends.StateStopped)
		seen("")
		stop()
		Eventually(ended).Should(Receive(HaveOccurred()))
	})
})

var _ = Describe("A command whose sandbox goes", func() {
	It("has an end that is not known, and says why", func(ctx SpecContext) {
		b := connectWith(config(nil))
		for what, end := range map[string]func(backends.Remote){
			"destroyed": func(r backends.Remote) { Expect(b.Destroy(ctx, r.ID)).To(Succeed()) },
			"evicted":   func(r backends.Remote) { node.End(namespace, r.Name, "Evicted") },
		} {
			remote := running(ctx, b, request())
			ended := make(chan error, 1)
			go func() {
				_, err := b.RunCommand(ctx, remote.ID, backends.Command{Argv: []string{"sh", "-c", ": >/tmp/begun; sleep 300"}})
				ended <- err
			}()
			Eventually(func() (bool, error) { return backends.Exists(ctx, b, remote.ID, "/tmp/begun") }).
				WithTimeout(time.Minute).Should(BeTrue())
			end(remote)
			var err error
			Eventually(ended).WithTimeout(time.Minute).Should(Receive(&err), what)
			Expect(err).To(MatchError(backends.Ambiguous), what)
			Expect(err).To(MatchError(ContainSubstring("while the command ran")), what)
		}
	})
})

var _ = Describe("The operator's rights", func() {
	It("are missed in words that say how to give them", func(ctx SpecContext) {
		unbound := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "unbound"}}
		_, err := admin.CoreV1().Namespaces().Create(ctx, unbound, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		b := connectWith(config(map[string]any{"namespace": "unbound"}))
		_, createErr := b.Create(ctx, request())
		_, listErr := b.List(ctx, backends.Filter{})
		for _, err := range []error{createErr, listErr, b.Watch(ctx, "suite", func(backends.Remote) {})} {
			Expect(err).To(MatchError(backends.Unauthorized))
			Expect(err).To(MatchError(ContainSubstring("kubectl create rolebinding sandbox-pods -n unbound")))
		}
	})

	It("are of no use in a namespace that does not exist, or that is being deleted", func(ctx SpecContext) {
		_, err := connectWith(withAdmin(map[string]any{"namespace": "nowhere"})).Create(ctx, request())
		Expect(err).To(MatchError(backends.Unavailable))
		Expect(err).To(MatchError(ContainSubstring(`create the namespace "nowhere"`)))

		ending := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ending"}}
		_, err = admin.CoreV1().Namespaces().Create(ctx, ending, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept", Finalizers: []string{"example.com/kept"}}}
		_, err = admin.CoreV1().ConfigMaps("ending").Create(ctx, kept, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(admin.CoreV1().Namespaces().Delete(ctx, "ending", metav1.DeleteOptions{})).To(Succeed())
		_, err = connectWith(withAdmin(map[string]any{"namespace": "ending"})).Create(ctx, request())
		Expect(err).To(MatchError(backends.Unavailable))
		Expect(err).To(MatchError(ContainSubstring("is being deleted")))
		_, err = admin.CoreV1().ConfigMaps("ending").Patch(ctx, "kept", types.MergePatchType,
			[]byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
	})

	It("don't help where Pod Security forbids what an administrator's overlay asks for", func(ctx SpecContext) {
		b := connectWith(config(map[string]any{"podOverlay": map[string]any{"hostNetwork": true}}))
		_, err := b.Create(ctx, request())
		Expect(err).To(MatchError(backends.Invalid))
		Expect(err).To(MatchError(ContainSubstring(`the cluster does not allow this pod: violates PodSecurity "restricted:latest"`)))
	})
})
