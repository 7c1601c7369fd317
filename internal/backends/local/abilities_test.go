// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// leased makes a sandbox that ends after so long.
func (h *host) leased(name string, lifetime time.Duration) (string, remoteDir) {
	h.t.Helper()
	r := request(name)
	r.Lifetime = lifetime
	id := h.create(r).ID
	return id, (&store{root: h.root}).remote(id)
}

// untilGone waits until nothing of a remote is left, without asking the backend, which would see to it.
func (h *host) untilGone(d remoteDir) {
	h.t.Helper()
	g := NewWithT(h.t)
	g.Eventually(func() ([]string, error) { return filepath.Glob(string(d)) }).WithTimeout(30 * time.Second).Should(BeEmpty())
	g.Eventually(func() []string { return processesUnder(string(d)) }).WithTimeout(10 * time.Second).Should(BeEmpty())
	g.Eventually(func() ([]string, error) { return filepath.Glob(h.root + "/tmp/*") }).WithTimeout(10 * time.Second).Should(BeEmpty())
}

func TestALeaseEndsASandboxWithNoOperatorInSight(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	r := request("box")
	r.Lifetime = 3 * time.Second
	r.Resources.MemoryBytes = 256 << 20 // so that there is a cgroup to be removed
	limited := true
	if _, err := h.Create(t.Context(), r); err != nil { // this machine can't limit memory
		limited = false
		r.Resources.MemoryBytes = 0
		h.create(r)
	}
	d := (&store{root: h.root}).remote("box")
	rec, err := readRecord(d)
	g.Expect(err).NotTo(HaveOccurred())
	h.untilGone(d)
	if limited {
		g.Expect(filepath.Glob("/sys/fs/cgroup/*/" + rec.Cgroup)).To(BeEmpty())
	}
	_, err = h.Get(t.Context(), "box")
	g.Expect(err).To(MatchError(backends.NotFound))
}

func TestALeaseEndsASandboxThatIsPausedOrDead(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	paused, pausedDir := h.leased("paused", 5*time.Second)
	g.Expect(h.Pause(t.Context(), paused)).To(Succeed())
	_, deadDir := h.leased("dead", 3*time.Second)
	g.Expect(syscall.Kill(sandboxProcess(deadDir, deadDir.sentry()), syscall.SIGKILL)).To(Succeed())
	h.untilGone(pausedDir)
	h.untilGone(deadDir)
}

func TestARenewedLeaseKeepsItsKeeperAndAShorterOneWakesIt(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id, d := h.leased("box", time.Minute)
	keeper := 0
	g.Eventually(func() int { keeper = sandboxProcess(d, d.keeper()); return keeper }).WithTimeout(5 * time.Second).ShouldNot(BeZero())
	g.Expect(h.SetLifetime(t.Context(), id, time.Hour)).To(Succeed())
	g.Expect(sandboxProcess(d, d.keeper())).To(Equal(keeper), "a renewal starts no process")
	g.Expect(h.SetLifetime(t.Context(), id, 2*time.Second)).To(Succeed())
	h.untilGone(d)
}

func TestALiftedLeaseLeavesNoKeeper(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id, d := h.leased("box", time.Hour)
	g.Expect(h.SetLifetime(t.Context(), id, 0)).To(Succeed())
	g.Expect(sandboxProcess(d, d.keeper())).To(BeZero())
	remote, err := h.Get(t.Context(), id)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(remote.ExpiresAt).To(BeZero())
}

func TestAKilledKeeperIsReplaced(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	kill := func(d remoteDir) {
		g.Expect(syscall.Kill(sandboxProcess(d, d.keeper()), syscall.SIGKILL)).To(Succeed())
		g.Eventually(func() int { return sandboxProcess(d, d.keeper()) }).Should(BeZero())
	}
	renewed, renewedDir := h.leased("renewed", time.Hour)
	kill(renewedDir)
	g.Expect(h.SetLifetime(t.Context(), renewed, 2*time.Hour)).To(Succeed())
	g.Eventually(func() int { return sandboxProcess(renewedDir, renewedDir.keeper()) }).WithTimeout(5 * time.Second).ShouldNot(BeZero())

	forgotten, forgottenDir := h.leased("forgotten", time.Hour)
	kill(forgottenDir)
	g.Expect(forgottenDir.writeLease(time.Now().Add(-time.Minute))).To(Succeed())
	look := func() error {
		_, err := h.Get(t.Context(), forgotten)
		return err
	}
	g.Eventually(look).WithTimeout(20*time.Second).Should(MatchError(backends.NotFound), "who looks at it has it ended")
	h.untilGone(forgottenDir)
}

func TestPauseStopsProcessesAndResumeLetsThemGoOn(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	h.sh(id, "while :; do echo x >>/workspace/turns; sleep 0.05; done >/dev/null 2>&1 &")
	turns := func() int {
		content, _ := os.ReadFile((&store{root: h.root}).remote(id).work() + "/turns")
		return len(content)
	}
	g.Eventually(turns).WithTimeout(10 * time.Second).Should(BeNumerically(">", 2))
	g.Expect(h.Pause(t.Context(), id)).To(Succeed())
	before := turns()
	g.Consistently(turns).WithTimeout(500 * time.Millisecond).Should(Equal(before))
	g.Expect(h.Resume(t.Context(), id)).To(Succeed())
	g.Eventually(turns).WithTimeout(10 * time.Second).Should(BeNumerically(">", before))

	d := (&store{root: h.root}).remote(id)
	g.Expect(syscall.Kill(sandboxProcess(d, d.sentry()), syscall.SIGKILL)).To(Succeed())
	g.Eventually(func() backends.State { return h.state(id) }).WithTimeout(15 * time.Second).Should(Equal(backends.StateStopped))
	g.Expect(h.Pause(t.Context(), id)).To(MatchError(backends.NotRunning))
	g.Expect(h.Resume(t.Context(), id)).To(MatchError(backends.NotRunning))
}

