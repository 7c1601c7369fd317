// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kubernetes

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestWhoMaySayWhat(t *testing.T) {
	g := NewWithT(t)
	kubeconfig := map[string][]byte{keyKubeconfig: []byte("some")}
	for _, one := range []struct {
		what, parameters, namespace string
		trusted                     bool
		credentials                 map[string][]byte
		// refused is what the error says; empty = place is where the pods are.
		refused, place string
	}{
		{"a cluster provider", `{"namespace":"pods"}`, "", true, nil, "", "pods"},
		{"a cluster provider that names none", `{}`, "", true, nil, "parameter namespace is missing", ""},
		{"a tenant", `{}`, "tenant", false, nil, "", "tenant"},
		{"a tenant who says where he is", `{"namespace":"tenant"}`, "tenant", false, nil, "", "tenant"},
		{"a tenant who reaches out", `{"namespace":"kube-system"}`, "tenant", false, nil, "in its own namespace", ""},
		{"a tenant with a cluster of his own", `{"namespace":"kube-system"}`, "tenant", false, kubeconfig, "", "kube-system"},
		{"a tenant who wants an account", `{"serviceAccountName":"admin"}`, "tenant", false, nil, "ClusterSandboxProviders only", ""},
		{"a tenant who wants more", `{"podOverlay":{"hostNetwork":true}}`, "tenant", false, nil, "ClusterSandboxProviders only", ""},
		{"a tenant who wants root", `{"rootUser":"Allowed"}`, "tenant", false, nil, "ClusterSandboxProviders only", ""},
		{"a tenant who wants the control plane", `{"tolerations":[{"operator":"Exists"}]}`, "tenant", false, nil, "Providers only", ""},
		{"an overlay that is none", `{"namespace":"pods","podOverlay":{"hostNetwrok":true}}`, "", true, nil, "no patch of a pod's spec", ""},
		{"a word that is none", `{"namespace":"pods","firstProcess":"Init"}`, "", true, nil, "must be Shell or Image", ""},
		{"a template that is none", `{"namespace":"pods","endpointURL":"https://{uid}.example.com"}`, "", true, nil, "has {uid}", ""},
		{"a misspelt one", `{"nameSpace":"pods"}`, "", true, nil, "unknown parameter", ""},
	} {
		o, err := readOptions(backends.Config{
			Parameters: json.RawMessage(one.parameters), Namespace: one.namespace, Credentials: one.credentials,
			Reach: backends.Reach{Trusted: one.trusted},
		})
		if one.refused != "" {
			g.Expect(err).To(MatchError(ContainSubstring(one.refused)), one.what)
			continue
		}
		g.Expect(err).NotTo(HaveOccurred(), one.what)
		g.Expect(o.Namespace).To(Equal(one.place), one.what)
	}
}

func TestAccountsAreApartWhereNamespacesAre(t *testing.T) {
	g := NewWithT(t)
	of := func(namespace string) string { return scope(backends.Config{Namespace: namespace}) }
	g.Expect(of("one")).NotTo(Equal(of("two")))
}

