// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/pkg/sandboxtest"
)

// What both see of an object, first kstatus, then Argo CD.
const (
	healthy     = "Current/Healthy"
	progressing = "InProgress/Progressing"
	degraded    = "Failed/Degraded"
	// Argo CD asks no script about an object that is being deleted: it says Progressing by itself.
	terminating = "Terminating/Progressing"
)

// health asks both.
func health(u *unstructured.Unstructured) string {
	GinkgoHelper()
	computed, err := status.Compute(u)
	Expect(err).NotTo(HaveOccurred())
	if u.GetDeletionTimestamp() != nil {
		return computed.Status.String() + "/Progressing"
	}
	return computed.Status.String() + "/" + argoHealth(u)
}

// argoHealth runs the script that config/argocd has for the kind, as Argo CD does: with the object in obj, and a table as the answer.
func argoHealth(u *unstructured.Unstructured) string {
	GinkgoHelper()
	kind := u.GroupVersionKind()
	script, ok := argoScripts()["resource.customizations.health."+kind.Group+"_"+kind.Kind]
	Expect(ok).To(BeTrue(), "config/argocd has no health script for %s", kind)
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	// Argo CD opens no more than these to a health script.
	for name, open := range map[string]lua.LGFunction{"": lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		Expect(state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name))).To(Succeed())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", luaValue(state, u.Object))
	Expect(state.DoString(script)).To(Succeed())
	answer, ok := state.Get(-1).(*lua.LTable)
	Expect(ok).To(BeTrue(), "the script returns no table")
	Expect(answer.RawGetString("message").String()).NotTo(BeEmpty())
	return answer.RawGetString("status").String()
}

func argoScripts() map[string]string {
	GinkgoHelper()
	text, err := os.ReadFile(filepath.Join(root, "config", "argocd", "argocd-cm.yaml"))
	Expect(err).NotTo(HaveOccurred())
	var config corev1.ConfigMap
	Expect(yaml.UnmarshalStrict(text, &config)).To(Succeed())
	return config.Data
}

func luaValue(state *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case nil:
		return lua.LNil
	case bool:
		return lua.LBool(v)
	case string:
		return lua.LString(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	case []any:
		table := state.NewTable()
		for _, element := range v {
			table.Append(luaValue(state, element))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, element := range v {
			table.RawSetString(key, luaValue(state, element))
		}
		return table
	default:
		Fail(fmt.Sprintf("a %T in an object", value))
		return nil
	}
}

// becomes waits until both see the object so, and until then as something else, but never as one of those.
func becomes(ctx context.Context, o *unstructured.Unstructured, want string, never ...string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		is := health(refresh(ctx, o))
		for _, other := range never {
			if is == other && is != want {
				StopTrying("it is taken for "+is).Attach("object", o.Object).Now()
			}
		}
		g.Expect(is).To(Equal(want), "%v", o.Object["status"])
	}).Should(Succeed())
}