func TestTheSandboxsUserRunsCommandsThatNameNone(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	r := request("box")
	r.User = "user"
	id := h.create(r).ID
	g.Expect(h.sh(id, "id -u; touch /workspace/mine && echo mine").Stdout).To(BeEquivalentTo("1000\nmine\n"))
	other := h.runCommand(id, backends.Command{Argv: []string{"id", "-u"}, User: "root"})
	g.Expect(other.Stdout).To(BeEquivalentTo("0\n"))
	r = request("other")
	r.User = "nobody-knows"
	_, err := h.Create(t.Context(), r)
	g.Expect(err).To(MatchError(backends.Invalid))
	g.Expect(err).To(MatchError(ContainSubstring(`no user "nobody-knows"`)))
	g.Expect(h.List(t.Context(), backends.Filter{})).To(HaveLen(1))
}

func TestANetworkIsRefusedAndNoneIsGiven(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	for _, policy := range []backends.NetworkPolicy{backends.NetworkAllow, backends.NetworkRestricted} {
		r := request("box")
		r.Network.Policy = policy
		_, err := h.Create(t.Context(), r)
		g.Expect(err).To(MatchError(backends.Unsupported))
		g.Expect(err).To(MatchError(ContainSubstring("Deny only")))
	}
	r := request("box")
	r.Network.Policy = backends.NetworkDeny
	id := h.create(r).ID
	g.Expect(strings.Count(string(h.sh(id, "cat /proc/net/dev").Stdout), ":")).To(Equal(1), "there is nothing but lo")
	g.Expect(string(h.sh(id, "cat /proc/net/route").Stdout)).NotTo(ContainSubstring("00000000\t"), "nothing leads out")
}

// pongServer answers a line on a port of the sandbox with the same.
func (h *host) pongServer(id, port string) {
	h.t.Helper()
	const program = `use IO::Socket::INET;
my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ARGV[0], Listen => 5, ReuseAddr => 1) or die;
open(my $up, '>', '/workspace/up'); close $up;
while (my $c = $s->accept) { my $line = <$c>; print $c "pong $line"; close $c }`
	NewWithT(h.t).Expect(h.sh(id, "command -v perl").ExitCode).To(BeZero(), "the test needs perl under /usr")
	h.run(id, "/bin/sh", "-c", `perl -e "$1" "$2" >/dev/null 2>/workspace/err & `+
		`while ! [ -e /workspace/up ]; do sleep 0.05; kill -0 $! || { cat /workspace/err; exit 1; }; done`, "sh", program, port)
}

func (h *host) endpoint(b *backend, id string) string {
	h.t.Helper()
	endpoint, err := b.Endpoint(h.t.Context(), id, backends.Port{Number: 8080, Protocol: backends.ProtocolTCP})
	NewWithT(h.t).Expect(err).NotTo(HaveOccurred())
	return strings.TrimPrefix(endpoint.URL, "tcp://")
}

// ask sends a line to an address, and returns the answer, or the error.
func ask(address string) string {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	tcp, _ := conn.(*net.TCPConn)
	_, _ = conn.Write([]byte("ping\n"))
	_ = tcp.CloseWrite()
	content, err := io.ReadAll(conn)
	if err != nil {
		return err.Error()
	}
	return string(content)
}

func TestAnEndpointReachesThePortAndSurvivesTheOperator(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	h.pongServer(id, "8080")
	address := h.endpoint(h.backend, id)
	g.Expect(address).To(HavePrefix("127.0.0.1:"))
	g.Expect(ask(address)).To(Equal("pong ping\n"))

	relaysOf(h.root).closeAll(id) // as the end of the process does
	g.Expect(ask(address)).To(ContainSubstring("refused"))
	next := h.another()
	_, err := next.List(t.Context(), backends.Filter{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ask(address)).To(Equal("pong ping\n"), "the next operator opens it again, unasked")
	g.Expect(h.endpoint(next, id)).To(Equal(address))

	g.Expect(h.Destroy(t.Context(), id)).To(Succeed())
	g.Expect(ask(address)).To(ContainSubstring("refused"))
}

func TestAnEndpointWithNothingBehindItEndsConnectionsAndGoesWithItsSandbox(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id, d := h.leased("box", 4*time.Second)
	address := h.endpoint(h.backend, id)
	g.Expect(ask(address)).To(Or(BeEmpty(), ContainSubstring("reset")))
	h.untilGone(d)
	g.Eventually(func() string {
		_, _ = h.List(t.Context(), backends.Filter{})
		return ask(address)
	}).WithTimeout(10 * time.Second).Should(ContainSubstring("refused"))
	_, err := h.Endpoint(t.Context(), id, backends.Port{Number: 80, Protocol: backends.ProtocolHTTP})
	g.Expect(err).To(MatchError(backends.NotFound))
}
