// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package describe is the plugin's describe: what a person wants to know of a Sandbox, a run or a provider.
//
// describe.go is the command, and reads objects; sandbox.go, run.go and provider.go make the texts of them, without a cluster;
// page.go is how a text looks, timeline.go the order of what happened, and conditions.go why something is not as it should be.
package describe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// Command is describe.
func Command(f *cli.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME",
		Short: "Tell all of a sandbox, a run or a provider: what happened, why it is not ready, and what to do",
		Long: "Tell all of a sandbox, a run or a provider: what happened, why it is not ready, and what to do.\n" +
			"NAME is a Sandbox; where there is none of it, a SandboxExec, a SandboxProvider or a ClusterSandboxProvider. " +
			"sbx/NAME, sbxe/NAME, sbxp/NAME and csbxp/NAME\n" +
			"say which.",
		Example: "  kubectl sandbox describe box\n" +
			"  kubectl sandbox describe csbxp/local",
		Args: func(command *cobra.Command, arguments []string) error {
			if len(arguments) != 1 {
				return cli.Fail(command.CommandPath()+" --help has examples", "it takes one name")
			}
			return nil
		},
		RunE: func(command *cobra.Command, arguments []string) error {
			c, namespace, err := f.Cluster()
			if err != nil {
				return err
			}
			r := &reader{Client: c, namespace: namespace, now: time.Now()}
			text, err := r.describe(command.Context(), arguments[0], cli.PainterFor(f.Out))
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(f.Out, text)
			return err
		},
	}
}

// reader reads what a description needs. What may not be read is left out, and said in unread.
type reader struct {
	client.Client
	namespace string
	now       time.Time
	unread    []string
}

// kinds are those that can be described, in the order in which a bare name is looked for.
var kinds = []struct {
	prefixes []string
	kind     string
}{
	{[]string{"sbx", "sandbox", "sandboxes"}, "Sandbox"},
	{[]string{"sbxe", "exec", "execs", "sandboxexec", "sandboxexecs"}, "SandboxExec"},
	{[]string{"sbxp", "sandboxprovider", "sandboxproviders"}, "SandboxProvider"},
	{[]string{"csbxp", "provider", "clustersandboxprovider", "clustersandboxproviders"}, "ClusterSandboxProvider"},
}

// describe finds what is meant, and tells of it.
func (r *reader) describe(ctx context.Context, argument string, painter cli.Painter) (string, error) {
	prefix, name, typed := strings.Cut(argument, "/")
	if !typed {
		name = argument
	}
	var notFound error
	for _, k := range kinds {
		if typed && !slices.Contains(k.prefixes, strings.ToLower(prefix)) {
			continue
		}
		text, err := r.one(ctx, k.kind, name, painter)
		if !apierrors.IsNotFound(err) {
			return text, cli.Explain(err)
		}
		if notFound == nil {
			notFound = err
		}
	}
	switch {
	case notFound == nil:
		return "", cli.Fail("it is sbx, sbxe, sbxp or csbxp", "there is no kind %q", prefix)
	case typed:
		return "", cli.Explain(notFound)
	}
	if explained := cli.Explain(notFound); !strings.Contains(explained.Error(), "does not exist") {
		return "", explained
	}
	return "", cli.Fail("kubectl sandbox get lists what there is; -n chooses another namespace",
		"nothing is called %q in namespace %q", name, r.namespace)
}

func (r *reader) one(ctx context.Context, kind, name string, painter cli.Painter) (string, error) {
	key := types.NamespacedName{Namespace: r.namespace, Name: name}
	switch kind {
	case "Sandbox":
		sandbox := &v1alpha1.Sandbox{}
		if err := r.Get(ctx, key, sandbox); err != nil {
			return "", err
		}
		facts := SandboxFacts{Sandbox: sandbox, Provider: r.providerOf(ctx, sandbox)}
		facts.Runs, facts.AllRuns = r.runsIn(ctx, sandbox.Name)
		facts.Events = r.events(ctx, sandbox)
		return Sandbox(facts, r.page(painter)), nil
	case "SandboxExec":
		run := &v1alpha1.SandboxExec{}
		if err := r.Get(ctx, key, run); err != nil {
			return "", err
		}
		return Run(RunFacts{Run: run, Sandbox: r.sandboxOf(ctx, run), Events: r.events(ctx, run)}, r.page(painter)), nil
	case "SandboxProvider":
		provider := &v1alpha1.SandboxProvider{}
		if err := r.Get(ctx, key, provider); err != nil {
			return "", err
		}
		facts := NamespacedProvider(provider)
		facts.Events = r.events(ctx, provider)
		return Provider(facts, r.page(painter)), nil
	}
	provider := &v1alpha1.ClusterSandboxProvider{}
	if err := r.Get(ctx, types.NamespacedName{Name: name}, provider); err != nil {
		return "", err
	}
	facts := ClusterProvider(provider)
	facts.Events = r.events(ctx, provider)
	return Provider(facts, r.page(painter)), nil
}

