// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// right is what commands of the plugin need.
type right struct {
	group, resource string
	verbs           []string
	// without says what does not work without it; needed that hardly anything does.
	without string
	needed  bool
}

var rights = []right{
	{v1alpha1.GroupVersion.Group, "sandboxexecs", []string{"create", "get", "watch"}, "run, exec and all commands for files", true},
	{v1alpha1.GroupVersion.Group, "sandboxes", []string{"get"}, "all that is done in a sandbox that is there", true},
	{v1alpha1.GroupVersion.Group, "sandboxexecs", []string{"patch", "delete"}, "cancelling runs, and clearing up after them", false},
	{v1alpha1.GroupVersion.Group, "sandboxes", []string{"create", "patch", "delete"}, "create, pause, resume, delete, one-shots", false},
	{v1alpha1.GroupVersion.Group, "sandboxes", []string{"list", "watch"}, "get, and waiting for a sandbox", false},
	{v1alpha1.GroupVersion.Group, "sandboxexecs", []string{"list"}, "get execs, and the runs in describe", false},
	{v1alpha1.GroupVersion.Group, "sandboxproviders", []string{"get", "list"}, "providers and orphans of the namespace", false},
	{v1alpha1.GroupVersion.Group, "clustersandboxproviders", []string{"get", "list"}, "providers and orphans of the cluster", false},
	{"", "secrets", []string{"create", "get"}, "cp, cat and ls", false},
	{"", "configmaps", []string{"create", "get"}, "the whole of long outputs, and long or binary files of run", false},
	{"", "events", []string{"list"}, "the events in describe", false},
}

// ofCluster says whether the resource is in no namespace: then a right in one gives nothing.
func (r right) ofCluster() bool { return r.resource == "clustersandboxproviders" }

// rights asks the API server what the user may do.
func (p *patient) rights(ctx context.Context) []Finding {
	const check, atOnce = "rights", 8
	lacking := make([][]string, len(rights))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, r := range rights {
		group.Go(func() error {
			for _, verb := range r.verbs {
				allowed, err := p.may(ctx, r, verb)
				if err != nil {
					return err
				}
				if !allowed {
					lacking[i] = append(lacking[i], verb)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return []Finding{broken(check, err)}
	}
	var findings []Finding
	for i, r := range rights {
		if len(lacking[i]) == 0 {
			continue
		}
		level := warned
		if r.needed {
			level = failed
		}
		where, next := " in namespace "+p.namespace, "ask for the ClusterRole edit in this namespace (docs/security.md)"
		if r.ofCluster() {
			where, next = "", "ask for the ClusterRole sandbox-operator-clustersandboxprovider-viewer-role, in the whole cluster"
		}
		findings = append(findings, level(check, next, "you may not %s %s%s: %s", strings.Join(lacking[i], ", "), r.resource, where,
			r.without))
	}
	if len(findings) == 0 {
		return []Finding{fine(check, "you may do all that this plugin does in namespace %s", p.namespace)}
	}
	return findings
}

func (p *patient) may(ctx context.Context, r right, verb string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: p.namespace, Group: r.group, Resource: r.resource, Verb: verb,
		},
	}}
	if r.ofCluster() {
		review.Spec.ResourceAttributes.Namespace = "" // with one, RBAC says yes to what a RoleBinding there seems to give
	}
	if err := p.Create(ctx, review); err != nil {
		return false, fmt.Errorf("asking whether you may %s %s: %w", verb, r.resource, err)
	}
	return review.Status.Allowed, nil
}
