// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chaos

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/backend"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
)

// Crowd is a scene with many sandboxes of one account, for what only shows with many of them. Close it.
type Crowd struct {
	scene *scene
	size  int
}

// crowdPatience is how long a step with all sandboxes may take.
const crowdPatience = 20 * time.Minute

// NewCrowd makes the scene, starts the manager, and makes so many sandboxes, without leases. It returns when all are Ready.
func (s *Stage) NewCrowd(ctx context.Context, size int, period time.Duration) (*Crowd, error) {
	c, err := s.newScene(ctx, Plan{Flavour: backend.Named})
	if err != nil {
		return nil, err
	}
	c.period = period
	crowd := &Crowd{scene: c, size: size}
	err = errors.Join(c.startManager(), c.create(ctx,
		&corev1.Secret{ObjectMeta: c.object("credentials"), StringData: map[string]string{fake.TokenKey: token}},
		crowd.provider().Obj()))
	if err == nil {
		err = crowd.create(ctx, "member", size)
	}
	if err == nil {
		err = crowd.await(ctx, size)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return crowd, nil
}

// Close ends the scene.
func (w *Crowd) Close(ctx context.Context) error { return w.scene.Close(ctx) }

func (w *Crowd) provider() *builders.ProviderBuilder {
	return builders.MakeProvider(w.scene.namespace, "crowded", backend.Named).Credentials("credentials").
		Parameters(`{"account":"crowd"}`).Lease(0).Default()
}

// create makes so many sandboxes, some at a time.
func (w *Crowd) create(ctx context.Context, prefix string, count int) error {
	return inParallel(count, func(i int) error {
		return w.scene.client.Create(ctx, builders.MakeSandbox(w.scene.namespace, fmt.Sprintf("%s-%05d", prefix, i)).Obj())
	})
}

// remove deletes so many of them, and does not wait.
func (w *Crowd) remove(ctx context.Context, prefix string, count int) error {
	return inParallel(count, func(i int) error {
		return w.scene.client.Delete(ctx, &v1alpha1.Sandbox{ObjectMeta: w.scene.object(fmt.Sprintf("%s-%05d", prefix, i))})
	})
}

func inParallel(count int, do func(int) error) error {
	var work sync.WaitGroup
	todo, failures := make(chan int), make([]error, count)
	for range 16 {
		work.Go(func() {
			for i := range todo {
				failures[i] = do(i)
			}
		})
	}
	for i := range count {
		todo <- i
	}
	close(todo)
	work.Wait()
	return errors.Join(failures...)
}

// await waits until the namespace has so many sandboxes, all of them Ready, and the provider exactly as many remotes.
func (w *Crowd) await(ctx context.Context, count int) error {
	ctx, cancel := context.WithTimeout(ctx, crowdPatience)
	defer cancel()
	var seen string
	for {
		ready, all, err := w.count(ctx)
		seen = fmt.Sprintf("%d of %d are Ready", ready, all)
		if err == nil && ready == count && all == count {
			break
		}
		if w.scene.died() {
			return errors.New("the manager ended by itself")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s, not %d (%w)", errStuck, seen, count, errors.Join(err, ctx.Err()))
		case <-time.After(500*time.Millisecond + time.Duration(w.size)*time.Millisecond/2): // to read them all costs the API server
		}
	}
	state, err := w.scene.control.State(ctx)
	if err == nil && len(state.Remotes) != count {
		err = fmt.Errorf("%d sandboxes are Ready, and the provider has %d remotes", count, len(state.Remotes))
	}
	return err
}

func (w *Crowd) count(ctx context.Context) (ready, all int, err error) {
	var list v1alpha1.SandboxList
	if err := w.scene.client.List(ctx, &list, client.InNamespace(w.scene.namespace)); err != nil {
		return 0, 0, err
	}
	for _, sandbox := range list.Items {
		if meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionReady) {
			ready++
		}
	}
	return ready, len(list.Items), nil
}

// Idleness is what the manager did while nothing happened.
type Idleness struct {
	// Writes to the API server.
	Writes []string
	// Pages of lists that were asked for, in Lists lists; Others are all other calls to the provider.
	Pages, Lists int
	Others       []string
}

// Settle waits until the provider's count, which is written once a period at the most, is that of the sandboxes.
func (w *Crowd) Settle(ctx context.Context) error {
	provider := &v1alpha1.SandboxProvider{ObjectMeta: w.scene.object("crowded")}
	return w.scene.until(ctx, provider, "count its sandboxes", func() bool {
		return int(ptr.Deref(provider.Status.SandboxCount, 0)) == w.size
	})
}

