// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugin_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// place is a namespace in which the plugin is used, and a folder of this machine.
type place struct {
	*testbed.Room
	dir string
}

func newPlace(ctx context.Context) *place {
	GinkgoHelper()
	return &place{Room: bed.NewRoom(ctx), dir: GinkgoT().TempDir()}
}

// write makes a file in the folder.
func (p *place) write(name, content string) {
	GinkgoHelper()
	Expect(os.WriteFile(p.dir+"/"+name, []byte(content), 0o600)).To(Succeed())
}

// read reads one.
func (p *place) read(name string) string {
	GinkgoHelper()
	content, err := os.ReadFile(p.dir + "/" + name)
	Expect(err).NotTo(HaveOccurred())
	return string(content)
}

// command is the plugin with these arguments, in the namespace, with no terminal.
func (p *place) command(ctx context.Context, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, program, append([]string{"-n", p.Namespace}, arguments...)...)
	command.Dir = p.dir
	command.Env = append(os.Environ(), "KUBECONFIG="+bed.Plane.Kubeconfig)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

// ran is what came of it.
type ran struct {
	Out, Err string
	Code     int
	Took     time.Duration
}

// sandbox runs the plugin to its end.
func (p *place) sandbox(ctx context.Context, arguments ...string) ran {
	GinkgoHelper()
	return p.sandboxWith(ctx, "", arguments...)
}

// sandboxWith runs it with standard input.
func (p *place) sandboxWith(ctx context.Context, stdin string, arguments ...string) ran {
	GinkgoHelper()
	command := p.command(ctx, arguments...)
	var out, errors bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &out, &errors
	began := time.Now()
	code := codeOf(command.Run())
	return ran{out.String(), errors.String(), code, time.Since(began)}
}

func codeOf(err error) int {
	GinkgoHelper()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	Expect(err).NotTo(HaveOccurred())
	return 0
}

// succeeds runs it, and returns what it printed.
func (p *place) succeeds(ctx context.Context, arguments ...string) string {
	GinkgoHelper()
	done := p.sandbox(ctx, arguments...)
	Expect(done.Code).To(BeZero(), done.Err)
	return done.Out
}

// process is the plugin while it runs.
type process struct {
	*exec.Cmd
	out, err *lockedBuffer
	ended    chan struct{}
	Code     int
}

// start starts it, and ends it with the spec.
func (p *place) start(ctx context.Context, arguments ...string) *process {
	GinkgoHelper()
	running := &process{
		Cmd: p.command(context.WithoutCancel(ctx), arguments...), out: &lockedBuffer{}, err: &lockedBuffer{}, ended: make(chan struct{}),
	}
	running.Stdout, running.Stderr = running.out, running.err
	Expect(running.Start()).To(Succeed())
	go func() {
		defer GinkgoRecover()
		defer close(running.ended)
		running.Code = codeOf(running.Wait())
	}()
	DeferCleanup(func() {
		_ = running.Process.Kill()
		<-running.ended
	})
	return running
}

// eventuallyPrints waits until standard output has a text.
func (r *process) eventuallyPrints(text string) {
	GinkgoHelper()
	Eventually(r.out.String).WithTimeout(testbed.Patience).Should(ContainSubstring(text), r.err.String)
}

// signal sends it one.
func (r *process) signal(s os.Signal) {
	GinkgoHelper()
	Expect(r.Process.Signal(s)).To(Succeed())
}

// ends waits for its end, and returns the exit code.
func (r *process) ends() int {
	GinkgoHelper()
	Eventually(r.ended).WithTimeout(testbed.Patience).Should(BeClosed(), func() string { return r.out.String() + r.err.String() })
	return r.Code
}

// lockedBuffer is written to while it is read.
type lockedBuffer struct {
	mutex sync.Mutex
	bytes bytes.Buffer
}

var _ io.Writer = &lockedBuffer{}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.bytes.Write(p)
}

// String is all that was written.
func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.bytes.String()
}
