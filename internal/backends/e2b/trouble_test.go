// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2b

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	fake "github.com/sandbox-operator/sandbox-operator/test/fakes/e2b"
)

var wanted = backends.CreateRequest{
	Name: "sbx-1",
	Mark: backends.Mark{Installation: "here", Namespace: "default", Name: "box", UID: "uid-1", Incarnation: 1, DeletionPolicy: "Delete"},
}

// mustCreate makes a sandbox, for a test that needs one.
func mustCreate(t *testing.T, b *backend, r backends.CreateRequest) backends.Remote {
	t.Helper()
	made, err := b.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the fake E2B runs commands as root only")
	}
}

func TestWrongConfigurationsSayWhatToDo(t *testing.T) {
	good := map[string][]byte{keyName: []byte(fake.Key)}
	for name, c := range map[string]struct {
		config backends.Config
		want   string
	}{
		"a malformed key": {
			backends.Config{Credentials: map[string][]byte{keyName: []byte("sk_e2b_0123456789")}}, "must begin with e2b_",
		},
		"a key with a line break": {backends.Config{Credentials: map[string][]byte{keyName: []byte("e2b_01\n23")}}, "is no API key"},
		"an unknown parameter": {
			backends.Config{Credentials: good, Parameters: []byte(`{"templates":"x"}`)}, `unknown parameter "templates" (known: domain,`,
		},
		"a domain with a scheme": {
			backends.Config{Credentials: good, Parameters: []byte(`{"domain":"https://e2b.example.com"}`)}, "no scheme",
		},
		"a lifetime of two days":  {backends.Config{Credentials: good, Parameters: []byte(`{"maxLifetimeSeconds":172800}`)}, "1 to 86400"},
		"an endpoint of anywhere": {backends.Config{Credentials: good, Endpoint: "https://e2b.example.com"}, `parameter "domain"`},
		"a host that is not public": {
			backends.Config{Credentials: good, Endpoint: "https://api.e2b.internal.example"}, "--provider-hosts",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := newBackend(t.Context(), c.config)
			g.Expect(err).To(MatchError(backends.Invalid))
			g.Expect(err).To(MatchError(ContainSubstring(c.want)))
			g.Expect(err.Error()).NotTo(ContainSubstring("0123456789"), "a part of a key is one, too")
		})
	}
}

func TestWhereThingsAre(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint, parameters      string
		api, daemon, port, domain string
	}{
		"E2B's own":        {"", "", "https://api.e2b.app", "https://sandbox.e2b.app", "https://8080-i1.e2b.app", ""},
		"another of E2B's": {"", "", "https://api.e2b.app", "https://sandbox.e2b.dev", "https://8080-i1.e2b.dev", "e2b.dev"},
		"a domain": {
			"", `{"domain":"e2b.example.com"}`, "https://api.e2b.example.com", "https://49983-i1.e2b.example.com",
			"https://8080-i1.e2b.example.com", "",
		},
		"an endpoint alone": {
			"https://api.e2b.example.com:8443", "", "https://api.e2b.example.com:8443", "https://49983-i1.e2b.example.com",
			"https://8080-i1.e2b.example.com", "",
		},
		"one URL for sandboxes": {
			"https://e2b.example.com/api/", `{"sandboxURL":"https://gate.example.com"}`, "https://e2b.example.com/api",
			"https://gate.example.com", "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			b := connectWith(t, backends.Config{
				Credentials: map[string][]byte{keyName: []byte(fake.Key)}, Endpoint: c.endpoint, Parameters: []byte(c.parameters),
				Reach: backends.Reach{Trusted: true},
			})
			g.Expect(b.api).To(Equal(c.api))
			g.Expect(b.options.daemon("i1", c.domain)).To(Equal(c.daemon))
			if c.port != "" {
				g.Expect(b.options.host("i1", "8080", c.domain)).To(Equal(c.port))
			}
		})
	}
}

