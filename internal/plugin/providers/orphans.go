// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// orphan is a remote that no Sandbox has any more, with the provider that has it.
type orphan struct {
	v1alpha1.OrphanRemote
	Provider string `json:"provider"`
	of       *Provider
}

// orphanage is one call of orphans.
type orphanage struct {
	*cli.Factory
	output  string
	destroy []string
	yes     bool
}

func orphansCommand(f *cli.Factory) *cobra.Command {
	o := &orphanage{Factory: f}
	command := &cobra.Command{
		Use:   "orphans",
		Short: "List remote sandboxes that no Sandbox has any more, and destroy them",
		Long: "List remote sandboxes that no Sandbox has any more, as the status of the providers has them: the first hundred of\n" +
			"each. With --destroy, the operator is asked to destroy some, whatever the provider's orphanPolicy says. It looks\n" +
			"again before it does: what is no orphan any more is left alone.",
		Example: "  kubectl sandbox orphans\n" +
			"  kubectl sandbox orphans --destroy sbx-4711 --yes",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if o.output != "" && o.output != "json" {
				return cli.Fail("it is json", "-o %s is no format", o.output)
			}
			return o.run(command.Context())
		},
	}
	command.Flags().StringSliceVar(&o.destroy, "destroy", nil, "IDs of orphans to destroy, separated by commas.")
	command.Flags().BoolVarP(&o.yes, "yes", "y", false, "Don't ask.")
	command.Flags().StringVarP(&o.output, "output", "o", "", "Print json instead of text for people.")
	return command
}

func (o *orphanage) run(ctx context.Context) error {
	all, problems, err := read(ctx, o.Factory)
	if err != nil {
		return err
	}
	for _, problem := range problems {
		fmt.Fprintln(o.ErrOut, "kubectl sandbox: "+problem)
	}
	orphans, more := orphansOf(all)
	if len(o.destroy) > 0 {
		return o.destroyThem(ctx, orphans)
	}
	if o.output == "json" {
		encoder := json.NewEncoder(o.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(orphans)
	}
	return o.print(orphans, more)
}

// orphansOf are those that stand in the status of providers; more is how many there are beside them.
func orphansOf(all []Provider) (orphans []orphan, more int) {
	orphans = []orphan{}
	for i := range all {
		p := &all[i]
		for _, remote := range p.Status.Orphans {
			orphans = append(orphans, orphan{remote, p.About().Provider, p})
		}
		if p.Status.OrphanCount != nil {
			more += max(0, int(*p.Status.OrphanCount)-len(p.Status.Orphans))
		}
	}
	return orphans, more
}

func (o *orphanage) print(orphans []orphan, more int) error {
	if len(orphans) == 0 {
		_, err := fmt.Fprintln(o.ErrOut, "No orphans.")
		return err
	}
	columns := cli.Columns(o.Out)
	fmt.Fprintln(columns, "ID\tPROVIDER\tSANDBOX\tAGE\tPOLICY")
	for i := range orphans {
		r := &orphans[i]
		age, policy := "-", r.of.Spec.OrphanPolicy
		if !r.CreatedAt.IsZero() {
			age = duration.HumanDuration(time.Since(r.CreatedAt.Time))
		}
		if policy == "" {
			policy = v1alpha1.OrphanDelete
		}
		fmt.Fprintf(columns, "%s\t%s\t%s/%s\t%s\t%s\n", cli.Visible(r.SandboxID), r.of.Meta.Name, r.Namespace, r.Name, age, policy)
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	if more > 0 {
		fmt.Fprintf(o.Out, "and %d more, which are shown when these are gone\n", more)
	}
	return nil
}

// destroyThem asks, and annotates each provider that has some of them.
func (o *orphanage) destroyThem(ctx context.Context, orphans []orphan) error {
	chosen := slices.DeleteFunc(slices.Clone(orphans), func(r orphan) bool { return !slices.Contains(o.destroy, r.SandboxID) })
	for _, id := range o.destroy {
		if !slices.ContainsFunc(chosen, func(r orphan) bool { return r.SandboxID == id }) {
			return cli.Fail("kubectl sandbox orphans lists those that are", "%q is no orphan that a provider here has", id)
		}
	}
	if !o.yes && !o.confirmed(chosen) {
		return cli.Fail("", "nothing was destroyed")
	}
	c, err := o.Client()
	if err != nil {
		return err
	}
	asked := map[types.UID][]string{}
	var of []*Provider
	for i := range chosen {
		p := chosen[i].of
		if asked[p.Meta.UID] == nil {
			of = append(of, p)
		}
		asked[p.Meta.UID] = append(asked[p.Meta.UID], chosen[i].SandboxID)
	}
	for _, p := range of {
		if err := ask(ctx, c, p, asked[p.Meta.UID]); err != nil {
			return cli.Explain(err)
		}
		fmt.Fprintf(o.Out, "%s: the operator was asked to destroy %s\n", p.About().Provider, strings.Join(asked[p.Meta.UID], ", "))
	}
	return nil
}

// confirmed asks who sits at the terminal; where nobody does, the answer is no.
func (o *orphanage) confirmed(chosen []orphan) bool {
	if !cli.IsTerminal(o.In) {
		fmt.Fprintln(o.ErrOut, "kubectl sandbox: nobody can be asked here: add --yes")
		return false
	}
	for i := range chosen {
		r := &chosen[i]
		fmt.Fprintf(o.ErrOut, "%s of %s, made for %s/%s\n", cli.Visible(r.SandboxID), r.Provider, r.Namespace, r.Name)
	}
	fmt.Fprintf(o.ErrOut, "Destroy %d for good? [y/N] ", len(chosen))
	answer, _ := bufio.NewReader(o.In).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// ask adds IDs to the annotation by which the operator destroys orphans, without losing what others have asked for.
func ask(ctx context.Context, c client.Client, p *Provider, ids []string) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		object := p.Object()
		if err := c.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		if object.GetUID() != p.Meta.UID {
			return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("providers").GroupResource(), p.Meta.Name)
		}
		before := strings.FieldsFunc(object.GetAnnotations()[v1alpha1.DestroyOrphanAnnotation], func(r rune) bool { return r == ',' })
		wanted := slices.Compact(slices.Sorted(slices.Values(append(before, ids...))))
		patch, err := json.Marshal(map[string]any{"metadata": metav1.ObjectMeta{
			ResourceVersion: object.GetResourceVersion(),
			Annotations:     map[string]string{v1alpha1.DestroyOrphanAnnotation: strings.Join(wanted, ",")},
		}})
		if err != nil {
			return err
		}
		return c.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
	})
}
