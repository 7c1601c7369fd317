// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/runs"
)

const (
	// waitPoll is how often a sandbox is looked at that is waited for.
	waitPoll = 200 * time.Millisecond
	// stuckTime is how long a sandbox may wait for what does not come by itself.
	stuckTime = 2 * time.Second
)

// untilReady waits until a sandbox is Ready, as its generation wants it, and says why it will not be.
func untilReady(ctx context.Context, c client.Client, sandbox *v1alpha1.Sandbox, most time.Duration) error {
	var stuckSince time.Time
	return poll(ctx, c, sandbox, most, func() (bool, error) {
		ready := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.ObservedGeneration != sandbox.Generation {
			return false, nil
		}
		if ready.Status == "True" {
			return true, nil
		}
		if meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionStalled) {
			return true, withMessage(runs.StuckOn(ready.Reason, ready.Message), ready.Message)
		}
		stuck := runs.StuckOn(ready.Reason, ready.Message)
		switch {
		case stuck == nil:
			stuckSince = time.Time{}
		case stuckSince.IsZero():
			stuckSince = time.Now()
		case time.Since(stuckSince) > stuckTime:
			return true, stuck
		}
		return false, nil
	})
}

func withMessage(failure *cli.Failure, message string) *cli.Failure {
	if failure == nil {
		return cli.Fail("", "%s", message)
	}
	return failure
}

// poll brings the sandbox up to date until it is as it should be.
func poll(ctx context.Context, c client.Client, sandbox *v1alpha1.Sandbox, most time.Duration, is func() (bool, error)) error {
	began := time.Now()
	for {
		if done, err := is(); done || err != nil {
			return err
		}
		if time.Since(began) > most {
			return notYet(sandbox, most)
		}
		select {
		case <-time.After(waitPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := c.Get(ctx, client.ObjectKeyFromObject(sandbox), sandbox); err != nil {
			return cli.Explain(err)
		}
	}
}

// notYet says what it waits for.
func notYet(sandbox *v1alpha1.Sandbox, most time.Duration) error {
	ready := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return cli.Fail(runs.OperatorCommand+" shows whether one runs", "no operator has seen sandbox %s within %s", sandbox.Name, most)
	}
	return cli.Fail("kubectl sandbox describe "+sandbox.Name+" shows more", "sandbox %s is not there after %s: %s",
		sandbox.Name, most, ready.Message)
}

// untilGone waits until the objects are gone.
func untilGone(ctx context.Context, c client.Client, objects []client.Object, most time.Duration) error {
	began := time.Now()
	for _, object := range objects {
		uid := object.GetUID()
		for {
			err := c.Get(ctx, client.ObjectKeyFromObject(object), object)
			if apierrors.IsNotFound(err) || err == nil && object.GetUID() != uid {
				break
			}
			if err != nil {
				return cli.Explain(err)
			}
			if time.Since(began) > most {
				return stillThere(object, most)
			}
			select {
			case <-time.After(waitPoll):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// stillThere says what keeps an object that is deleted.
func stillThere(object client.Object, most time.Duration) error {
	problem := fmt.Sprintf("%s is still there after %s", object.GetName(), most)
	if c := meta.FindStatusCondition(conditionsOf(object), v1alpha1.ConditionDeleting); c != nil {
		problem += ": " + c.Message
	}
	return cli.Fail(runs.OperatorCommand+" shows whether an operator runs; it goes on without this command", "%s", problem)
}