func TestADomainThatNobodyConfiguredGetsNoToken(t *testing.T) {
	g := NewWithT(t)
	b := connectWith(t, backends.Config{Credentials: map[string][]byte{keyName: []byte(fake.Key)}})
	g.Expect(b.checkDomain("get", "e2b.dev")).To(Succeed())
	g.Expect(b.checkDomain("get", "sandboxes.example.com")).To(MatchError(backends.Invalid))
}

func TestWhatTheControlPlaneRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		spoil   func(*fake.Cloud)
		request func(*backends.CreateRequest)
		code    backends.Code
		words   string
	}{
		{"a revoked key", func(c *fake.Cloud) { c.Revoke(fake.Key) }, nil, backends.Unauthorized, "Secret's key apiKey"},
		{
			"a blocked team", func(c *fake.Cloud) { c.Block("Team is blocked: unpaid invoice") }, nil, backends.Unauthorized,
			"unpaid invoice",
		},
		{"a quota that is reached", func(c *fake.Cloud) { c.SetQuota(0) }, nil, backends.QuotaExceeded, "maximum number of concurrent"},
		{
			"an unknown template", nil, func(r *backends.CreateRequest) { r.Source.Template = "no-such" }, backends.Invalid,
			"no such template for this team: template 'no-such' not found",
		},
		{
			"a network of names in CIDRs", nil, func(r *backends.CreateRequest) {
				r.Network = backends.Network{
					Policy: backends.NetworkRestricted, CIDRs: []string{"10.0.0.0/8"}, Hosts: []string{"example.com"},
				}
			}, "", "",
		},
		{
			"CPUs that the template has not", nil, func(r *backends.CreateRequest) { r.Resources.MilliCPU = 4000 }, backends.Invalid,
			`(template "base" has cpu: 2, memory: 512Mi, disk: 10240Mi)`,
		},
		{
			"CPUs of a template that nobody knows", nil, func(r *backends.CreateRequest) {
				r.Resources.MilliCPU, r.Source.Template = 2000, "someone-elses"
			}, backends.Invalid, "is not known to this team's API key",
		},
		{"what the template has", nil, func(r *backends.CreateRequest) {
			r.Resources = backends.Resources{MilliCPU: 2000, MemoryBytes: 512 << 20}
		}, "", ""},
		{"an image", nil, func(r *backends.CreateRequest) { r.Source.Image = "python:3" }, backends.Unsupported, "e2b template create"},
		{"a user by number", nil, func(r *backends.CreateRequest) { r.User = "1000:1000" }, backends.Unsupported, "by name"},
		{
			"a parameter", nil, func(r *backends.CreateRequest) { r.Parameters = []byte(`{"public":1}`) }, backends.Invalid,
			"known: publicTraffic",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := NewWithT(t)
			cloud := newCloud(t, fake.Options{})
			b := connectTo(t, cloud)
			asked := wanted
			if c.spoil != nil {
				c.spoil(cloud)
			}
			if c.request != nil {
				c.request(&asked)
			}
			_, err := b.Create(t.Context(), asked)
			if c.code == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(c.code))
			g.Expect(err).To(MatchError(ContainSubstring(c.words)))
			g.Expect(err.Error()).NotTo(ContainSubstring(fake.Key))
			g.Expect(cloud.Sandboxes()).To(BeEmpty(), "nothing is made")
		})
	}
}