// Idle watches the manager for a while in which nothing happens.
func (w *Crowd) Idle(ctx context.Context, howLong time.Duration) (Idleness, error) {
	var seen Idleness
	position := w.scene.proxy.Now()
	before, err := w.scene.control.Calls(ctx, 0)
	if err != nil {
		return seen, err
	}
	w.scene.pass(ctx, howLong)
	calls, err := w.scene.control.Calls(ctx, len(before))
	for _, call := range calls {
		if call.Operation == fake.List {
			seen.Pages++
		} else {
			seen.Others = append(seen.Others, call.Point())
		}
	}
	// A list that was under way at either end is counted for what was seen of it.
	perList := (w.size + fake.PageSize - 1) / fake.PageSize
	seen.Lists = seen.Pages / perList
	for _, request := range w.scene.proxy.Since(position, apiproxy.IsWrite) {
		// When the provider was last seen is written once an hour, which may be now.
		if !bytes.Contains(request.Body, []byte(`"lastSyncTime"`)) {
			seen.Writes = append(seen.Writes, request.String())
		}
	}
	return seen, err
}

// Outage is what came of one.
type Outage struct {
	// Calls that the manager made to the provider meanwhile, by operation.
	Calls map[string]int
	// Total is how many.
	Total int
	// Recovery is how long after its end everything was as declared.
	Recovery time.Duration
}

// Outage has every call to the provider fail for a while, in which half of the sandboxes are deleted, and as many new ones made.
func (w *Crowd) Outage(ctx context.Context, howLong time.Duration) (Outage, error) {
	seen := Outage{Calls: map[string]int{}}
	before, err := w.scene.control.Calls(ctx, 0)
	if err != nil {
		return seen, err
	}
	began := time.Now()
	if err := w.scene.control.Outage(ctx, true); err != nil {
		return seen, err
	}
	half := w.size / 2
	if err := errors.Join(w.remove(ctx, "member", half), w.create(ctx, "newcomer", half)); err != nil {
		return seen, err
	}
	w.scene.pass(ctx, howLong-time.Since(began))
	calls, err := w.scene.control.Calls(ctx, len(before))
	if err := errors.Join(err, w.scene.control.Outage(ctx, false)); err != nil {
		return seen, err
	}
	for _, call := range calls {
		seen.Calls[call.Operation]++
	}
	seen.Total = len(calls)
	ended := time.Now()
	err = w.await(ctx, w.size-half+half)
	seen.Recovery = time.Since(ended)
	return seen, err
}

// Clearance is what the deletion of everything took.
type Clearance struct {
	// Took is the time until the namespace was gone.
	Took time.Duration
	// Busiest is the most calls that came to the provider in one second; Total all of them.
	Busiest, Total int
}

// Clear limits the account to so many calls a second, and deletes the namespace with all sandboxes, the provider and its
// credentials. It returns when the namespace is gone, and nothing is left at the provider.
func (w *Crowd) Clear(ctx context.Context, perSecond int32) (Clearance, error) {
	var seen Clearance
	if err := w.limit(ctx, perSecond); err != nil {
		return seen, err
	}
	before, err := w.scene.control.Calls(ctx, 0)
	if err != nil {
		return seen, err
	}
	ctx, cancel := context.WithTimeout(ctx, crowdPatience)
	defer cancel()
	began := time.Now()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.scene.namespace}}
	if err := w.scene.client.Delete(ctx, namespace); err != nil {
		return seen, err
	}
	for !apierrors.IsNotFound(w.scene.client.Get(ctx, client.ObjectKeyFromObject(namespace), namespace)) {
		select {
		case <-ctx.Done():
			return seen, fmt.Errorf("%w: the namespace is not gone", errStuck)
		case <-time.After(200 * time.Millisecond):
		}
	}
	seen.Took = time.Since(began)
	calls, err := w.scene.control.Calls(ctx, len(before))
	seen.Total, seen.Busiest = len(calls), busiest(calls)
	return seen, errors.Join(err, w.scene.nothingIsLeft(ctx, nil))
}

// limit changes the provider's limits, and waits until the manager has seen that.
func (w *Crowd) limit(ctx context.Context, perSecond int32) error {
	provider := &v1alpha1.SandboxProvider{ObjectMeta: w.scene.object("crowded")}
	patch := fmt.Sprintf(`{"spec":{"limits":{"requestsPerSecond":%d,"burst":%d}}}`, perSecond, perSecond)
	if err := w.scene.client.Patch(ctx, provider, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		return err
	}
	return w.scene.until(ctx, provider, "heed its limits", func() bool {
		ready := meta.FindStatusCondition(provider.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == provider.Generation
	})
}

// busiest is how many calls began in the second in which most did.
func busiest(calls []fake.Call) int {
	slices.SortFunc(calls, func(a, b fake.Call) int { return cmp.Compare(a.Began.UnixNano(), b.Began.UnixNano()) })
	most, first := 0, 0
	for i, call := range calls {
		for call.Began.Sub(calls[first].Began) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
