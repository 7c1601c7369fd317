// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2b

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/conformance"
	fake "github.com/sandbox-operator/sandbox-operator/test/fakes/e2b"
)

func TestConformance(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the fake E2B runs commands as root only")
	}
	ignore := goleak.IgnoreCurrent()
	gomega.RegisterFailHandler(ginkgo.Fail)
	ginkgo.RunSpecs(t, "E2B backend")
	goleak.VerifyNone(t, ignore, goleak.IgnoreAnyFunction(
		"github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2"))
}

var _ = conformance.Describe("e2b", func() conformance.Subject {
	t := ginkgo.GinkgoTB()
	cloud := newCloud(t, fake.Options{})
	return conformance.Subject{
		Registration: Registration(), Backend: connectTo(t, cloud), Another: connectTo(t, cloud),
		Sources:  []backends.Source{{Template: fake.TemplateCode}, {}, {Template: "base:latest"}},
		Language: "python", Server: answerByPython,
		MakeError: func(code backends.Code, remote string) (undo func(), possible bool) {
			return makeError(t, cloud, code, remote)
		},
	}
})

func answerByPython(port int, answer string) []string {
	const program = `import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
while True:
    c, _ = s.accept()
    c.recv(4096)
    c.sendall(sys.argv[2].encode())
    c.close()`
	return []string{"python3", "-c", program, strconv.Itoa(port), answer}
}

// newCloud starts a fake that goes with the test.
func newCloud(t testingT, options fake.Options) *fake.Cloud {
	t.Helper()
	cloud, err := fake.Start(options)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := cloud.Close(); err != nil {
			t.Errorf("closing the fake: %v", err)
		}
	})
	return cloud
}

// testingT is what tests of both kinds have.
type testingT interface {
	Helper()
	Cleanup(clean func())
	Errorf(format string, arguments ...any)
	Fatalf(format string, arguments ...any)
}

// configOf leads to a fake.
func configOf(cloud *fake.Cloud) backends.Config {
	return backends.Config{
		Credentials: map[string][]byte{keyName: []byte(fake.Key + "\n")}, Endpoint: cloud.URL(),
		Parameters: []byte(`{"sandboxURL":` + strconv.Quote(cloud.URL()) + `}`), Reach: backends.Reach{Trusted: true},
	}
}

func connectTo(t testingT, cloud *fake.Cloud) *backend {
	t.Helper()
	return connectWith(t, configOf(cloud))
}

func connectWith(t testingT, config backends.Config) *backend {
	t.Helper()
	built, err := newBackend(context.Background(), config)
	if err != nil {
		t.Fatalf("%v", err)
	}
	b, _ := built.(*backend)
	t.Cleanup(b.client.Close)
	return b
}

// makeError makes the fake fail as E2B does.
func makeError(t testingT, cloud *fake.Cloud, code backends.Code, remote string) (undo func(), possible bool) {
	fail := func(status int, body string, header map[string]string) (func(), bool) {
		return cloud.Fail(fake.Fault{Plane: fake.PlaneControl, Status: status, Body: body, Header: header}), true
	}
	switch code {
	case backends.NotFound:
		cloud.Kill(remote)
		return func() {}, true
	case backends.NotRunning:
		cloud.Pause(remote)
		return func() {}, true
	case backends.Invalid:
		return cloud.Fail(fake.Fault{
			Method: http.MethodPost, Prefix: "/sandboxes", Status: http.StatusNotFound,
			Body: `{"code":404,"message":"template 'x' not found"}`,
		}), true
	case backends.Unauthorized:
		cloud.Revoke(fake.Key)
		return func() { cloud.Admit(fake.Key) }, true
	case backends.QuotaExceeded:
		cloud.SetQuota(1)
		return func() { cloud.SetQuota(1100) }, true
	case backends.RateLimited:
		return fail(http.StatusTooManyRequests, `{"code":429,"message":"Rate limit exceeded"}`, map[string]string{"Retry-After": "7"})
	case backends.Unavailable:
		return fail(http.StatusServiceUnavailable,
			`{"code":503,"message":"no capacity","error_code":"sandbox_capacity_unavailable"}`, nil)
	case backends.Ambiguous:
		return fail(http.StatusGatewayTimeout, "upstream request timeout", nil)
	case backends.Unsupported, backends.AlreadyExists:
		return nil, false
	}
	t.Fatalf("no error for %s", code)
	return nil, false
}
