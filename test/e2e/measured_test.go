// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// What the operator may cost. slack is the room for a machine that does other things at the same time, as in continuous integration.
const (
	mostAfterPod  = 300 * time.Millisecond // from a pod's readiness to its Sandbox's, 99th percentile
	mostForTrue   = 120 * time.Millisecond // an exec of `true`, end to end, median
	mostIdleBytes = 60 << 20               // memory of a manager with nothing to do
	slack         = 3
)

func measured() {
	It("has a Sandbox Ready soon after its pod", func(ctx SpecContext) {
		const sandboxes, atOnce = 40, 4
		r := newRoom(ctx)
		seen := watchReady(ctx, r)
		for i := range sandboxes {
			r.create(ctx, builders.MakeSandbox(r.name, fmt.Sprintf("box-%d", i)).Obj())
			Eventually(func() int { return seen.ready() }).WithContext(ctx).Should(BeNumerically(">", i-atOnce))
		}
		Eventually(func() int { return seen.ready() }).WithContext(ctx).Should(Equal(sandboxes))
		delays := seen.delays()
		Expect(delays).To(HaveLen(sandboxes))
		report("Sandbox Ready after its pod", delays)
		Expect(percentile(delays, 99)).To(BeNumerically("<", slack*mostAfterPod))
	}, NodeTimeout(6*time.Minute))

	It("runs a short command fast", Label(ci), func(ctx SpecContext) {
		const runs = 40
		r := newRoom(ctx)
		r.ready(ctx, "box")
		ends := watchEnds(ctx, r, runs)
		var took []time.Duration
		for i := range runs {
			began := time.Now()
			r.create(ctx, builders.MakeExec(r.name, fmt.Sprintf("run-%d", i), "box").Command("true").Obj())
			var ended *v1alpha1.SandboxExec
			Eventually(ends).WithContext(ctx).WithPolling(time.Millisecond).Should(Receive(&ended))
			took = append(took, time.Since(began))
			Expect(ended.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), func() string { return state(ended) })
		}
		report("exec of true, end to end", took)
		Expect(percentile(took, 50)).To(BeNumerically("<", slack*mostForTrue))
	}, NodeTimeout(3*time.Minute))

	It("needs little memory when there is nothing to do", Label(ci), func(ctx SpecContext) {
		for _, pod := range at.managers(ctx) {
			var used uint64
			Eventually(func() (uint64, error) {
				var err error
				used, err = at.memoryOf(ctx, &pod)
				return used, err
			}).WithContext(ctx).Should(BeNumerically(">", 0))
			AddReportEntry(fmt.Sprintf("%s has %.1f MiB", pod.Name, float64(used)/(1<<20)))
			GinkgoWriter.Printf("%s has %.1f MiB\n", pod.Name, float64(used)/(1<<20))
			Expect(used).To(BeNumerically("<", mostIdleBytes), pod.Name)
		}
	}, NodeTimeout(2*time.Minute))
}

// readiness has when pods and Sandboxes were first seen ready, by the same watcher: the times in their conditions are whole seconds.
type readiness struct {
	pods, sandboxes map[string]time.Time
	events          chan func()
}

func (s *readiness) ready() int {
	for {
		select {
		case event := <-s.events:
			event()
		default:
			return len(s.sandboxes)
		}
	}
}

func (s *readiness) delays() []time.Duration {
	s.ready()
	var found []time.Duration
	for id, at := range s.sandboxes {
		if began, ok := s.pods[id]; ok {
			found = append(found, max(0, at.Sub(began)))
		}
	}
	return found
}

func watchReady(ctx context.Context, r *room) *readiness {
	GinkgoHelper()
	s := &readiness{pods: map[string]time.Time{}, sandboxes: map[string]time.Time{}, events: make(chan func(), 10_000)}
	note := func(into map[string]time.Time, id string) {
		now := time.Now()
		s.events <- func() {
			if _, ok := into[id]; !ok {
				into[id] = now
			}
		}
	}
	r.watch(ctx, &corev1.Pod{}, func(object any) {
		pod := object.(*corev1.Pod) //nolint:forcetypeassert // the informer has no others
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				note(s.pods, pod.Namespace+"/"+pod.Name+"/"+string(pod.UID))
			}
		}
	})
	r.watch(ctx, &v1alpha1.Sandbox{}, func(object any) {
		sandbox := object.(*v1alpha1.Sandbox) //nolint:forcetypeassert // the informer has no others
		if meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionReady) {
			note(s.sandboxes, sandbox.Status.SandboxID)
		}
	})
	return s
}

// watchEnds gives each run of the room once, when it is seen finished.
func watchEnds(ctx context.Context, r *room, most int) <-chan *v1alpha1.SandboxExec {
	GinkgoHelper()
	ends, known := make(chan *v1alpha1.SandboxExec, most), map[string]bool{}
	r.watch(ctx, &v1alpha1.SandboxExec{}, func(object any) {
		exec := object.(*v1alpha1.SandboxExec) //nolint:forcetypeassert // the informer has no others
		if exec.Status.Outcome != "" && !known[exec.Name] {
			known[exec.Name] = true
			ends <- exec.DeepCopy()
		}
	})
	return ends
}

// watch calls with every state of the room's objects of a kind, until the spec ends.
func (r *room) watch(ctx context.Context, kind client.Object, see func(any)) {
	GinkgoHelper()
	objects, err := cache.New(r.config, cache.Options{
		Scheme: r.Scheme(), DefaultNamespaces: map[string]cache.Config{r.name: {}},
	})
	Expect(err).NotTo(HaveOccurred())
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = objects.Start(watching)
	}()
	DeferCleanup(func() {
		cancel()
		<-over
	})
	informer, err := objects.GetInformer(ctx, kind)
	Expect(err).NotTo(HaveOccurred())
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: see, UpdateFunc: func(_, now any) { see(now) },
	})
	Expect(err).NotTo(HaveOccurred())
}

// memoryOf is the working set of the pod's container in bytes, as the kubelet has it: what counts against its limit.
func (c *cluster) memoryOf(ctx context.Context, pod *corev1.Pod) (uint64, error) {
	core, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return 0, err
	}
	content, err := core.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes", pod.Spec.NodeName, "proxy/stats/summary").DoRaw(ctx)
	if err != nil {
		return 0, err
	}
	var summary struct {
		Pods []struct {
			PodRef     struct{ UID string }
			Containers []struct {
				Memory struct{ WorkingSetBytes uint64 }
			}
		}
	}
	if err := json.Unmarshal(content, &summary); err != nil {
		return 0, err
	}
	for _, one := range summary.Pods {
		if one.PodRef.UID == string(pod.UID) && len(one.Containers) > 0 {
			return one.Containers[0].Memory.WorkingSetBytes, nil
		}
	}
	return 0, fmt.Errorf("the kubelet of %s has no figures of %s yet", pod.Spec.NodeName, pod.Name)
}

func percentile(durations []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

func report(what string, durations []time.Duration) {
	GinkgoHelper()
	text := fmt.Sprintf("%s: median %v, 99th percentile %v of %d", what, percentile(durations, 50).Round(time.Millisecond),
		percentile(durations, 99).Round(time.Millisecond), len(durations))
	AddReportEntry(text)
	GinkgoWriter.Println(text)
}
