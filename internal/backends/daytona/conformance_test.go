// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/conformance"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
)

func TestConformance(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the sandboxes of the fake need root")
	}
	gomega.RegisterFailHandler(ginkgo.Fail)
	ignore := goleak.IgnoreCurrent()
	ginkgo.RunSpecs(t, "Daytona backend")
	goleak.VerifyNone(t, ignore, goleak.IgnoreAnyFunction(
		"github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2"))
}

var delays = daytona.Options{
	StartDelay: 10 * time.Millisecond, StopDelay: 20 * time.Millisecond, DestroyDelay: 20 * time.Millisecond,
	ListLag: 20 * time.Millisecond,
}

var _ = describe("daytona of version 0.190", func(*daytona.Options) {},
	backends.Source{}, backends.Source{Snapshot: daytona.DefaultSnapshot})

var _ = describe("the newest daytona", func(o *daytona.Options) { o.Newest = true }, backends.Source{Template: daytona.DefaultSnapshot})

// Virtual machines are paused with their memory, where containers are stopped.
var _ = describe("daytona's virtual machines", func(o *daytona.Options) { o.Newest, o.TLS = true, true },
	backends.Source{Snapshot: daytona.VMSnapshot})

func describe(name string, change func(*daytona.Options), sources ...backends.Source) bool {
	return conformance.Describe(name, func() conformance.Subject {
		options := delays
		change(&options)
		t := ginkgo.GinkgoTB()
		fake := startFake(t, options)
		return conformance.Subject{
			Registration: Registration(), Backend: fake.connect(t), Another: fake.connect(t), Sources: sources, Clock: fake.Clock,
			Server: conformance.PythonServer, MakeError: fake.makeError,
		}
	})
}

// makeError has the fake fail as the real one is known to.
func (f *fakeServer) makeError(code backends.Code, id string) (undo func(), possible bool) {
	none := func() {}
	switch code {
	case backends.NotFound:
		f.Remove(id)
		return none, true
	case backends.NotRunning:
		f.Archive(id)
		return none, true
	case backends.AlreadyExists:
		return f.Inject(daytona.Fault{
			Method: http.MethodPost, Path: "/sandbox", Status: http.StatusConflict, Message: "Sandbox with name x already exists",
		}), true
	case backends.Invalid:
		return f.Inject(daytona.Fault{Method: http.MethodPost, Status: http.StatusBadRequest, Message: "Snapshot x not found"}), true
	case backends.Unauthorized:
		f.Change(func(o *daytona.Options) { o.Key = "another" })
		return func() { f.Change(func(o *daytona.Options) { o.Key = daytona.FakeKey }) }, true
	case backends.QuotaExceeded:
		f.Change(func(o *daytona.Options) { o.MostSandboxes = 1 })
		return func() { f.Change(func(o *daytona.Options) { o.MostSandboxes = 0 }) }, true
	case backends.RateLimited:
		return f.Inject(daytona.Fault{
			Status: http.StatusTooManyRequests, Message: "Rate limit exceeded", Header: map[string]string{"Retry-After-authenticated": "2"},
		}), true
	case backends.Unsupported:
		return f.Inject(daytona.Fault{Status: http.StatusUnprocessableEntity, Message: "not for this class"}), true
	case backends.Unavailable, backends.Ambiguous:
		return f.Inject(daytona.Fault{Status: http.StatusBadGateway, Body: "<html>502 \x00\x1b[31mBad Gateway</html>"}), true
	}
	return nil, false
}
