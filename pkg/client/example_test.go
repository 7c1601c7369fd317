// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	crclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	apply "github.com/sandbox-operator/sandbox-operator/pkg/client/applyconfiguration/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/pkg/client/clientset/versioned"
)

// A Sandbox, a command in it, and what it printed: by the generated client, with server-side apply.
func Example_clientset() {
	config, err := ctrl.GetConfig()
	if err == nil {
		var printed string
		printed, err = runByClientset(context.Background(), config, "default")
		fmt.Print(printed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func runByClientset(ctx context.Context, config *rest.Config, namespace string) (string, error) {
	clientset, err := versioned.NewForConfig(config)
	if err != nil {
		return "", err
	}
	api := clientset.SandboxesV1alpha1()
	mine := metav1.ApplyOptions{FieldManager: "example", Force: true}

	sandbox := apply.Sandbox("box", namespace).WithSpec(apply.SandboxSpec().
		WithEnv(apply.EnvVar().WithName("GREETING").WithValue("hello")))
	if _, err := api.Sandboxes(namespace).Apply(ctx, sandbox, mine); err != nil {
		return "", err
	}
	exec := apply.SandboxExec("greet", namespace).WithSpec(apply.SandboxExecSpec().
		WithSandboxRef(apply.LocalReference().WithName("box")).
		WithCommand("sh", "-c", "echo $GREETING"))
	if _, err := api.SandboxExecs(namespace).Apply(ctx, exec, mine); err != nil {
		return "", err
	}
	var finished *v1alpha1.SandboxExec
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		finished, err = api.SandboxExecs(namespace).Get(ctx, "greet", metav1.GetOptions{})
		return err == nil && finished.Status.Outcome != "", err
	})
	if err != nil {
		return "", err
	}
	if finished.Status.Outcome != v1alpha1.OutcomeSucceeded {
		return "", fmt.Errorf("the command ended with %s", finished.Status.Outcome)
	}
	return finished.Status.Stdout.Head, nil
}

// The same by controller-runtime's client, with the types of api/v1alpha1.
func Example_controllerRuntime() {
	config, err := ctrl.GetConfig()
	if err == nil {
		var printed string
		printed, err = runByControllerRuntime(context.Background(), config, "default")
		fmt.Print(printed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func runByControllerRuntime(ctx context.Context, config *rest.Config, namespace string) (string, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return "", err
	}
	c, err := crclient.New(config, crclient.Options{Scheme: scheme})
	if err != nil {
		return "", err
	}
	sandbox := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "box-"}}
	if err := c.Create(ctx, sandbox); err != nil {
		return "", err
	}
	exec := &v1alpha1.SandboxExec{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "greet-"},
		Spec: v1alpha1.SandboxExecSpec{
			SandboxRef: &v1alpha1.LocalReference{Name: sandbox.Name}, Command: []string{"echo", "hello"},
		},
	}
	if err := c.Create(ctx, exec); err != nil {
		return "", err
	}
	// A controller would not poll: it watches.
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, crclient.ObjectKeyFromObject(exec), exec)
		return meta.IsStatusConditionTrue(exec.Status.Conditions, v1alpha1.ConditionFinished), err
	})
	if err != nil {
		return "", err
	}
	if exec.Status.Outcome != v1alpha1.OutcomeSucceeded {
		return "", fmt.Errorf("the command ended with %s", exec.Status.Outcome)
	}
	return exec.Status.Stdout.Head, c.Delete(ctx, sandbox)
}