// kubeconfigOf has one server, and whatever else of its user and cluster.
func kubeconfigOf(server, cluster, user string) []byte {
	return []byte(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}],` +
		`"clusters":[{"name":"k","cluster":{"server":"` + server + `"` + cluster + `}}],"users":[{"name":"u","user":{` + user + `}}]}`)
}

func TestKubeconfigsRunAndReadNothing(t *testing.T) {
	g := NewWithT(t)
	const server, token = "https://k8s.example.com:6443", `"token":"t0ken"`
	for _, one := range []struct{ what, kubeconfig, refused string }{
		{"a plugin", string(kubeconfigOf(server, "", `"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":"sh"}`)), "exec plugin"},
		{"a provider of tokens", string(kubeconfigOf(server, "", `"auth-provider":{"name":"gcp"}`)), "auth-provider"},
		{"a file with a token", string(kubeconfigOf(server, "", `"tokenFile":"/var/run/secrets/token"`)), "tokenFile"},
		{"a file with a key", string(kubeconfigOf(server, "", `"client-key":"/etc/key"`)), "client-key"},
		{"a file with a certificate", string(kubeconfigOf(server, `,"certificate-authority":"/etc/ca"`, token)), "--flatten"},
		{"no certificates", string(kubeconfigOf(server, `,"insecure-skip-tls-verify":true`, token)), "certificate-authority-data"},
		{"a proxy", string(kubeconfigOf(server, `,"proxy-url":"http://p"`, token)), "proxy-url"},
		{"nothing", "{}", "current-context"},
		{"rubbish", "\x00\x01", "no kubeconfig"},
	} {
		_, err := readKubeconfig([]byte(one.kubeconfig))
		g.Expect(err).To(MatchError(ContainSubstring(one.refused)), one.what)
		g.Expect(err.Error()).NotTo(ContainSubstring("t0ken"), one.what)
	}
	connection, err := readKubeconfig(kubeconfigOf(server, "", token))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(connection.Host).To(Equal(server))
}

func TestTenantsReachNoServerOfTheOperatorsOwn(t *testing.T) {
	g := NewWithT(t)
	for host, refused := range map[string]bool{
		"https://127.0.0.1:6443": true, "https://10.0.0.1": true, "https://169.254.169.254": true, "https://kubernetes.default.svc": true,
		"https://allowed.example.com": false,
	} {
		_, err := connect(backends.Config{
			Credentials: map[string][]byte{keyKubeconfig: kubeconfigOf(host, "", `"token":"x"`)},
			Reach:       backends.Reach{Allowed: []string{"allowed.example.com"}},
		})
		g.Expect(err != nil).To(Equal(refused), host)
	}
	// A name that leads to a metadata service is found out when it is dialled, for streams as well.
	reach := backends.Reach{Allowed: []string{"localhost"}}
	b := &backend{reach: &reach, config: &rest.Config{Host: "https://localhost:1"}}
	_, err := b.pinned(t.Context())
	g.Expect(err).To(MatchError(errForbiddenAddress))
	_, err = checkedDialer(reach, "localhost").Dial("tcp", "127.0.0.1:1")
	g.Expect(err).To(MatchError(errForbiddenAddress))
}

func TestStreamsGoToTheAddressThatWasCheckedUnderTheServersName(t *testing.T) {
	g := NewWithT(t)
	b := &backend{reach: &backends.Reach{Trusted: true}, config: &rest.Config{Host: "https://localhost:6443/prefix"}}
	pinned, err := b.pinned(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pinned.Host).To(Or(Equal("https://127.0.0.1:6443/prefix"), Equal("https://[::1]:6443/prefix")))
	g.Expect(pinned.ServerName).To(Equal("localhost"))
}

func TestMessagesStayTheSameWhileTheirCauseDoes(t *testing.T) {
	g := NewWithT(t)
	for _, same := range [][]string{
		{
			placement("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {a: b}. preemption: 0/3 nodes are available: x."),
			placement("0/5 nodes are available: 3 node(s) had untolerated taint {a: b}, 2 Insufficient cpu. preemption: 0/5 nodes: y."),
			"Insufficient cpu, node(s) had untolerated taint {a: b}",
		},
		{
			plain(pulling(`Back-off pulling image "r/x:1": ErrImagePull: failed to resolve: read udp 10.0.0.1:4711->10.96.0.10:53: timeout`)),
			plain(pulling("failed to resolve: read udp 10.0.0.1:4712->10.96.0.10:53: timeout")),
			"failed to resolve: read udp 10.96.0.10:53: timeout",
		},
		{
			plain(`failed to create containerd task for "0123456789abcdef0123456789abcdef": no`), `failed to create containerd task for "": no`,
		},
		{quota("exceeded quota: q, requested: pods=1, used: pods=7, limited: pods=7"), "exceeded quota: q, requested: pods=1, limited: pods=7"},
		{plain("image r/x@sha256:0123456789abcdef0123456789abcdef"), "image r/x@sha256:0123456789abcdef0123456789abcdef"},
		{plain("a\x1b[31m\x00b"), "a [31m b"},
	} {
		for _, one := range same {
			g.Expect(one).To(Equal(same[0]))
		}
	}
}

func TestPodsOfLostNodesAreTakenOutByForce(t *testing.T) {
	g := NewWithT(t)
	now := time.Now()
	at := func(ago time.Duration) *corev1.Pod {
		deleted := metav1.NewTime(now.Add(-ago))
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &deleted}}
	}
	g.Expect(isStuck(&corev1.Pod{}, now)).To(BeFalse())
	g.Expect(isStuck(at(time.Second), now)).To(BeFalse())
	g.Expect(isStuck(at(time.Minute), now)).To(BeTrue())
	lost := at(time.Minute)
	lost.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager",
	}}
	state, why := observe(lost, now, time.Minute)
	g.Expect(state).To(Equal(backends.StateStopped))
	g.Expect(why).To(ContainSubstring("does not answer"))
}

func TestNothingOfACommandIsInTheURLOfItsExec(t *testing.T) {
	g := NewWithT(t)
	c := newCall(backends.Command{
		Argv: []string{"secret-argument"}, Env: map[string]string{"A": "secret-value"}, Stdin: []byte("secret-input"), WorkingDir: "/secret-dir",
	}, "uid")
	g.Expect(strings.Join(c.argv(), " ")).NotTo(ContainSubstring("secret"))
	g.Expect(len(strings.Join(c.argv(), " "))).To(BeNumerically("<", 400), "proxies refuse long URLs")
}
