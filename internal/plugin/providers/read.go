// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/advice"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// Provider is one of either kind.
type Provider struct {
	Kind   v1alpha1.ProviderKind
	Meta   metav1.ObjectMeta
	Spec   v1alpha1.ProviderSpec
	Status v1alpha1.ProviderStatus
}

// Object names it for a patch.
func (p *Provider) Object() client.Object {
	of := metav1.ObjectMeta{Namespace: p.Meta.Namespace, Name: p.Meta.Name}
	if p.Kind == v1alpha1.KindSandboxProvider {
		return &v1alpha1.SandboxProvider{ObjectMeta: of}
	}
	return &v1alpha1.ClusterSandboxProvider{ObjectMeta: of}
}

// About is what advice on it names.
func (p *Provider) About() advice.About {
	about := advice.About{Resource: "csbxp", Namespace: p.Meta.Namespace, Name: p.Meta.Name, Provider: "csbxp " + p.Meta.Name}
	if p.Kind == v1alpha1.KindSandboxProvider {
		about.Resource, about.Provider = "sbxp", fmt.Sprintf("sbxp %s -n %s", p.Meta.Name, p.Meta.Namespace)
	}
	return about
}

// Read reads the providers of the cluster and of a namespace, those of the cluster first. Where one of the kinds may not be
// read, it is a problem; where none may, an error.
func Read(ctx context.Context, c client.Client, namespace string) (all []Provider, problems []string, err error) {
	cluster, namespaced := &v1alpha1.ClusterSandboxProviderList{}, &v1alpha1.SandboxProviderList{}
	clusterErr := c.List(ctx, cluster)
	namespacedErr := c.List(ctx, namespaced, client.InNamespace(namespace))
	for _, err := range []error{clusterErr, namespacedErr} {
		if err != nil && !apierrors.IsForbidden(err) {
			return nil, nil, cli.Explain(err)
		}
	}
	if clusterErr != nil && namespacedErr != nil {
		return nil, nil, cli.Explain(namespacedErr)
	}
	if clusterErr != nil {
		problems = append(problems, "providers of the cluster are not shown, as you may not list them")
	}
	if namespacedErr != nil {
		problems = append(problems, fmt.Sprintf("providers of the namespace %s are not shown, as you may not list them", namespace))
	}
	for i := range cluster.Items {
		p := &cluster.Items[i]
		all = append(all, Provider{v1alpha1.KindClusterSandboxProvider, p.ObjectMeta, p.Spec.ProviderSpec, p.Status})
	}
	for i := range namespaced.Items {
		p := &namespaced.Items[i]
		all = append(all, Provider{v1alpha1.KindSandboxProvider, p.ObjectMeta, p.Spec, p.Status})
	}
	return all, problems, nil
}

func read(ctx context.Context, f *cli.Factory) ([]Provider, []string, error) {
	c, namespace, err := f.Cluster()
	if err != nil {
		return nil, nil, err
	}
	return Read(ctx, c, namespace)
}
