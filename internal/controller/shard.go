// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// Shard is which of several instances this one is. The zero value is the only one.
type Shard struct {
	// Name is what the label sandboxes.run/shard must say on the objects that this instance works on; "" = those without it.
	Name string
	// Instances is how many share the accounts; 0 = 1.
	Instances int
	// Follows says that another instance owns the providers: it proves them, lists their accounts, renews leases and destroys
	// what is nobody's.
	Follows bool
	// Others has the Sandboxes of the other instances, stripped by StripOther; nil = there are none. Only who owns the providers
	// needs them.
	Others cache.Cache
}

// Selector matches the objects that this instance works on.
func (s Shard) Selector() labels.Selector {
	if s.Name == "" {
		return mustSelect(selection.DoesNotExist)
	}
	return mustSelect(selection.Equals, s.Name)
}

// OthersSelector matches the objects of all other instances.
func (s Shard) OthersSelector() labels.Selector {
	if s.Name == "" {
		return mustSelect(selection.Exists)
	}
	return mustSelect(selection.NotEquals, s.Name)
}

func mustSelect(operator selection.Operator, values ...string) labels.Selector {
	requirement, err := labels.NewRequirement(v1alpha1.ShardLabel, operator, values)
	if err != nil {
		panic(fmt.Sprintf("selecting a shard: %v", err)) // a name that no label can have
	}
	return labels.NewSelector().Add(*requirement)
}

// Has says that this instance works on the object.
func (s Shard) Has(object client.Object) bool {
	name, ok := object.GetLabels()[v1alpha1.ShardLabel]
	return ok == (s.Name != "") && name == s.Name
}

// isOneOfSeveral says that other instances may have worked on what this one works on.
func (s Shard) isOneOfSeveral() bool { return s.Name != "" || s.Instances > 1 }

// share is this instance's part of the limits. What is left over is for who owns the providers, where that is only one.
func (o *Options) share() provider.Share {
	return provider.Share{Instances: o.Shard.Instances, Rest: !o.Shard.Follows && !o.Namespaced}
}

// describeShard tells people whose an object is.
func describeShard(object client.Object) string {
	if name, ok := object.GetLabels()[v1alpha1.ShardLabel]; ok {
		return fmt.Sprintf("has the label %s=%s", v1alpha1.ShardLabel, name)
	}
	return fmt.Sprintf("has no label %s", v1alpha1.ShardLabel)
}

// labelLike is the end of a kubectl label that gives an object the label of another.
func labelLike(object client.Object) string {
	if name, ok := object.GetLabels()[v1alpha1.ShardLabel]; ok {
		return v1alpha1.ShardLabel + "=" + name + " --overwrite"
	}
	return v1alpha1.ShardLabel + "-"
}

// copyShard gives an object the label of another, and says whether that changed it.
func copyShard(to, from client.Object) bool {
	want, wanted := from.GetLabels()[v1alpha1.ShardLabel]
	have, had := to.GetLabels()[v1alpha1.ShardLabel]
	if want == have && wanted == had {
		return false
	}
	all := to.GetLabels()
	if all == nil {
		all = map[string]string{}
	}
	if wanted {
		all[v1alpha1.ShardLabel] = want
	} else {
		delete(all, v1alpha1.ShardLabel)
	}
	to.SetLabels(all)
	return true
}

// StripOther is the transform of Shard.Others: of another instance's Sandbox it leaves what the comparison with the account reads.
func StripOther(object any) (any, error) {
	sandbox, ok := object.(*v1alpha1.Sandbox)
	if !ok {
		return object, nil
	}
	kept := &v1alpha1.Sandbox{Spec: v1alpha1.SandboxSpec{SandboxID: sandbox.Spec.SandboxID}}
	kept.Namespace, kept.Name, kept.UID, kept.ResourceVersion = sandbox.Namespace, sandbox.Name, sandbox.UID, sandbox.ResourceVersion
	kept.DeletionTimestamp = sandbox.DeletionTimestamp
	if name, ok := sandbox.Labels[v1alpha1.ShardLabel]; ok {
		kept.Labels = map[string]string{v1alpha1.ShardLabel: name}
	}
	if text, ok := sandbox.Annotations[v1alpha1.JournalAnnotation]; ok {
		kept.Annotations = map[string]string{v1alpha1.JournalAnnotation: text}
	}
	if controllerutil.ContainsFinalizer(sandbox, v1alpha1.SandboxFinalizer) {
		kept.Finalizers = []string{v1alpha1.SandboxFinalizer}
	}
	from, to := &sandbox.Status, &kept.Status
	to.SandboxID, to.Incarnation, to.State, to.Provider = from.SandboxID, from.Incarnation, from.State, from.Provider
	to.CreatedAt, to.ExpiresAt = from.CreatedAt, from.ExpiresAt
	return kept, nil
}

// shardClient writes objects of other instances without waiting for this one's cache to see that: it never will, and who waits
// for it would hold up all reads of the kind. Every other write is conditional on an object as this cache has it, and changes no
// label of this kind, so that it is seen.
type shardClient struct {
	client.Client
	shard Shard
}

// isElsewhere says that the object, as it was read, is not in this instance's cache.
func (c *shardClient) isElsewhere(object client.Object) bool {
	switch object.(type) {
	case *v1alpha1.Sandbox, *v1alpha1.SandboxExec:
		return !c.shard.Has(object)
	default:
		return false
	}
}

// Create implements client.Writer. An admission policy may give the new object another label than it is created with, so
// nobody waits for it; who meets it again finds that it exists.
func (c *shardClient) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	switch object.(type) {
	case *v1alpha1.Sandbox, *v1alpha1.SandboxExec:
		options = append(options, client.DisableReadYourWritesConsistency)
	}
	return c.Client.Create(ctx, object, options...)
}

// Patch implements client.Writer.
func (c *shardClient) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	if c.isElsewhere(object) {
		options = append(options, client.DisableReadYourWritesConsistency)
	}
	return c.Client.Patch(ctx, object, patch, options...)
}

// Delete implements client.Writer.
func (c *shardClient) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	if c.isElsewhere(object) {
		options = append(options, client.DisableReadYourWritesConsistency)
	}
	return c.Client.Delete(ctx, object, options...)
}

// Status implements client.StatusClient.
func (c *shardClient) Status() client.SubResourceWriter {
	return &shardStatus{SubResourceWriter: c.Client.Status(), client: c}
}

type shardStatus struct {
	client.SubResourceWriter
	client *shardClient
}

// Patch implements client.SubResourceWriter.
func (s *shardStatus) Patch(
	ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption,
) error {
	if s.client.isElsewhere(object) {
		options = append(options, client.DisableReadYourWritesConsistency)
	}
	return s.SubResourceWriter.Patch(ctx, object, patch, options...)
}
