// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func lifecycleChecks() []Check {
	return []Check{
		{"creates a remote from each source, runs commands in it, and destroys it", createsAndDestroys},
		{"says NotFound of a remote that never was", absentIsNotFound},
		{"says NotFound of a destroyed remote, whatever is asked of it", destroyedIsNotFound},
		{"refuses a second remote of the same name, and finds the first by it", namesAreUnique},
		{"refuses what its capabilities don't have, and creates nothing", refusesMissingCapabilities},
		{"gives commands the remote's own environment and working directory", createdWithEnvironment},
		{"keeps the files of two remotes apart", remotesAreSeparate},
	}
}

func createsAndDestroys(t *T) {
	for _, source := range t.Sources {
		request := t.request()
		request.Source = source
		created := t.create(request)
		if age := t.now().Sub(created.CreatedAt).Abs(); age > 5*time.Minute {
			t.Errorf("a remote that was just created says that it was created at %s", created.CreatedAt)
		}
		if source.Image != "" && !strings.Contains(created.Image, "sha256:") {
			t.Errorf("a remote of image %s says its image is %q: not resolved to a digest", source.Image, created.Image)
		}
		t.wantSame("Get", t.get(created.ID), created, request)
		if output := t.shell(created.ID, "echo $((6*7))"); output != "42\n" {
			t.Errorf("a command in a new remote of source %+v printed %q", source, output)
		}
		if err := t.Backend.Destroy(t.ctx, created.ID); err != nil {
			t.Fatalf("destroying a running remote: %v", err)
		}
		t.untilGone(created.ID)
	}
}

func (t *T) get(id string) backends.Remote {
	remote, err := t.Backend.Get(t.ctx, id)
	if err != nil {
		t.Fatalf("getting a remote that exists: %v", err)
	}
	return remote
}

// wantSame complains where a remote is not what was created.
func (t *T) wantSame(who string, got, created backends.Remote, request backends.CreateRequest) {
	if got.ID != created.ID {
		t.Errorf("%s says the ID is %q; Create said %q", who, got.ID, created.ID)
	}
	if got.Mark != request.Mark {
		t.Errorf("%s says the mark is %+v; Create was given %+v", who, got.Mark, request.Mark)
	}
	if !maps.Equal(got.Labels, request.Labels) {
		t.Errorf("%s says the labels are %q; Create was given %q", who, got.Labels, request.Labels)
	}
	if !got.CreatedAt.Equal(created.CreatedAt) {
		t.Errorf("%s says it was created at %s; Create said %s", who, got.CreatedAt, created.CreatedAt)
	}
	if _, ok := t.Backend.(backends.NameFinder); ok && got.Name != request.Name {
		t.Errorf("%s says the name is %q; Create was given %q", who, got.Name, request.Name)
	}
	if got.State != backends.StateRunning {
		t.Errorf("%s says the running remote is %s", who, got.State)
	}
}

// wantNotFound complains where any operation on an ID fails in another way than with NotFound.
func (t *T) wantNotFound(id string) {
	file := path.Join(t.Scratch(id), "file")
	_, getErr := t.Backend.Get(t.ctx, id)
	_, runErr := t.Backend.RunCommand(t.ctx, id, backends.Command{Argv: []string{"true"}})
	_, readErr := backends.ReadFile(t.ctx, t.Backend, id, file, 0)
	_, listErr := backends.ReadDir(t.ctx, t.Backend, id, path.Dir(file))
	_, statErr := backends.Stat(t.ctx, t.Backend, id, file)
	_, existsErr := backends.Exists(t.ctx, t.Backend, id, file)
	for _, a := range t.abilities() {
		if a.has && t.can(a.capability) {
			t.wantCode(a.name+" of a remote that does not exist", a.call(id), backends.NotFound)
		}
	}
	for what, err := range map[string]error{
		"Get": getErr, "RunCommand": runErr, "ReadFile": readErr, "ReadDir": listErr, "Stat": statErr, "Exists": existsErr,
		"Destroy":   t.Backend.Destroy(t.ctx, id),
		"WriteFile": backends.WriteFile(t.ctx, t.Backend, id, file, []byte("x"), 0o600),
		"MakeDir":   backends.MakeDir(t.ctx, t.Backend, id, path.Dir(file)),
		"Remove":    backends.Remove(t.ctx, t.Backend, id, file),
	} {
		t.wantCode(what+" of a remote that does not exist", err, backends.NotFound)
	}
}

func absentIsNotFound(t *T) {
	// An ID of the provider's own form, but nobody's: the last character of a real one, changed.
	id := []byte(t.remote())
	if last := &id[len(id)-1]; *last == 'a' {
		*last = 'b'
	} else {
		*last = 'a'
	}
	t.wantNotFound(string(id))
	if finder, ok := t.Backend.(backends.NameFinder); ok {
		_, err := finder.FindByName(t.ctx, "sbx-"+unique()+"-1")
		t.wantCode("FindByName of a name that nobody has", err, backends.NotFound)
	}
}

func destroyedIsNotFound(t *T) {
	created := t.create(t.request())
	if err := t.Backend.Destroy(t.ctx, created.ID); err != nil {
		t.Fatalf("destroying a running remote: %v", err)
	}
	t.untilGone(created.ID)
	t.wantNotFound(created.ID)
	t.eventually("List still has a remote of which Get says NotFound", func() bool {
		return len(t.list(t.Backend, backends.Filter{UID: created.Mark.UID})) == 0
	})
}

