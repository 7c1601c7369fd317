// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testbed

import (
	"context"
	"fmt"
	"strings"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// StateOf says what the operator says of an object, for failure messages.
func StateOf(object client.Object) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%T %s (generation %d, deleted %v, finalizers %v)\n", object, client.ObjectKeyFromObject(object),
		object.GetGeneration(), object.GetDeletionTimestamp(), object.GetFinalizers())
	var conditions []metav1.Condition
	switch o := object.(type) {
	case *v1alpha1.Sandbox:
		conditions = o.Status.Conditions
		fmt.Fprintf(&b, "  state %q, ID %q, incarnation %d, journal %s\n", o.Status.State, o.Status.SandboxID,
			o.Status.Incarnation, o.Annotations[v1alpha1.JournalAnnotation])
	case *v1alpha1.SandboxExec:
		conditions = o.Status.Conditions
		fmt.Fprintf(&b, "  outcome %q, reason %q\n", o.Status.Outcome, o.Status.Reason)
		for name, stream := range map[string]*v1alpha1.StreamStatus{"stdout": o.Status.Stdout, "stderr": o.Status.Stderr} {
			if stream != nil {
				fmt.Fprintf(&b, "  %s: %.500q %.500q\n", name, stream.Head, stream.Tail)
			}
		}
	case *v1alpha1.SandboxProvider:
		conditions = o.Status.Conditions
	case *v1alpha1.ClusterSandboxProvider:
		conditions = o.Status.Conditions
	}
	for _, c := range conditions {
		fmt.Fprintf(&b, "  %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}

// Report says how everything in a namespace is, for a test that failed.
func (b *Bed) Report(namespace string) string {
	// The test's own context may be over: that may be why it failed.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var text strings.Builder
	var sandboxes v1alpha1.SandboxList
	var execs v1alpha1.SandboxExecList
	var events eventsv1.EventList
	in := client.InNamespace(namespace)
	for _, list := range []client.ObjectList{&sandboxes, &execs, &events} {
		if err := b.Client.List(ctx, list, in); err != nil {
			fmt.Fprintln(&text, err)
		}
	}
	for i := range sandboxes.Items {
		text.WriteString(StateOf(&sandboxes.Items[i]))
	}
	for i := range execs.Items {
		text.WriteString(StateOf(&execs.Items[i]))
	}
	for i := range events.Items {
		fmt.Fprintf(&text, "event %s %s: %s\n", events.Items[i].Regarding.Name, events.Items[i].Reason, events.Items[i].Note)
	}
	remotes, err := b.Remotes(ctx, namespace)
	fmt.Fprintf(&text, "at the provider: %+v %v\nthe manager's last words:\n%s\n", remotes, err, b.LogTail())
	return text.String()
}
