// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runs

import (
	"context"
	"fmt"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

const (
	// mostInline is how much content goes into the SandboxExec itself: with all else it has to fit into 1.5 MiB, which is what
	// etcd takes for an object, and it is sent again with each write of the status.
	mostInline = 64 << 10
	// MostCarried is how much one file, or standard input, may have: what a ConfigMap takes with all that is around it.
	MostCarried = 1000 << 10
	// mostTogether is what a run takes of files and standard input together.
	mostTogether = 16 << 20
)

// Cargo is what a run needs and its object can't hold: content that is long or no text, in ConfigMaps that belong to the run.
type Cargo struct {
	// name of the run.
	name     string
	contents [][]byte
	inline   int
	together int
}

// NewCargo is that of the run of this name.
func NewCargo(name string) *Cargo { return &Cargo{name: name} }

func (c *Cargo) empty() bool { return c == nil || len(c.contents) == 0 }

// Content takes content over, and says how the run refers to it. what is its name in errors, such as a file's.
func (c *Cargo) Content(what string, content []byte) (v1alpha1.Content, error) {
	c.together += len(content)
	if len(content) > MostCarried || c.together > mostTogether {
		return v1alpha1.Content{}, cli.Fail("kubectl sandbox cp takes files of any size into a sandbox that is there",
			"%s is too long: a run takes %d KiB of a file, and %d MiB together", what, MostCarried>>10, mostTogether>>20)
	}
	if utf8.Valid(content) && c.inline+len(content) <= mostInline {
		c.inline += len(content)
		return v1alpha1.Content{Content: new(string(content))}, nil
	}
	c.contents = append(c.contents, content)
	return v1alpha1.Content{ContentFrom: &v1alpha1.ValueSource{ConfigMapKeyRef: &v1alpha1.KeyReference{
		Name: c.configMap(len(c.contents) - 1), Key: cargoKey,
	}}}, nil
}

const cargoKey = "content"

func (c *Cargo) configMap(i int) string { return fmt.Sprintf("%s-in-%d", c.name, i) }

// deliver makes the ConfigMaps, and has the operator look again: by itself it would, after some seconds.
func (r *Runner) deliver(ctx context.Context, exec *v1alpha1.SandboxExec, cargo *Cargo) error {
	for i, content := range cargo.contents {
		configMap := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: exec.Namespace, Name: cargo.configMap(i), Labels: map[string]string{MadeByLabel: MadeBy},
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(exec, v1alpha1.GroupVersion.WithKind("SandboxExec"))},
			},
			BinaryData: map[string][]byte{cargoKey: content},
		}
		configMap.OwnerReferences[0].BlockOwnerDeletion = nil
		if err := r.Client.Create(ctx, configMap); err != nil {
			return cli.Explain(err)
		}
	}
	// Only a change of the spec wakes it. That of this field has no other effect.
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"desiredState":"Finished"}}`))
	if err := r.Client.Patch(ctx, exec, patch); err != nil {
		return cli.Explain(err)
	}
	return nil
}