func namesAreUnique(t *T) {
	finder, ok := t.Backend.(backends.NameFinder)
	if !ok {
		t.Skip("the backend has no unique names")
	}
	request := t.request()
	created := t.create(request)
	second := t.request()
	second.Name = request.Name
	if twin, err := t.Backend.Create(t.ctx, second); err != nil {
		t.wantCode("a second Create with the same name", err, backends.AlreadyExists)
	} else {
		t.destroy(twin.ID)
		t.Errorf("two remotes have the name %s: a create that is repeated after a crash makes a second one", request.Name)
	}
	t.eventually("FindByName does not find a remote that exists", func() bool {
		found, err := finder.FindByName(t.ctx, request.Name)
		if err == nil {
			t.wantSame("FindByName", found, created, request)
		}
		return err == nil
	})
	if err := t.Backend.Destroy(t.ctx, created.ID); err != nil {
		t.Fatalf("destroying a remote: %v", err)
	}
	t.untilGone(created.ID)
	_, err := finder.FindByName(t.ctx, request.Name)
	t.wantCode("FindByName of a destroyed remote", err, backends.NotFound)
}

// spoils ask for what a capability would allow.
func spoils() map[backends.Capability]func(*backends.CreateRequest) {
	return map[backends.Capability]func(*backends.CreateRequest){
		backends.CapabilityImage: func(r *backends.CreateRequest) {
			r.Source = backends.Source{Image: "registry.invalid/conformance:none"}
		},
		backends.CapabilityTemplate: func(r *backends.CreateRequest) { r.Source = backends.Source{Template: "conformance-none"} },
		backends.CapabilitySnapshot: func(r *backends.CreateRequest) { r.Source = backends.Source{Snapshot: "conformance-none"} },
		backends.CapabilityResources: func(r *backends.CreateRequest) {
			r.Resources = backends.Resources{MilliCPU: 500, MemoryBytes: 256 << 20}
		},
		backends.CapabilityGPU:       func(r *backends.CreateRequest) { r.Resources.GPUs = 1 },
		backends.CapabilityUser:      func(r *backends.CreateRequest) { r.User = "nobody" },
		backends.CapabilityNetwork:   func(r *backends.CreateRequest) { r.Network.Policy = backends.NetworkDeny },
		backends.CapabilityLifetime:  func(r *backends.CreateRequest) { r.Lifetime = time.Hour },
		backends.CapabilityEndpoints: func(r *backends.CreateRequest) { r.Ports = []backends.Port{{Number: 80, Protocol: "HTTP"}} },
	}
}

func refusesMissingCapabilities(t *T) {
	tried := false
	for capability, spoil := range spoils() {
		if t.can(capability) {
			continue
		}
		tried = true
		request := t.request()
		spoil(&request)
		created, err := t.Backend.Create(t.ctx, request)
		t.wantCode(fmt.Sprintf("Create with what capability %s would allow", capability), err, backends.Unsupported)
		if err == nil {
			t.destroy(created.ID)
		}
		if left := t.list(t.Backend, backends.Filter{UID: request.Mark.UID}); len(left) > 0 && err != nil {
			t.Errorf("a refused Create left a remote: %+v", left)
		}
	}
	if !tried {
		t.Skip("the backend has all capabilities")
	}
}

func createdWithEnvironment(t *T) {
	request := t.request()
	request.Env = map[string]string{"CONFORMANCE_A": "from create", "CONFORMANCE_B": "it's $HOME \"quoted\"\nünïcödé"}
	request.WorkingDir = "/tmp/conformance-made/working dir"
	id := t.create(request).ID
	command := scriptCommand(`printf '%s|%s|%s' "$CONFORMANCE_A" "$CONFORMANCE_B" "$CONFORMANCE_C"`)
	command.Env = map[string]string{"CONFORMANCE_A": "from command", "CONFORMANCE_C": "c"}
	want := "from command|" + request.Env["CONFORMANCE_B"] + "|c"
	if output := string(t.mustRun(id, command).Stdout); output != want {
		t.Errorf("the environment is %q, not %q: the command's own goes over the remote's", output, want)
	}
	if output := t.shell(id, `printf %s "$CONFORMANCE_A"`); output != "from create" {
		t.Errorf("the remote's own environment is %q: a command's environment stays with the next command", output)
	}
	if output := t.shell(id, "pwd"); !strings.HasSuffix(output, request.WorkingDir+"\n") {
		t.Errorf("commands that name no directory start in %q, not in the remote's %q", output, request.WorkingDir)
	}
}

func remotesAreSeparate(t *T) {
	first, second := t.remote(), t.create(t.request()).ID
	for _, id := range []string{first, second} {
		file := path.Join(t.Scratch(id), "mine")
		if err := backends.WriteFile(t.ctx, t.Backend, id, file, []byte(id), 0o600); err != nil {
			t.Fatalf("writing a file: %v", err)
		}
	}
	for _, id := range []string{first, second} {
		content, err := backends.ReadFile(t.ctx, t.Backend, id, path.Join(t.Scratch(id), "mine"), 0)
		if err != nil || string(content) != id {
			t.Errorf("the file of remote %s holds %q (%v): remotes share a directory", id, content, err)
		}
	}
}