func TestWhatAnswersWithoutSuccessMean(t *testing.T) {
	const create, destroy = http.MethodPost, http.MethodDelete
	for _, c := range []struct {
		method string
		status int
		header map[string]string
		body   string
		code   backends.Code
		delay  time.Duration
	}{
		{create, 400, nil, `{"code":400,"message":"Timeout cannot be greater than 1 hours"}`, backends.Invalid, 0},
		{create, 401, nil, `{"code":401,"message":"Invalid API key"}`, backends.Unauthorized, 0},
		{create, 403, nil, `{"code":403,"message":"Team is banned"}`, backends.Unauthorized, 0},
		{create, 404, nil, `{"code":404,"message":"template not found"}`, backends.Invalid, 0},
		{create, 409, nil, `{"code":409,"message":"is being paused"}`, backends.Unavailable, 0},
		{
			create, 429, nil, `{"code":429,"message":"you have reached the maximum number of concurrent E2B sandboxes (20)"}`,
			backends.QuotaExceeded, 0,
		},
		{
			create, 429, map[string]string{"Retry-After": "9"}, `{"code":429,"message":"Rate limit exceeded"}`,
			backends.RateLimited, 9 * time.Second,
		},
		{create, 429, nil, `{"code":429,"message":"Rate limit exceeded"}`, backends.RateLimited, 0},
		{create, 500, nil, `{"code":500,"message":"Failed to place sandbox","error_code":"sandbox_create_failed"}`, backends.Ambiguous, 0},
		{create, 502, nil, `<html>bad gateway</html>`, backends.Ambiguous, 0},
		{
			create, 503, nil, `{"code":503,"message":"no capacity","error_code":"sandbox_capacity_unavailable"}`, backends.Unavailable, 0,
		},
		{create, 503, nil, `upstream connect error`, backends.Ambiguous, 0},
		{create, 504, nil, `{"code":504,"error_code":"sandbox_placement_timeout"}`, backends.Ambiguous, 0},
		{create, 201, nil, `{"sandboxID":"../escape"}`, backends.Ambiguous, 0},
		{create, 201, nil, `not JSON`, backends.Ambiguous, 0},
		{destroy, 404, nil, `{"code":404,"message":"sandbox not found"}`, backends.NotFound, 0},
		{destroy, 409, nil, `{"code":409,"message":"is being snapshotted"}`, backends.Unavailable, 0},
		{destroy, 500, nil, `{"code":500,"message":"error"}`, backends.Ambiguous, 0},
		{destroy, 504, nil, ``, backends.Ambiguous, 0},
	} {
		g := NewWithT(t)
		cloud := newCloud(t, fake.Options{})
		b := connectTo(t, cloud)
		cloud.Fail(fake.Fault{Status: c.status, Header: c.header, Body: c.body})
		var err error
		if c.method == create {
			_, err = b.Create(t.Context(), wanted)
		} else {
			err = b.Destroy(t.Context(), "i0123456789")
		}
		g.Expect(err).To(MatchError(c.code), "%s answered %d %s", c.method, c.status, c.body)
		g.Expect(backends.RetryAfter(err)).To(Equal(c.delay))
		_, err = b.Get(t.Context(), "i0123456789")
		g.Expect(backends.CodeOf(err)).NotTo(Equal(backends.Ambiguous), "nobody who only asks changes anything")
	}
}

func TestACreationWhoseAnswerIsLostIsFoundByItsMark(t *testing.T) {
	g := NewWithT(t)
	cloud := newCloud(t, fake.Options{})
	b := connectTo(t, cloud)
	cloud.Fail(fake.Fault{Method: http.MethodPost, Prefix: "/sandboxes", AfterEffect: true, Status: http.StatusBadGateway, Times: 1})
	_, err := b.Create(t.Context(), wanted)
	g.Expect(err).To(MatchError(backends.Ambiguous))
	found, err := b.List(t.Context(), backends.Filter{Installation: "here", UID: "uid-1"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(HaveLen(1))
	g.Expect(found[0].Mark).To(Equal(wanted.Mark))
}

func TestASandboxThatEndsInTheMiddleOfACommand(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		end   func(*fake.Cloud, string) bool
		words string
	}{
		"killed": {(*fake.Cloud).Kill, "the sandbox ended while the command ran"},
		"paused": {(*fake.Cloud).Pause, "the sandbox was paused while the command ran"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			cloud := newCloud(t, fake.Options{})
			b := connectTo(t, cloud)
			id := mustCreate(t, b, wanted).ID
			failed := make(chan error, 1)
			go func() {
				_, err := b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"sh", "-c", ": > /tmp/started; sleep 60"}})
				failed <- err
			}()
			g.Eventually(func() bool {
				there, err := backends.Exists(t.Context(), b, id, "/tmp/started")
				return err == nil && there
			}).WithTimeout(20 * time.Second).Should(BeTrue())
			g.Expect(c.end(cloud, id)).To(BeTrue())
			var err error
			g.Eventually(failed).WithTimeout(20 * time.Second).Should(Receive(&err))
			g.Expect(err).To(MatchError(backends.Ambiguous))
			g.Expect(err).To(MatchError(ContainSubstring(c.words)))
			typed, _ := errors.AsType[*backends.Error](err)
			g.Expect(typed.OfRequest).To(BeTrue(), "it says nothing about other sandboxes")
		})
	}
}

