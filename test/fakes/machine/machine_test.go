// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package machine_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/sandbox-operator/sandbox-operator/test/fakes/machine"
)

const port = 7000

// The service runs the shell line that it is sent.
func init() {
	machine.Serve("test", port, func() http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			line, _ := io.ReadAll(r.Body)
			command := exec.CommandContext(context.WithoutCancel(r.Context()), "sh", "-c", string(line))
			command.Stdout, command.Stderr = w, w
			if err := machine.StartCommand(command); err != nil {
				_, _ = io.WriteString(w, err.Error())
				return
			}
			_ = machine.WaitCommand(command)
		})
	})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type subject struct {
	*machine.Machine
	*WithT
}

func start(t *testing.T, disk, user string) subject {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("machines need root")
	}
	g := NewWithT(t)
	started, err := machine.Start(machine.Options{
		Service: "test", Disk: disk, Hostname: "box", User: user, Env: map[string]string{"GIVEN": "yes"},
	})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(started.Stop()).To(Succeed()) })
	return subject{started, g}
}

// run returns what a shell line prints in the machine.
func (s subject) run(t *testing.T, line string) string {
	t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx, port) },
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://machine/", strings.NewReader(line))
	s.Expect(err).NotTo(HaveOccurred())
	response, err := transport.RoundTrip(request)
	s.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	output, err := io.ReadAll(response.Body)
	s.Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(string(output))
}

func TestAMachineSeesItselfAlone(t *testing.T) {
	s := start(t, t.TempDir(), "daytona")
	t.Setenv("OPERATOR_SECRET", "leaked")
	s.Expect(s.run(t, "hostname; id -un; pwd; echo $GIVEN$OPERATOR_SECRET")).To(Equal("box\ndaytona\n/home/daytona\nyes"))
	// Its first process, the shell, ls and grep, and not those of the machine that the test runs on.
	s.Expect(strconv.Atoi(s.run(t, "ls /proc | grep -c '^[0-9]'"))).To(BeNumerically("<", 8))
	s.Expect(s.run(t, "ls /")).To(ContainSubstring("home"))
	s.Expect(s.run(t, "touch /usr/x 2>&1")).To(Or(ContainSubstring("Read-only"), ContainSubstring("Permission denied")))
}

func TestFilesOfAMachineStayOnItsDisk(t *testing.T) {
	disk := t.TempDir()
	first := start(t, disk, "root")
	name := filepath.Join("/tmp", filepath.Base(disk)+"-kept")
	first.Expect(first.run(t, "echo kept > "+name+" && mkdir /workspace && echo too > /workspace/file")).To(BeEmpty())
	first.Expect(name).NotTo(BeAnExistingFile(), "it is in the machine's /tmp, not in this one's")
	first.Expect(first.Stop()).To(Succeed())
	second := start(t, disk, "root")
	second.Expect(second.run(t, "cat "+name+" /workspace/file")).To(Equal("kept\ntoo"))
}

func TestStopEndsAllThatRuns(t *testing.T) {
	s := start(t, t.TempDir(), "root")
	marker := "machine-test-" + filepath.Base(t.TempDir())
	s.run(t, "MARKER="+marker+" setsid sleep 300 >/dev/null 2>&1 &")
	s.Expect(processesWith(marker)).To(Equal(1))
	s.Expect(s.Stop()).To(Succeed())
	s.Expect(processesWith(marker)).To(BeZero())
}

func processesWith(marker string) int {
	count := 0
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		content, _ := os.ReadFile(file)
		if strings.Contains(string(content), "MARKER="+marker) {
			count++
		}
	}
	return count
}

func TestOrphansAreBuried(t *testing.T) {
	s := start(t, t.TempDir(), "root")
	s.run(t, "for i in 1 2 3; do (sleep 0.01 &) ; done; sleep 0.05")
	s.Eventually(func() string { return s.run(t, "cat /proc/[0-9]*/stat | grep -c ') Z '") }).Should(Equal("0"))
}

func TestAPortWhereNothingListensIsRefused(t *testing.T) {
	s := start(t, t.TempDir(), "root")
	_, err := s.Dial(t.Context(), 9999)
	s.Expect(err).To(MatchError(machine.ErrRefused))
}
