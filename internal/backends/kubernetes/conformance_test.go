// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kubernetes

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/conformance"
)

var _ = conformance.Describe("kubernetes", func() conformance.Subject {
	trouble := &atomic.Pointer[http.Response]{}
	troubled := config(nil)
	troubled.Cluster = rest.CopyConfig(operator)
	troubled.Cluster.Wrap(func(next http.RoundTripper) http.RoundTripper { return faults{next, trouble} })
	return conformance.Subject{
		Registration: Registration(), Backend: connectWith(troubled), Another: connectWith(config(nil)),
		Sources: []backends.Source{{Image: imageName}, {Image: "example.com/other@sha256:" + strings.Repeat("0", 64)}},
		Server:  answerByPython, MakeError: func(code backends.Code, id string) (func(), bool) { return makeError(code, id, trouble) },
		Patience: time.Minute,
	}
})

// makeError has the cluster fail as real ones are known to.
func makeError(code backends.Code, id string, trouble *atomic.Pointer[http.Response]) (undo func(), possible bool) {
	ctx := context.Background()
	name := strings.Split(id, "/")[1]
	none := func() {}
	switch code {
	case backends.NotFound:
		Expect(admin.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})).To(Succeed())
		return none, true
	case backends.NotRunning:
		node.End(namespace, name, "Evicted")
		Eventually(func(g Gomega) {
			pod, err := admin.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(pod.Status.Phase).To(Equal(corev1.PodFailed))
		}).WithTimeout(time.Minute).Should(Succeed())
		return none, true
	case backends.Unauthorized:
		return answer(trouble, http.StatusUnauthorized, nil), true
	case backends.RateLimited:
		return answer(trouble, http.StatusTooManyRequests, http.Header{"Retry-After": {"2"}}), true
	case backends.Unavailable, backends.Ambiguous:
		return answer(trouble, http.StatusBadGateway, nil), true
	case backends.Invalid:
		return limitPods(ctx), true
	case backends.QuotaExceeded:
		return exhaust(ctx), true
	}
	return nil, false
}

// answer has every call be answered so.
func answer(trouble *atomic.Pointer[http.Response], status int, header http.Header) (undo func()) {
	if header == nil {
		header = http.Header{}
	}
	trouble.Store(&http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header,
		Body: io.NopCloser(strings.NewReader("")), ContentLength: 0,
	})
	return func() { trouble.Store(nil) }
}

// refused waits until admission refuses pods, or takes them again.
func refused(ctx context.Context, wanted bool) {
	Eventually(func() bool {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "probe"},
			Spec: corev1.PodSpec{
				SecurityContext: &corev1.PodSecurityContext{
					RunAsNonRoot: new(true), RunAsUser: new(int64(1)),
					SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
				Containers: []corev1.Container{{Name: "probe", Image: imageName, SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				}}},
			},
		}
		_, err := admin.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil
	}).WithTimeout(time.Minute).Should(Equal(wanted))
}

// limitPods has the namespace's LimitRange refuse pods that limit nothing.
func limitPods(ctx context.Context) (undo func()) {
	limits := admin.CoreV1().LimitRanges(namespace)
	_, err := limits.Create(ctx, &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "strict"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypePod, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
		}}},
	}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	refused(ctx, true)
	return func() {
		Expect(limits.Delete(ctx, "strict", metav1.DeleteOptions{})).To(Succeed())
		refused(ctx, false)
	}
}

// exhaust leaves no place in the namespace's quota. Its controller does not run here, so the spec says what that would.
func exhaust(ctx context.Context) (undo func()) {
	quotas := admin.CoreV1().ResourceQuotas(namespace)
	hard := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}
	quota, err := quotas.Create(ctx, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: hard},
	}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	quota.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}}
	_, err = quotas.UpdateStatus(ctx, quota, metav1.UpdateOptions{})
	Expect(err).NotTo(HaveOccurred())
	refused(ctx, true)
	return func() {
		Expect(quotas.Delete(ctx, "none", metav1.DeleteOptions{})).To(Succeed())
		refused(ctx, false)
	}
}

// answerByPython is a server for as long as a check takes.
func answerByPython(port int, answer string) []string {
	const program = `import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
while True:
    c, _ = s.accept()
    c.recv(1)
    c.sendall(sys.argv[2].encode())
    c.shutdown(socket.SHUT_WR)
    c.recv(65536)
    c.close()
`
	return []string{"/usr/bin/python3", "-c", program, strconv.Itoa(port), answer}
}