var _ = Describe("The health of our objects, for kstatus and for Argo CD", func() {
	var namespace string

	BeforeEach(func(ctx SpecContext) { namespace = newNamespace(ctx) })

	It("is in progress as long as the operator has not seen them", func(ctx SpecContext) {
		for _, fresh := range []*unstructured.Unstructured{
			object("Sandbox", namespace, "fresh", map[string]any{}), run(namespace, "fresh", "box", nil),
			object("SandboxProvider", namespace, "fresh", map[string]any{"backend": "e2b"}),
			object("ClusterSandboxProvider", "", "fresh", map[string]any{"backend": "e2b"}),
		} {
			// A dry run is what the API server makes of it, and nobody else.
			Expect(k8s.Create(ctx, fresh, client.DryRunAll)).To(Succeed())
			Expect(health(fresh)).To(Equal(progressing), fresh.GetKind())
		}
	})

	It("of a Sandbox follows its life", func(ctx SpecContext) {
		box := object("Sandbox", namespace, "box", map[string]any{})
		quota := operator.Trouble(sandboxtest.Trouble{
			Operation: sandboxtest.Create, Namespace: namespace, Sandbox: "box", Failure: sandboxtest.QuotaExceeded,
		})
		DeferCleanup(quota)
		create(ctx, box)
		Eventually(func() any { return refresh(ctx, box).Object["status"] }).Should(HaveKeyWithValue("conditions",
			ContainElement(HaveKeyWithValue("reason", "QuotaExceeded"))))
		Expect(health(box)).To(Equal(progressing), "it waits, and goes on by itself")
		quota()
		becomes(ctx, box, healthy, degraded)

		paused := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"desiredState":"Paused"}}`))
		unseen := box.DeepCopy()
		Expect(k8s.Patch(ctx, unseen, paused, client.DryRunAll)).To(Succeed())
		Expect(health(unseen)).To(Equal(progressing), "the status speaks of an older spec")
		Expect(k8s.Patch(ctx, box, paused)).To(Succeed())
		Eventually(func() any { return refresh(ctx, box).Object["status"] }).Should(HaveKeyWithValue("conditions",
			ContainElement(HaveKeyWithValue("reason", "Paused"))))
		becomes(ctx, box, healthy, degraded)

		stays := operator.Trouble(sandboxtest.Trouble{
			Operation: sandboxtest.Destroy, Namespace: namespace, Failure: sandboxtest.RateLimited,
		})
		DeferCleanup(stays)
		Expect(k8s.Delete(ctx, box)).To(Succeed())
		becomes(ctx, box, terminating, degraded)
		stays()
		gone(ctx, box)
	})

	It("of a Sandbox that needs somebody is failed", func(ctx SpecContext) {
		DeferCleanup(operator.Trouble(sandboxtest.Trouble{
			Operation: sandboxtest.Create, Namespace: namespace, Sandbox: "wrong", Failure: sandboxtest.Invalid,
		}))
		wrong, lost := object("Sandbox", namespace, "wrong", map[string]any{}), object("Sandbox", namespace, "lost", map[string]any{})
		over := object("Sandbox", namespace, "over", map[string]any{"lifetime": map[string]any{"timeoutSeconds": int64(1)}})
		create(ctx, wrong, lost, over)
		becomes(ctx, wrong, degraded, healthy)
		becomes(ctx, lost, healthy, degraded)
		Expect(operator.Lose(namespace, "lost")).To(BeTrue())
		becomes(ctx, lost, degraded)
		becomes(ctx, over, degraded)
		Expect(over.Object["status"]).To(HaveKeyWithValue("conditions", ContainElement(HaveKeyWithValue("reason", "Expired"))))
	})

	It("of a run says in progress until it ends, and then how", func(ctx SpecContext) {
		for program, result := range map[string]sandboxtest.Result{
			"bad": {ExitCode: 3}, "endless": {Hang: true}, "cancelled": {Hang: true}, "fatal": {LoseSandbox: true},
		} {
			DeferCleanup(operator.On(sandboxtest.Exec(namespace, program), result))
		}
		box, other := object("Sandbox", namespace, "box", map[string]any{}), object("Sandbox", namespace, "other", map[string]any{})
		early := run(namespace, "early", "box", nil)
		create(ctx, early)
		Eventually(func() any { return refresh(ctx, early).Object["status"] }).Should(HaveKeyWithValue("conditions",
			ContainElement(HaveKeyWithValue("reason", "WaitingForSandbox"))))
		Expect(health(early)).To(Equal(progressing))
		create(ctx, box, other)
		becomes(ctx, early, healthy, degraded)

		bad, cancelled, fatal := run(namespace, "bad", "box", nil), run(namespace, "cancelled", "box", nil), run(namespace, "fatal", "other", nil)
		endless := run(namespace, "endless", "box", map[string]any{"timeoutSeconds": int64(2)})
		create(ctx, bad, endless, cancelled, fatal)
		Eventually(func() any { return refresh(ctx, cancelled).Object["status"] }).Should(HaveKeyWithValue("conditions",
			ContainElement(And(HaveKeyWithValue("type", "Started"), HaveKeyWithValue("status", "True")))))
		Expect(health(cancelled)).To(Equal(progressing), "it runs")
		Expect(k8s.Patch(ctx, cancelled, client.RawPatch("application/merge-patch+json",
			[]byte(`{"spec":{"desiredState":"Cancelled"}}`)))).To(Succeed())
		for _, failed := range []*unstructured.Unstructured{bad, endless, cancelled, fatal} {
			becomes(ctx, failed, degraded, healthy)
		}
	})

	It("of a provider is that of its account", func(ctx SpecContext) {
		good := object("SandboxProvider", namespace, "good", map[string]any{"backend": "e2b"})
		unknown := object("ClusterSandboxProvider", "", "unknown", map[string]any{"backend": "nobody"})
		lacking := object("SandboxProvider", namespace, "lacking", map[string]any{
			"backend": "e2b", "credentials": map[string]any{"secretRef": map[string]any{"name": "missing"}},
		})
		create(ctx, good, unknown, lacking)
		becomes(ctx, good, healthy, degraded)
		becomes(ctx, unknown, degraded, healthy)
		Consistently(func() string { return health(refresh(ctx, lacking)) }, "300ms", "50ms").ShouldNot(Equal(healthy))
		Expect(k8s.Delete(ctx, unknown)).To(Succeed())
	})
})
