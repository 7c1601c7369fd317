// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// of is a Sandbox with the labels.
func of(all map[string]string) *v1alpha1.Sandbox {
	return &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "box", Labels: all}}
}

func TestEachObjectIsOneInstances(t *testing.T) {
	shards := []Shard{{}, {Name: "a"}, {Name: "b"}}
	for _, c := range []struct {
		labels map[string]string
		want   int // -1 = nobody's
	}{
		{nil, 0},
		{map[string]string{"app": "x"}, 0},
		{map[string]string{v1alpha1.ShardLabel: "a", "app": "x"}, 1},
		{map[string]string{v1alpha1.ShardLabel: "b"}, 2},
		{map[string]string{v1alpha1.ShardLabel: "c"}, -1},
		{map[string]string{v1alpha1.ShardLabel: ""}, -1},
	} {
		for i, shard := range shards {
			want := i == c.want
			if got := shard.Has(of(c.labels)); got != want {
				t.Errorf("%v of shard %q: %v, not %v", c.labels, shard.Name, got, want)
			}
			if got := shard.Selector().Matches(labels.Set(c.labels)); got != want {
				t.Errorf("the selector of shard %q matches %v: %v, not %v", shard.Name, c.labels, got, want)
			}
			if got := shard.OthersSelector().Matches(labels.Set(c.labels)); got == want {
				t.Errorf("the selector of all but shard %q matches %v: %v, not %v", shard.Name, c.labels, got, !want)
			}
		}
	}
}

func TestAnObjectGetsTheLabelOfAnother(t *testing.T) {
	a, none := map[string]string{v1alpha1.ShardLabel: "a"}, map[string]string{"app": "x"}
	for _, c := range []struct {
		to, from map[string]string
		changed  bool
	}{{nil, nil, false}, {nil, a, true}, {none, a, true}, {a, none, true}, {a, a, false}} {
		to, from := of(nil), of(c.from)
		for key, value := range c.to {
			metav1.SetMetaDataLabel(&to.ObjectMeta, key, value)
		}
		if changed := copyShard(to, from); changed != c.changed {
			t.Errorf("from %v to %v: changed is %v", c.from, c.to, changed)
		}
		if describeShard(to) != describeShard(from) {
			t.Errorf("from %v to %v it became %v", c.from, c.to, to.Labels)
		}
		if to.Labels["app"] != c.to["app"] {
			t.Errorf("another label was lost: %v", to.Labels)
		}
	}
}

// Who waited for its cache to see a write to another instance's object would wait for ever.
func TestNobodyWaitsForTheCacheToSeeObjectsOfOthers(t *testing.T) {
	scheme := apiruntime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	waited := map[string]bool{}
	inner := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Sandbox{}).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, _ client.Object, o ...client.CreateOption) error {
			waited["create"] = !(&client.CreateOptions{}).ApplyOptions(o).DisableReadYourWritesConsistency
			return nil
		},
		Patch: func(_ context.Context, _ client.WithWatch, _ client.Object, _ client.Patch, o ...client.PatchOption) error {
			waited["patch"] = !(&client.PatchOptions{}).ApplyOptions(o).DisableReadYourWritesConsistency
			return nil
		},
		Delete: func(_ context.Context, _ client.WithWatch, _ client.Object, o ...client.DeleteOption) error {
			waited["delete"] = !(&client.DeleteOptions{}).ApplyOptions(o).DisableReadYourWritesConsistency
			return nil
		},
		SubResourcePatch: func(
			_ context.Context, _ client.Client, _ string, _ client.Object, _ client.Patch, o ...client.SubResourcePatchOption,
		) error {
			waited["status"] = !(&client.SubResourcePatchOptions{}).ApplyOptions(o).DisableReadYourWritesConsistency
			return nil
		},
	}).Build()
	write := func(c client.Client, object client.Object) string {
		clear(waited)
		patch := client.RawPatch(types.MergePatchType, []byte("{}"))
		for _, err := range []error{
			c.Create(t.Context(), object), c.Patch(t.Context(), object, patch), c.Delete(t.Context(), object),
			c.Status().Patch(t.Context(), object, patch),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return fmt.Sprint(waited)
	}
	c := &shardClient{Client: inner, shard: Shard{Name: "a"}}
	own, others := of(map[string]string{v1alpha1.ShardLabel: "a"}), of(nil)
	if got, want := write(c, own), "map[create:false delete:true patch:true status:true]"; got != want {
		t.Errorf("for its own: %s, not %s", got, want)
	}
	if got, want := write(c, others), "map[create:false delete:false patch:false status:false]"; got != want {
		t.Errorf("for another's: %s, not %s", got, want)
	}
	if got, want := write(c, &v1alpha1.SandboxProvider{}), "map[create:true delete:true patch:true status:true]"; got != want {
		t.Errorf("for what belongs to all: %s, not %s", got, want)
	}
}

