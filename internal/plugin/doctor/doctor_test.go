// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/providers"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestACRDIsComparedWithWhatThePluginKnows(t *testing.T) {
	g := NewWithT(t)
	for _, r := range resources {
		text, err := os.ReadFile("../../../config/crd/bases/sandboxes.run_" + r.name + ".yaml")
		g.Expect(err).NotTo(HaveOccurred())
		crd := &apiextensionsv1.CustomResourceDefinition{}
		g.Expect(yaml.Unmarshal(text, crd)).To(Succeed())
		g.Expect(compare(crd, r.spec, r.status)).To(BeEmpty(), r.name)

		root := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		root.Properties["spec"].Properties["later"] = apiextensionsv1.JSONSchemaProps{}
		g.Expect(compare(crd, r.spec, r.status)).To(HaveSuffix("is newer than this plugin, which does not know spec.later"))
		delete(root.Properties["status"].Properties, "conditions")
		g.Expect(compare(crd, r.spec, r.status)).To(HaveSuffix("is older than this plugin: it lacks status.conditions"))
		crd.Spec.Versions[0].Served = false
		g.Expect(compare(crd, r.spec, r.status)).To(HaveSuffix("does not serve v1alpha1"))
	}
}

func TestALeaseTellsWhetherAnOperatorWorks(t *testing.T) {
	p := &patient{now: now}
	lease := func(holder string, renewed time.Duration) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: leaseName}, Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: new(int32(15)), RenewTime: &metav1.MicroTime{Time: now.Add(-renewed)},
		}}
	}
	for _, c := range []struct {
		lease *coordinationv1.Lease
		level Level
		says  string
	}{
		{lease("pod-a", 3*time.Second), Fine, "pod-a works (lease manager.sandboxes.run, renewed 3s ago)"},
		{lease("pod-a", 29*time.Second), Fine, "works"},
		{lease("pod-a", 10*time.Minute), Failed, "was last renewed 10m ago, by pod-a"},
		{lease("", time.Second), Failed, "nobody holds"},
		{&coordinationv1.Lease{}, Failed, "nobody holds"},
	} {
		found := p.lease(c.lease)
		NewWithT(t).Expect(found.Level).To(Equal(c.level), found.Message)
		NewWithT(t).Expect(found.Message).To(ContainSubstring(c.says))
	}
}

func TestADeploymentTellsHowManyPodsThereAre(t *testing.T) {
	for available, level := range map[int32]Level{0: Failed, 1: Warned, 2: Fine} {
		d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: new(int32(2))}}
		d.Status.AvailableReplicas = available
		NewWithT(t).Expect(deployment(d).Level).To(Equal(level))
	}
}

func provider(kind v1alpha1.ProviderKind, name string, isDefault bool) providers.Provider {
	p := providers.Provider{Kind: kind, Meta: metav1.ObjectMeta{Name: name}}
	if kind == v1alpha1.KindSandboxProvider {
		p.Meta.Namespace = "team"
	}
	if isDefault {
		p.Meta.Annotations = map[string]string{v1alpha1.DefaultProviderAnnotation: "true"}
	}
	return p
}

func TestTheDefaultProvider(t *testing.T) {
	cluster, own := v1alpha1.KindClusterSandboxProvider, v1alpha1.KindSandboxProvider
	for _, c := range []struct {
		name   string
		all    []providers.Provider
		partly bool
		level  Level
		says   string
	}{
		{"one", []providers.Provider{provider(cluster, "a", true), provider(cluster, "b", false)}, false, Fine, "csbxp a is"},
		{
			"one of the namespace before the cluster's", []providers.Provider{provider(cluster, "a", true), provider(own, "b", true)},
			false, Fine, "sbxp b -n team is",
		},
		{"two", []providers.Provider{provider(cluster, "a", true), provider(cluster, "b", true)}, false, Failed, "there are 2 defaults"},
		{"none", []providers.Provider{provider(cluster, "a", false)}, false, Warned, "no provider is the default"},
		{"none at all", nil, false, Failed, "there is no provider"},
		{"none that is seen", nil, true, Warned, "not all providers are"},
	} {
		found := defaultProvider(c.all, c.partly)
		NewWithT(t).Expect(found.Level).To(Equal(c.level), c.name)
		NewWithT(t).Expect(found.Message).To(ContainSubstring(c.says), c.name)
	}
}

func TestTheHealthOfAProvider(t *testing.T) {
	g := NewWithT(t)
	p := &patient{now: now}
	a := provider(v1alpha1.KindClusterSandboxProvider, "a", true)
	g.Expect(p.health(&a)).To(ConsistOf(HaveField("Message", "csbxp a: no operator has seen it")))
	a.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: v1alpha1.ReasonAccountChanged, Message: "other"}}
	g.Expect(p.health(&a)).To(ConsistOf(SatisfyAll(HaveField("Level", Failed), HaveField("Message", "csbxp a: AccountChanged: other"),
		HaveField("Next", ContainSubstring("kubectl annotate csbxp a sandboxes.run/accept-losses=true")))))
	a.Status.Conditions[0].Status, a.Status.LastSyncTime = "True", &metav1.Time{Time: now.Add(-90 * time.Minute)}
	g.Expect(worst(p.health(&a))).To(Equal(Fine))
	a.Spec.Limits = &v1alpha1.ProviderLimits{MaxSandboxes: new(int32(3))}
	a.Status.SandboxCount, a.Status.OrphanCount = new(int32(3)), new(int32(1))
	a.Status.Abandoned = []v1alpha1.AbandonedRemote{{}}
	g.Expect(p.health(&a)).To(HaveLen(4))
	g.Expect(worst(p.health(&a))).To(Equal(Warned))
	a.Status.LastSyncTime = &metav1.Time{Time: now.Add(-5 * time.Hour)}
	g.Expect(p.health(&a)).To(ContainElement(HaveField("Message", "csbxp a was last listed 5h ago: no operator works")))
}

func TestAQuotaThatIsReached(t *testing.T) {
	g := NewWithT(t)
	quota := &corev1.ResourceQuota{Status: corev1.ResourceQuotaStatus{
		Hard: corev1.ResourceList{
			"count/sandboxes.sandboxes.run": resource.MustParse("2"), "secrets": resource.MustParse("5"), "pods": resource.MustParse("1"),
		},
		Used: corev1.ResourceList{
			"count/sandboxes.sandboxes.run": resource.MustParse("2"), "secrets": resource.MustParse("4"), "pods": resource.MustParse("1"),
		},
	}}
	g.Expect(exhausted(quota)).To(ConsistOf(HaveField("Message", ContainSubstring("allows 2 of sandboxes.sandboxes.run, and there are 2"))))
}