func (r *reader) page(painter cli.Painter) *Page {
	return &Page{Painter: painter, Now: r.now, Unread: r.unread}
}

// readable notes what can't be read, and says whether it could.
func (r *reader) readable(what string, err error) bool {
	if err != nil && !apierrors.IsNotFound(err) {
		r.unread = append(r.unread, fmt.Sprintf("%s can't be read: %v", what, cli.Explain(err)))
	}
	return err == nil
}

// providerOf is the provider that the sandbox has, or asks for by name; nil where it is neither, or can't be read.
func (r *reader) providerOf(ctx context.Context, sandbox *v1alpha1.Sandbox) *ProviderFacts {
	var kind v1alpha1.ProviderKind
	var name string
	switch {
	case sandbox.Status.Provider != nil:
		kind, name = sandbox.Status.Provider.Kind, sandbox.Status.Provider.Name
	case sandbox.Spec.ProviderRef != nil:
		kind, name = sandbox.Spec.ProviderRef.Kind, sandbox.Spec.ProviderRef.Name
	default:
		return nil
	}
	if kind == v1alpha1.KindSandboxProvider {
		provider := &v1alpha1.SandboxProvider{}
		if !r.readable("its provider", r.Get(ctx, types.NamespacedName{Namespace: sandbox.Namespace, Name: name}, provider)) {
			return nil
		}
		return new(NamespacedProvider(provider))
	}
	provider := &v1alpha1.ClusterSandboxProvider{}
	if !r.readable("its provider", r.Get(ctx, types.NamespacedName{Name: name}, provider)) {
		return nil
	}
	return new(ClusterProvider(provider))
}

// runsIn are the newest runs of a sandbox, the newest first, and how many there are in all.
func (r *reader) runsIn(ctx context.Context, sandbox string) (newest []v1alpha1.SandboxExec, all int) {
	var next string
	for {
		page := &v1alpha1.SandboxExecList{}
		err := r.List(ctx, page, client.InNamespace(r.namespace), client.Limit(cli.PageSize), client.Continue(next))
		if !r.readable("its runs", err) {
			return newest, all
		}
		runs := slices.DeleteFunc(page.Items, func(run v1alpha1.SandboxExec) bool {
			return run.Status.SandboxName != sandbox && (run.Spec.SandboxRef == nil || run.Spec.SandboxRef.Name != sandbox)
		})
		all += len(runs)
		newest = newestOf(append(newest, runs...))
		if next = page.Continue; next == "" {
			return newest, all
		}
	}
}

// newestOf are the newest of the runs, as many as are shown.
func newestOf(runs []v1alpha1.SandboxExec) []v1alpha1.SandboxExec {
	slices.SortFunc(runs, func(a, b v1alpha1.SandboxExec) int {
		if byTime := b.CreationTimestamp.Compare(a.CreationTimestamp.Time); byTime != 0 {
			return byTime
		}
		return strings.Compare(a.Name, b.Name)
	})
	// A copy: the others are not to stay in memory.
	return slices.Clone(runs[:min(mostRuns, len(runs))])
}

// sandboxOf is the sandbox of a run; nil where there is none.
func (r *reader) sandboxOf(ctx context.Context, run *v1alpha1.SandboxExec) *v1alpha1.Sandbox {
	name := run.Status.SandboxName
	if name == "" && run.Spec.SandboxRef != nil {
		name = run.Spec.SandboxRef.Name
	}
	sandbox := &v1alpha1.Sandbox{}
	if name == "" || !r.readable("its sandbox", r.Get(ctx, types.NamespacedName{Namespace: run.Namespace, Name: name}, sandbox)) {
		return nil
	}
	return sandbox
}

// events are what was told of an object; those of the cluster's objects are in the namespace default.
func (r *reader) events(ctx context.Context, of client.Object) []corev1.Event {
	namespace := of.GetNamespace()
	if namespace == "" {
		namespace = corev1.NamespaceDefault
	}
	list := &corev1.EventList{}
	selector := fields.OneTermEqualSelector("involvedObject.uid", string(of.GetUID()))
	if !r.readable("its events", r.List(ctx, list, client.InNamespace(namespace), client.MatchingFieldsSelector{Selector: selector})) {
		return nil
	}
	return list.Items
}