func TestASandboxWhoseHostDoesNotAnswerWhileTheAPIDoes(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		fault fake.Fault
		code  backends.Code
		words string
	}{
		"the host does not know it": {
			fake.Fault{Status: http.StatusBadGateway, Body: `{"sandboxId":"i","message":"The sandbox was not found","code":502}`},
			backends.Unavailable, "the sandbox's host does not know it",
		},
		"its daemon does not listen": {
			fake.Fault{Status: http.StatusBadGateway, Body: `{"sandboxId":"i","message":"port is not open","port":49983,"code":502}`},
			backends.Unavailable, "its daemon does not answer",
		},
		"too many connections": {
			fake.Fault{
				Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3"},
				Body: `{"code":429,"message":"too many"}`,
			},
			backends.RateLimited, "too many connections",
		},
		"a gateway fails": {fake.Fault{Status: http.StatusGatewayTimeout, Body: "<html>"}, backends.Ambiguous, "504"},
		"it is cut":       {fake.Fault{Cut: true}, backends.Ambiguous, "was lost before its answer"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			cloud := newCloud(t, fake.Options{})
			b := connectTo(t, cloud)
			id := mustCreate(t, b, wanted).ID
			c.fault.Plane = fake.PlaneSandbox
			undo := cloud.Fail(c.fault)
			_, err := b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
			g.Expect(err).To(MatchError(c.code))
			g.Expect(err).To(MatchError(ContainSubstring(c.words)))
			_, err = b.Stat(t.Context(), id, "/tmp")
			g.Expect(err).NotTo(MatchError(backends.Ambiguous))
			g.Expect(err).To(HaveOccurred())
			_, err = b.Get(t.Context(), id)
			g.Expect(err).NotTo(HaveOccurred())
			undo()
			_, err = b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
}

func TestATokenThatIsRefusedIsAskedForAgainOnce(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	cloud := newCloud(t, fake.Options{})
	b := connectTo(t, cloud)
	id := mustCreate(t, b, wanted).ID
	wrong, _ := b.places.find(id)
	wrong.token = "old"
	b.places.keep(id, wrong)
	result, err := b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"echo", "ran"}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(result.Stdout)).To(Equal("ran\n"))

	cloud.Fail(fake.Fault{Plane: fake.PlaneSandbox, Status: http.StatusUnauthorized, Body: `{"code":401,"message":"unauthorized"}`})
	before := len(cloud.Requests())
	_, err = b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
	g.Expect(err).To(MatchError(backends.Unavailable))
	g.Expect(len(cloud.Requests())-before).To(Equal(3), "a call, a look, and the call again")
}

func TestACertificateThatIsNotTrusted(t *testing.T) {
	g := NewWithT(t)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	config := backends.Config{
		Credentials: map[string][]byte{keyName: []byte(fake.Key)}, Endpoint: server.URL,
		Parameters: []byte(`{"domain":"e2b.example.com"}`), Reach: backends.Reach{Trusted: true},
	}
	_, err := connectWith(t, config).Create(t.Context(), wanted)
	g.Expect(err).To(MatchError(backends.Unavailable))
	g.Expect(err).To(MatchError(ContainSubstring("spec.caBundle")))
	config.CABundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	_, err = connectWith(t, config).Get(t.Context(), "i0123456789")
	g.Expect(err).To(MatchError(backends.NotFound))
}

// tlsOf is a certificate for the loopback, and the bundle that trusts it.
func tlsOf(t *testing.T) (*tls.Config, []byte) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12}, bundle
}