func TestASandboxIsAskedToLookOnceAPeriodAtMostAndSeldomerWhileNothingComesOfIt(t *testing.T) {
	l, period := newLooks(), time.Minute
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	asked := map[string]int{}
	for minute := range 24 * 60 {
		l.keep("provider", []string{"stuck"})
		if l.due("provider", "stuck", now, period) {
			asked["stuck"]++
		}
		if minute%10 == 0 {
			if !l.due("provider", "changing", now, period) {
				t.Fatal("what was as it should be meanwhile must be told at once")
			}
		}
		now = now.Add(period)
	}
	if n := asked["stuck"]; n < 24 || n > 40 {
		t.Errorf("in a day it was asked %d times", n)
	}
	l.forget("provider")
	if len(l.of) != 0 {
		t.Errorf("it remembers a provider that is gone: %v", l.of)
	}
}

func TestWhatAProvidersStatusSaysOfItsAccount(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 30, 0, 0, time.UTC)
	status := func(conditionStatus metav1.ConditionStatus, reason string, generation int64, listed time.Time) provider.Provider {
		object := builders.MakeProvider("ns", "name", "backend").Obj()
		object.Generation = 2
		object.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Status: conditionStatus, Reason: reason, ObservedGeneration: generation,
		}}
		if !listed.IsZero() {
			object.Status.LastSyncTime = new(metav1.NewTime(listed))
		}
		return provider.Of(object)
	}
	yes, no, lately, before := metav1.ConditionTrue, metav1.ConditionFalse, now.Add(-30*time.Minute), now.Add(-5*time.Hour)
	for _, c := range []struct {
		what  string
		of    provider.Provider
		heard bool
		want  accountWord
	}{
		{"nothing yet", provider.Of(builders.MakeProvider("ns", "name", "backend").Obj()), false, accountUnknown},
		{"it answers", status(yes, v1alpha1.ReasonReady, 2, lately), false, accountVerified},
		{"it answers, and is being deleted", status(no, v1alpha1.ReasonInUse, 2, lately), false, accountVerified},
		{"it was never listed", status(yes, v1alpha1.ReasonReady, 2, time.Time{}), true, accountUnknown},
		{"its owner may be gone", status(yes, v1alpha1.ReasonReady, 2, before), false, accountUnknown},
		{"its owner may be gone, whose last word is known", status(yes, v1alpha1.ReasonReady, 2, before), true, accountVerified},
		{"that was another generation", status(yes, v1alpha1.ReasonReady, 1, lately), false, accountUnknown},
		{"it does not answer", status(no, "Unavailable", 2, lately), true, accountUnknown},
		{"it changed", status(no, v1alpha1.ReasonAccountChanged, 1, before), true, accountChanged},
	} {
		if got := saysOf(c.of, c.heard, now, time.Minute); got != c.want {
			t.Errorf("%s: %s, not %s", c.what, got, c.want)
		}
	}
}

// otherBytes is what a Sandbox of another instance may cost who owns the providers.
const otherBytes = 2600

func TestOthersSandboxesCostLittleMemory(t *testing.T) {
	const count = 2000
	kept := make([]any, count)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range kept {
		box := builders.MakeSandbox("some-namespace", fmt.Sprintf("sandbox-%05d", i)).Label(v1alpha1.ShardLabel, strings.Clone("a")).
			Annotation("kubectl.kubernetes.io/last-applied-configuration", strings.Repeat("x", 2000)).
			File("/file", strings.Repeat("y", 2000)).Obj()
		box.UID = types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", i))
		j := (*journal)(nil).next(time.Now(), v1alpha1.ProviderIdentity{
			Kind: v1alpha1.KindClusterSandboxProvider, Name: "cloud", UID: "00000000-0000-0000-0000-000000000000", Backend: "e2b",
		}, box)
		j.Installation = "00000000-0000-0000-0000-000000000000"
		box.Annotations[v1alpha1.JournalAnnotation] = j.text()
		box.Status.SandboxID, box.Status.Incarnation, box.Status.State = fmt.Sprintf("remote-%05d", i), 1, v1alpha1.SandboxRunning
		box.Status.Provider = new(j.Provider)
		box.Status.CreatedAt, box.Status.ExpiresAt = new(metav1.Now()), new(metav1.Now())
		stripped, err := StripOther(box.DeepCopy())
		if err != nil {
			t.Fatal(err)
		}
		if left, ok := stripped.(*v1alpha1.Sandbox); !ok || fmt.Sprint(inventoried(left)) != fmt.Sprint(inventoried(box)) {
			t.Fatalf("the comparison reads something else of %+v", stripped)
		}
		kept[i] = stripped
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int64(after.HeapAlloc-before.HeapAlloc) / count
	t.Logf("%d bytes each", each)
	if each > otherBytes {
		t.Errorf("each costs %d bytes, more than %d", each, otherBytes)
	}
	runtime.KeepAlive(kept)
}
