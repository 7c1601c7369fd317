// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package shards_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// names are those of the Sandboxes that remotes were made for.
func names(of []backends.Remote) []string {
	var all []string
	for _, remote := range of {
		all = append(all, remote.Mark.Name)
	}
	return all
}

// leave makes a remote of a Sandbox that never was, as a crash would leave one.
func leave(ctx context.Context, room *testbed.Room, name string) {
	GinkgoHelper()
	body, err := json.Marshal(fake.Body{Request: &backends.CreateRequest{Name: name, Mark: backends.Mark{
		Installation: installation, Namespace: room.Namespace, Name: name, UID: "uid-of-" + name, Incarnation: 1,
	}}})
	Expect(err).NotTo(HaveOccurred())
	url := cloud.URL + "/accounts/" + room.Namespace + "/" + fake.Create
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	Expect(response.StatusCode).To(Equal(http.StatusOK))
}

// looks are the requests of the owner to the other.
func looks(namespace string) int {
	return len(owner.proxy.Since(0, func(r apiproxy.Request) bool {
		return r.Namespace == namespace && bytes.Contains(r.Body, []byte(v1alpha1.LookAnnotation))
	}))
}

var _ = Describe("Two instances together", func() {
	It("notice a remote that vanishes, whose ever it is, and write nothing while nothing happens", func(ctx context.Context) {
		room, _ := newRoom(ctx)
		mine, theirs := room.Ready(ctx, sandbox(room, "mine", "")), room.Ready(ctx, sandbox(room, "theirs", shard))
		writes := func() int { return len(owner.writes(room.Namespace)) + len(other.writes(room.Namespace)) }
		before := writes()
		Consistently(writes).WithTimeout(3*time.Second).Should(Equal(before), "nothing happens, so nothing is to be written")

		Expect(cloud.Kill(ctx, theirs.Status.SandboxID)).To(Succeed())
		room.EventuallyNotReady(ctx, theirs, v1alpha1.ReasonRemoteGone)
		Expect(looks(room.Namespace)).To(BeNumerically(">", 0))
		after := 0
		Eventually(func() bool {
			settled := after == writes()
			after = writes()
			return settled
		}).WithPolling(time.Second).WithTimeout(testbed.Patience).Should(BeTrue())
		Consistently(writes).WithTimeout(3*time.Second).Should(Equal(after), "it is told once")
		Expect(testbed.StateOf(mine)).To(ContainSubstring("Running"))
	})

	It("make a lost remote again where that is asked for", func(ctx context.Context) {
		room, _ := newRoom(ctx)
		box := room.Ready(ctx, sandbox(room, "phoenix", shard).Lifetime(v1alpha1.SandboxLifetime{OnLoss: v1alpha1.OnLossRecreate}))
		first := box.Status.SandboxID
		Expect(cloud.Kill(ctx, first)).To(Succeed())
		room.Eventually(ctx, box, "made again", func() bool { return box.Status.SandboxID != first && box.Status.Incarnation == 2 })
		room.EventuallyReady(ctx, box)
	})

	It("leave orphans to the owner, who takes nothing of the other's for one", func(ctx context.Context) {
		room, provider := newRoom(ctx)
		theirs := room.Ready(ctx, sandbox(room, "theirs", shard))
		owner.kill()
		DeferCleanup(func() {
			if owner.process == nil {
				owner.start()
			}
		})
		leave(ctx, room, "orphan")
		Consistently(func() []string { return names(remotes(ctx, room.Namespace)) }).WithTimeout(3*time.Second).
			Should(ConsistOf("theirs", "orphan"), "nobody but the owner sweeps")
		expectSucceeded(room.Run(ctx, run(room, "meanwhile", "theirs", shard).Shell("true")))
		owner.start()
		Eventually(func() []string { return names(remotes(ctx, room.Namespace)) }).WithTimeout(testbed.Patience).
			Should(ConsistOf("theirs"), logs)
		room.Eventually(ctx, provider, "free of orphans", func() bool {
			return provider.Status.OrphanCount != nil && *provider.Status.OrphanCount == 0
		})
		Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(theirs), theirs)).To(Succeed())
		Expect(meta.IsStatusConditionTrue(theirs.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
	})

	It("keep the limits of the account between them", func(ctx context.Context) {
		const perSecond, each = 10, 20
		room, _ := newRoom(ctx, func(b *builders.ProviderBuilder) {
			b.Limits(v1alpha1.ProviderLimits{RequestsPerSecond: perSecond, Burst: perSecond})
		})
		for i := range each {
			room.Create(ctx, sandbox(room, fmt.Sprintf("mine-%d", i), "").Obj(), sandbox(room, fmt.Sprintf("theirs-%d", i), shard).Obj())
		}
		bed.EventuallyRemotes(ctx, room.Namespace, 2*each)
		calls, err := cloud.Calls(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		calls = slices.DeleteFunc(calls, func(c fake.Call) bool { return c.Account != room.Namespace })
		slices.SortFunc(calls, func(a, b fake.Call) int { return a.Began.Compare(b.Began) })
		Expect(len(calls)).To(BeNumerically(">=", 2*each))
		for first := range calls {
			for last := first; last < len(calls); last++ {
				took := calls[last].Began.Sub(calls[first].Began)
				// A request may be on its way for a while.
				most := perSecond + perSecond*(took+200*time.Millisecond).Seconds() + 1
				Expect(float64(last-first+1)).To(BeNumerically("<=", most), "calls within %s", took)
			}
		}
	})

	It("have no more sandboxes than the provider may have", func(ctx context.Context) {
		room, _ := newRoom(ctx, func(b *builders.ProviderBuilder) { b.Limits(v1alpha1.ProviderLimits{MaxSandboxes: new(int32(5))}) })
		for i := range 5 {
			room.Create(ctx, sandbox(room, fmt.Sprintf("mine-%d", i), "").Obj(), sandbox(room, fmt.Sprintf("theirs-%d", i), shard).Obj())
		}
		made := func() (mine, theirs int) {
			for _, name := range names(remotes(ctx, room.Namespace)) {
				if strings.HasPrefix(name, "mine") {
					mine++
				} else {
					theirs++
				}
			}
			return mine, theirs
		}
		check := func(g Gomega) {
			mine, theirs := made()
			g.Expect(mine).To(Equal(3), "the owner has its part, and what is left over")
			g.Expect(theirs).To(Equal(2))
		}
		Eventually(check).WithTimeout(testbed.Patience).Should(Succeed())
		Consistently(check).WithTimeout(2 * time.Second).Should(Succeed())
	})

	It("keep a provider until the sandboxes of both are gone", func(ctx context.Context) {
		room, provider := newRoom(ctx)
		theirs := room.Ready(ctx, sandbox(room, "theirs", shard))
		room.Delete(ctx, provider)
		room.Eventually(ctx, provider, "kept as it is in use", func() bool {
			ready := meta.FindStatusCondition(provider.Status.Conditions, v1alpha1.ConditionReady)
			return ready != nil && ready.Reason == v1alpha1.ReasonInUse
		})
		Consistently(func() error { return bed.Client.Get(ctx, client.ObjectKeyFromObject(provider), provider) }).
			WithTimeout(3 * time.Second).Should(Succeed())
		room.Delete(ctx, theirs)
		room.EventuallyGone(ctx, theirs)
		room.EventuallyGone(ctx, provider)
		Expect(remotes(ctx, room.Namespace)).To(BeEmpty())
	})

	It("both stop making and losing anything when the account seems to be another", func(ctx context.Context) {
		room, provider := newRoom(ctx)
		var all []*v1alpha1.Sandbox
		const count = 14 // of which a list between two of the ends can't leave too few
		for i := range count {
			all = append(all, room.Ready(ctx, sandbox(room, fmt.Sprintf("theirs-%d", i), shard)))
		}
		room.Eventually(ctx, provider, "counting them", func() bool {
			return provider.Status.SandboxCount != nil && *provider.Status.SandboxCount == count
		})
		// A list that has not yet what is new is no surprise.
		Eventually(func() time.Duration { return time.Since(all[count-1].Status.CreatedAt.Time) }).WithTimeout(testbed.Patience).
			Should(BeNumerically(">", 4*time.Second))
		for _, box := range all {
			Expect(cloud.Kill(ctx, box.Status.SandboxID)).To(Succeed())
		}
		room.Eventually(ctx, provider, "suspicious", func() bool {
			ready := meta.FindStatusCondition(provider.Status.Conditions, v1alpha1.ConditionReady)
			return ready != nil && ready.Reason == v1alpha1.ReasonAccountChanged
		})
		late := sandbox(room, "late", shard).Obj()
		room.Create(ctx, late)
		room.EventuallyNotReady(ctx, late, v1alpha1.ReasonAccountChanged)
		Expect(remotes(ctx, room.Namespace)).To(BeEmpty())

		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"true"}}}`, v1alpha1.AcceptLossesAnnotation)
		Expect(bed.Client.Patch(ctx, provider, client.RawPatch("application/merge-patch+json", []byte(patch)))).To(Succeed())
		room.EventuallyReady(ctx, late)
		for _, box := range all {
			room.EventuallyNotReady(ctx, box, v1alpha1.ReasonRemoteGone)
		}
	})
})
