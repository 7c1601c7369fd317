// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli is what all commands of the plugin share. factory.go leads to the cluster, with kubectl's own connection flags;
// failure.go is the one kind of error that a user sees, and explain.go makes it of what the API server or a kubeconfig says;
// print.go prints objects as kubectl does; terminal.go knows whether somebody looks.
package cli

import (
	"context"
	"sync"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// Factory leads a command to the cluster. Nothing is read or dialled before it is asked for.
type Factory struct {
	*genericclioptions.ConfigFlags
	genericiooptions.IOStreams
	// Version of the plugin.
	Version string

	scheme func() *runtime.Scheme
}

// NewFactory makes one, with kubectl's own connection flags.
func NewFactory(streams genericiooptions.IOStreams, version string) *Factory {
	// client-go and controller-runtime would write lines of their own beside the output of commands.
	klog.SetLogger(logr.Discard())
	log.SetLogger(logr.Discard())
	flags := genericclioptions.NewConfigFlags(true).WithWarningPrinter(streams).WithDiscoveryBurst(-1)
	flags.WrapConfigFn = func(config *rest.Config) *rest.Config {
		config.UserAgent = "kubectl-sandbox/" + version
		// One person's commands need no limit beside the API server's own.
		config.QPS = -1
		return config
	}
	return &Factory{ConfigFlags: flags, IOStreams: streams, Version: version, scheme: sync.OnceValue(newScheme)}
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		v1alpha1.AddToScheme, corev1.AddToScheme, eventsv1.AddToScheme, authorizationv1.AddToScheme, apiextensionsv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err) // kinds of one group that clash: no input leads here
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return scheme
}

// Scheme has the kinds of the operator, and those of Kubernetes that the commands read.
func (f *Factory) Scheme() *runtime.Scheme { return f.scheme() }

// mapper knows the resources of the kinds without asking the API server: that would cost each command two round trips.
func (f *Factory) mapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []struct {
		of               schema.GroupVersion
		kind, plural     string
		namespacedOrRoot meta.RESTScope
	}{
		{v1alpha1.GroupVersion, "Sandbox", "sandboxes", meta.RESTScopeNamespace},
		{v1alpha1.GroupVersion, "SandboxExec", "sandboxexecs", meta.RESTScopeNamespace},
		{v1alpha1.GroupVersion, "SandboxProvider", "sandboxproviders", meta.RESTScopeNamespace},
		{v1alpha1.GroupVersion, "ClusterSandboxProvider", "clustersandboxproviders", meta.RESTScopeRoot},
		{corev1.SchemeGroupVersion, "ConfigMap", "configmaps", meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion, "Secret", "secrets", meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion, "Pod", "pods", meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion, "Namespace", "namespaces", meta.RESTScopeRoot},
		{corev1.SchemeGroupVersion, "Event", "events", meta.RESTScopeNamespace},
		{eventsv1.SchemeGroupVersion, "Event", "events", meta.RESTScopeNamespace},
		{authorizationv1.SchemeGroupVersion, "SelfSubjectAccessReview", "selfsubjectaccessreviews", meta.RESTScopeRoot},
		{apiextensionsv1.SchemeGroupVersion, "CustomResourceDefinition", "customresourcedefinitions", meta.RESTScopeRoot},
	} {
		plural := kind.of.WithResource(kind.plural)
		mapper.AddSpecific(kind.of.WithKind(kind.kind), plural, plural, kind.namespacedOrRoot)
	}
	return mapper
}

// Client is the cluster, with the user's own rights.
func (f *Factory) Client() (client.WithWatch, error) {
	config, err := f.ToRESTConfig()
	if err != nil {
		return nil, Explain(err)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: f.Scheme(), Mapper: f.mapper()})
	if err != nil {
		return nil, Explain(err)
	}
	return c, nil
}

// CurrentNamespace is that of -n, else that of the context, else default.
func (f *Factory) CurrentNamespace() (string, error) {
	namespace, _, err := f.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", Explain(err)
	}
	return namespace, nil
}

// Cluster is Client and CurrentNamespace in one: what nearly every command begins with.
func (f *Factory) Cluster() (client.WithWatch, string, error) {
	namespace, err := f.CurrentNamespace()
	if err != nil {
		return nil, "", err
	}
	c, err := f.Client()
	return c, namespace, err
}

// PageSize is how many objects are asked for at once, as kubectl does: a namespace may have thousands of runs.
const PageSize = 500

// Table asks the API server for the rows that kubectl get would show: of a resource of the operator's group, such as
// sandboxes, in a namespace (empty = in all). A name (empty = all) and a label selector narrow it. Many are asked for in pages.
func (f *Factory) Table(ctx context.Context, resource, namespace, name, selector string) (*metav1.Table, error) {
	config, err := f.ToRESTConfig()
	if err != nil {
		return nil, Explain(err)
	}
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/apis", &v1alpha1.GroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(f.Scheme()).WithoutConversion()
	config.AcceptContentTypes = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
	resources, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, Explain(err)
	}
	options := metav1.ListOptions{LabelSelector: selector}
	if name == "" {
		options.Limit = PageSize
	}
	all := &metav1.Table{}
	for {
		request := resources.Get().Resource(resource).NamespaceIfScoped(namespace, namespace != "").
			VersionedParams(&options, metav1.ParameterCodec)
		if name != "" {
			request = request.Name(name)
		}
		page := &metav1.Table{}
		if err := request.Do(ctx).Into(page); err != nil {
			return nil, err
		}
		all.ColumnDefinitions, all.Rows = page.ColumnDefinitions, append(all.Rows, page.Rows...)
		if options.Continue = page.Continue; options.Continue == "" {
			return all, nil
		}
	}
}