func TestNothingOfASecretReachesE2BsOwnRecords(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	const secret = "xyzzy-9f8e7d6c-plugh"
	cloud := newCloud(t, fake.Options{})
	b := connectTo(t, cloud)
	id := mustCreate(t, b, wanted).ID
	result, err := b.RunCommand(t.Context(), id, backends.Command{
		Argv: []string{"sh", "-c", `echo "$TOKEN"; cat`}, Env: map[string]string{"TOKEN": secret}, Stdin: []byte(secret + "\n"),
		Timeout: time.Minute,
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(result.Stdout)).To(Equal(secret + "\n" + secret + "\n"))
	g.Expect(b.WriteFile(t.Context(), id, "/workspace/key", []byte(secret), 0o600)).To(Succeed())
	g.Expect(b.WriteFile(t.Context(), id, "/workspace/public", []byte(secret), 0o644)).To(Succeed())
	content, err := b.ReadFile(t.Context(), id, "/workspace/key", 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(content)).To(Equal(secret))

	g.Expect(cloud.Logged()).To(ContainSubstring("/process.Process/Start"), "the logs of sandboxes must be looked at")
	g.Expect(cloud.Logged()).NotTo(ContainSubstring(secret), "envd sends what it is asked to E2B's logs")
	for _, r := range cloud.Requests() {
		g.Expect(r.Path + r.Query + r.Body).NotTo(ContainSubstring(secret))
		g.Expect(r.Path + r.Query).NotTo(ContainSubstring(fake.Key))
	}
}

func TestTheAPIKeyStaysOutOfSandboxes(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	cloud := newCloud(t, fake.Options{})
	var leaked []string
	spy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(strings.Join(r.Header["X-Api-Key"], ""), fake.Key) {
			leaked = append(leaked, r.URL.Path)
		}
		http.Error(w, "no", http.StatusTeapot)
	}))
	defer spy.Close()
	config := configOf(cloud)
	config.Parameters = []byte(`{"sandboxURL":"` + spy.URL + `"}`)
	b := connectWith(t, config)
	id := mustCreate(t, b, wanted).ID
	_, err := b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
	g.Expect(err).To(HaveOccurred())
	_, err = b.ReadFile(t.Context(), id, "/etc/hostname", 0)
	g.Expect(err).To(HaveOccurred())
	g.Expect(leaked).To(BeEmpty())
}

func TestACallThatIsGivenUpLeavesTheCommandAlone(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	cloud := newCloud(t, fake.Options{})
	b := connectTo(t, cloud)
	id := mustCreate(t, b, wanted).ID
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := b.RunCommand(ctx, id, backends.Command{Argv: []string{"sh", "-c", "sleep 2; : > /tmp/went-on"}})
	g.Expect(err).To(MatchError(backends.Ambiguous))
	g.Eventually(func() bool {
		there, err := backends.Exists(t.Context(), b, id, "/tmp/went-on")
		return err == nil && there
	}).WithTimeout(20*time.Second).Should(BeTrue(), "envd must not be told the caller's deadline")
}

func TestAWorkingDirectoryThatOnlyRootCanMakeIsMade(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	cloud := newCloud(t, fake.Options{})
	b := connectTo(t, cloud)
	asked := wanted
	asked.WorkingDir, asked.Source.Template = "/workspace/deep", fake.TemplateCode
	id := mustCreate(t, b, asked).ID
	code, err := b.RunCode(t.Context(), id, backends.SourceCode{Language: "python", Source: "import os; print(os.getcwd())"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(code.Stdout)).To(Equal("/workspace/deep\n"))
	id = mustCreate(t, b, asked).ID
	for range 2 {
		result, err := b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"sh", "-c", "pwd; id -un; : > mine"}})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(result.Stdout)).To(Equal("/workspace/deep\nuser\n"))
	}
	asked.WorkingDir = "/etc/passwd/below"
	id = mustCreate(t, b, asked).ID
	_, err = b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
	g.Expect(err).To(MatchError(backends.Invalid))
}
