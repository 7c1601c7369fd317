// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// crowd is how many passes want the first sandboxes of a provider at once.
const crowd = 50

func TestACrowdKeepsAProviderOnce(t *testing.T) {
	f := newFixture(t, nil, secret(token))
	door := f.open(t)
	synctest.Test(t, func(t *testing.T) {
		var writes atomic.Int32
		var answer error
		keep := func() error {
			writes.Add(1)
			time.Sleep(time.Second)
			return answer
		}
		asking := func(version string, want int32) {
			t.Helper()
			var group sync.WaitGroup
			writes.Store(0)
			for range crowd {
				group.Go(func() {
					if err := door.Keep(version, keep); !errors.Is(err, answer) {
						t.Errorf("got %v, want %v", err, answer)
					}
				})
			}
			group.Wait()
			if got := writes.Load(); got != want {
				t.Errorf("%d writes, want %d", got, want)
			}
		}
		answer = errors.New("somebody else wrote")
		asking("1", 1)
		answer = nil
		asking("2", 1)
		asking("2", 0)
		// Somebody took the finalizer away: a later version without it is kept anew.
		asking("3", 1)
	})
}

func TestACrowdCopiesCredentialsOnce(t *testing.T) {
	f := newFixture(t, nil, secret(token))
	var reads, writes atomic.Int32
	counting := interceptor.NewClient(f.client, interceptor.Funcs{
		Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption,
		) error {
			reads.Add(1)
			return c.Get(ctx, key, object, options...)
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			writes.Add(1)
			time.Sleep(time.Second)
			return c.Create(ctx, object, options...)
		},
	})
	f.doors.Secrets, f.doors.Writer = counting, counting
	door := f.open(t)
	reads.Store(0)
	synctest.Test(t, func(t *testing.T) {
		var group sync.WaitGroup
		for range crowd {
			group.Go(func() {
				if err := f.doors.SaveCredentials(t.Context(), provider.Of(object()), door); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	})
	if reads.Load() != 1 || writes.Load() != 1 {
		t.Errorf("%d reads and %d writes, want one of each", reads.Load(), writes.Load())
	}
	var copies corev1.SecretList
	if err := f.client.List(t.Context(), &copies, client.InNamespace("operator")); err != nil {
		t.Fatal(err)
	}
	if len(copies.Items) != 1 || string(copies.Items[0].Data["token"]) != token {
		t.Errorf("the copies are %v", copies.Items)
	}
}
