// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An operator that is installed for some namespaces has rights in these alone. controller-runtime's cache then has one informer a
// namespace and kind, but its read-your-writes consistency has one clock a kind: a newer object of another namespace would pass
// for the write that a pass waits for (seen in v0.25.2, client/consistency.go: one observed version a kind). So each namespace
// gets a consistent client of its own, which is shown the events of its own namespace only.

// parseNamespaces reads --namespaces; none = all.
func parseNamespaces(text string) ([]string, error) {
	var names []string
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			return nil, fmt.Errorf("%q is no namespace: %s", name, problems[0])
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// perNamespace makes clients of a manager that sees these namespaces only.
func perNamespace(namespaces []string) client.NewClientFunc {
	return func(config *rest.Config, options client.Options) (client.Client, error) {
		shown, ok := options.Cache.Reader.(cache.Cache)
		if !ok {
			return nil, fmt.Errorf("%T is no cache whose informers can be had", options.Cache.Reader)
		}
		elsewhere := options
		elsewhere.Cache = &client.CacheOptions{Reader: shown, DisableFor: options.Cache.DisableFor}
		direct, err := client.New(config, elsewhere)
		if err != nil {
			return nil, err
		}
		c := &namespacesClient{Client: direct, of: map[string]client.Client{}}
		for _, namespace := range namespaces {
			own, view := options, *options.Cache
			view.Reader = namespaceView{Cache: shown, namespace: namespace}
			own.Cache = &view
			if c.of[namespace], err = client.New(config, own); err != nil {
				return nil, fmt.Errorf("making the client of namespace %q: %w", namespace, err)
			}
		}
		return c, nil
	}
}

// namespaceView is the cache, with the events of one namespace only.
type namespaceView struct {
	cache.Cache
	namespace string
}

// GetInformer implements cache.Informers for the consistent client, which notes with it what the cache has seen.
func (v namespaceView) GetInformer(ctx context.Context, object client.Object, options ...cache.InformerGetOption) (cache.Informer, error) {
	informer, err := v.Cache.GetInformer(ctx, object, options...)
	if err != nil {
		return nil, err
	}
	return namespaceInformer{Informer: informer, namespace: v.namespace}, nil
}

type namespaceInformer struct {
	cache.Informer
	namespace string
}

// AddEventHandler implements cache.Informer.
func (i namespaceInformer) AddEventHandler(
	handler toolscache.ResourceEventHandler,
) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.Informer.AddEventHandler(toolscache.FilteringResourceEventHandler{FilterFunc: i.has, Handler: handler})
}

func (i namespaceInformer) has(object any) bool {
	if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	about, err := meta.Accessor(object)
	return err == nil && about.GetNamespace() == i.namespace
}

// namespacesClient sends each call to the client of the object's namespace, and to one without consistency what belongs to none of
// them: the operator's own Secrets.
type namespacesClient struct {
	client.Client
	of map[string]client.Client
}

func (c *namespacesClient) client(namespace string) client.Client {
	if own, ok := c.of[namespace]; ok {
		return own
	}
	return c.Client
}

// Get implements client.Reader.
func (c *namespacesClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return c.client(key.Namespace).Get(ctx, key, object, options...)
}

// List implements client.Reader. A list of no namespace in particular is of all that this manager sees.
func (c *namespacesClient) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	asked := (&client.ListOptions{}).ApplyOptions(options)
	if asked.Namespace != "" {
		return c.client(asked.Namespace).List(ctx, list, options...)
	}
	var all []runtime.Object
	for namespace, own := range c.of {
		part, ok := list.DeepCopyObject().(client.ObjectList)
		if !ok {
			return fmt.Errorf("listing all namespaces: %T is no list", list)
		}
		if err := own.List(ctx, part, append(slices.Clone(options), client.InNamespace(namespace))...); err != nil {
			return err
		}
		items, err := meta.ExtractList(part)
		if err != nil {
			return fmt.Errorf("listing namespace %q: %w", namespace, err)
		}
		all = append(all, items...)
	}
	return meta.SetList(list, all)
}

// Create implements client.Writer.
func (c *namespacesClient) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	return c.client(object.GetNamespace()).Create(ctx, object, options...)
}

// Update implements client.Writer.
func (c *namespacesClient) Update(ctx context.Context, object client.Object, options ...client.UpdateOption) error {
	return c.client(object.GetNamespace()).Update(ctx, object, options...)
}

// Patch implements client.Writer.
func (c *namespacesClient) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	return c.client(object.GetNamespace()).Patch(ctx, object, patch, options...)
}

// Delete implements client.Writer.
func (c *namespacesClient) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	return c.client(object.GetNamespace()).Delete(ctx, object, options...)
}

// Status implements client.StatusClient.
func (c *namespacesClient) Status() client.SubResourceWriter { return c.SubResource("status") }

// SubResource implements client.SubResourceClientConstructor.
func (c *namespacesClient) SubResource(name string) client.SubResourceClient {
	return &namespacesSubResource{SubResourceClient: c.Client.SubResource(name), clients: c, name: name}
}

// namespacesSubResource does the same for subresources.
type namespacesSubResource struct {
	client.SubResourceClient
	clients *namespacesClient
	name    string
}

// Update implements client.SubResourceWriter.
func (s *namespacesSubResource) Update(ctx context.Context, object client.Object, options ...client.SubResourceUpdateOption) error {
	return s.clients.client(object.GetNamespace()).SubResource(s.name).Update(ctx, object, options...)
}

// Patch implements client.SubResourceWriter.
func (s *namespacesSubResource) Patch(
	ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption,
) error {
	return s.clients.client(object.GetNamespace()).SubResource(s.name).Patch(ctx, object, patch, options...)
}
