// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/backend"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
)

// token is what the provider wants.
const token = "chaos-token"

// scene is a namespace with a manager and a provider of its own.
type scene struct {
	*Stage
	plan      Plan
	namespace string
	dir       string
	timeline  *Timeline
	proxy     *apiproxy.Proxy
	control   fake.Control
	provider  *exec.Cmd
	// lifeline ends the provider when it is closed.
	lifeline io.Closer
	// period is how often the manager looks after its providers.
	period time.Duration

	mu      sync.Mutex
	manager *manager
	// kills are how often the manager was killed.
	kills int
}

// manager is one process of the manager's program.
type manager struct {
	command *exec.Cmd
	ended   chan struct{}
}

// newScene makes the surroundings of a run. Close it.
func (s *Stage) newScene(ctx context.Context, plan Plan) (*scene, error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "chaos-"}}
	if err := s.client.Create(ctx, namespace); err != nil {
		return nil, err
	}
	c := &scene{
		Stage: s, plan: plan, namespace: namespace.Name, dir: filepath.Join(s.dir, namespace.Name), timeline: newTimeline(),
		period: time.Second,
	}
	if err := c.open(ctx); err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}

func (c *scene) open(ctx context.Context) error {
	err := errors.Join(os.Mkdir(c.dir, 0o700), os.Mkdir(c.runsDir(), 0o700))
	if err != nil {
		return err
	}
	if c.proxy, err = apiproxy.Start(c.plane.Config); err != nil {
		return err
	}
	if err := c.proxy.WriteKubeconfig(filepath.Join(c.dir, "kubeconfig")); err != nil {
		return err
	}
	return c.startProvider(ctx)
}

// startProvider starts the fake, and waits until it says where it listens.
func (c *scene) startProvider(ctx context.Context) error {
	arguments := []string{"--dir=" + c.remotesDir(), "--token=" + token, "--list-lag=" + c.plan.ListLag.String()}
	if c.plan.Flavour == backend.Named {
		arguments = append(arguments, "--unique-names")
	}
	c.provider = exec.Command(c.program("provider"), arguments...) //nolint:noctx // it ends with its input
	c.provider.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	c.provider.Stderr = os.Stderr
	var err error
	if c.lifeline, err = c.provider.StdinPipe(); err != nil {
		return err
	}
	output, err := c.provider.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.provider.Start(); err != nil {
		c.provider = nil
		return err
	}
	url, err := bufio.NewReader(output).ReadString('\n')
	c.control = fake.Control{URL: strings.TrimSpace(url)}
	for _, fault := range c.plan.Faults {
		err = errors.Join(err, c.control.Inject(ctx, fault))
	}
	return err
}

func (c *scene) remotesDir() string { return filepath.Join(c.dir, "remotes") }

// runsDir is where each command leaves a line for each time it runs.
func (c *scene) runsDir() string { return filepath.Join(c.dir, "runs") }

func (c *scene) logFile() string { return filepath.Join(c.dir, "manager.log") }

// startManager starts the manager, and does not wait for it.
func (c *scene) startManager() error {
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	command := exec.Command(c.program("manager"), //nolint:noctx // it is killed
		"--backends="+c.plan.Flavour, "--chaos-url="+c.control.URL, "--chaos-dir="+c.remotesDir(), "--chaos-namespace="+c.namespace,
		"--namespace="+operatorNamespace, "--installation-id="+c.namespace, "--provider-period="+c.period.String(), "--orphan-grace=1s",
		"--health-probe-bind-address=0", "--zap-devel=false")
	command.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(c.dir, "kubeconfig"))
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return err
	}
	m := &manager{command: command, ended: make(chan struct{})}
	go func() {
		_ = command.Wait()
		close(m.ended)
	}()
	c.manager = m
	c.timeline.addf("chaos", "the manager starts (process %d)", command.Process.Pid)
	return nil
}

// killManager ends the manager by SIGKILL, and returns when it is dead.
func (c *scene) killManager() {
	if c.manager == nil {
		return
	}
	_ = c.manager.command.Process.Kill()
	<-c.manager.ended
	c.manager = nil
}

// restart kills the manager and starts another.
func (c *scene) restart(why string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killManager()
	c.kills++
	c.timeline.addf("chaos", "KILLED the manager: %s", why)
	return c.startManager()
}

// died says whether the manager ended by itself.
func (c *scene) died() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.manager == nil {
		return false
	}
	select {
	case <-c.manager.ended:
		return true
	default:
		return false
	}
}

// ambush kills the manager when it comes to the point. The channel gets nil when that has happened.
func (c *scene) ambush(ctx context.Context, p Point) (<-chan error, error) {
	ctx, release := context.WithCancel(ctx)
	reached, let, err := c.trap(ctx, p)
	if err != nil {
		release()
		return nil, err
	}
	struck := make(chan error, 1)
	go func() {
		defer release()
		defer let()
		select {
		case <-reached:
			err := c.restart(p.String())
			if p.When == Late {
				c.pass(ctx, lateness)
			}
			struck <- err
		case <-ctx.Done():
		}
	}()
	return struck, nil
}

// lateness is how long after the death of its caller a late call has its effect.
const lateness = time.Second

func (c *scene) pass(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// trap stops the call of the point. It returns a channel that is closed when the call stands, and what lets it go on.
func (c *scene) trap(ctx context.Context, p Point) (<-chan struct{}, func(), error) {
	if p.Side == API {
		hold := c.proxy.HoldRequest
		if p.When == After {
			hold = c.proxy.HoldAnswer
		}
		h := hold(p.matches())
		return h.Reached(), h.Remove, nil
	}
	ctx, release := context.WithCancel(ctx)
	reached, err := c.control.Trap(ctx, p.Call, p.When)
	if err != nil {
		release()
		return nil, nil, err
	}
	return reached, release, nil
}

// note puts what the API server and the provider saw into the timeline.
func (c *scene) note(state fake.State) {
	for _, request := range c.proxy.Since(0, func(r apiproxy.Request) bool { return apiKey(r) != "" }) {
		c.timeline.addAtf(request.Time, "api", "%s", request)
	}
	for _, call := range state.Calls {
		c.timeline.addAtf(call.Began, "provider", "%s (account %s): %s", call.Point(), call.Account, call.Outcome)
	}
	for _, remote := range state.Remotes {
		c.timeline.addf("provider", "has %s: sandbox %s, incarnation %d, %s, since %s", remote.ID, remote.Mark.Name,
			remote.Mark.Incarnation, remote.State, remote.CreatedAt.Sub(c.timeline.began).Round(time.Millisecond))
	}
}

// watch notes each change of an object's state until the context ends.
func (c *scene) watch(ctx context.Context, work *sync.WaitGroup) error {
	for _, list := range []client.ObjectList{&v1alpha1.SandboxList{}, &v1alpha1.SandboxExecList{}, &v1alpha1.SandboxProviderList{}} {
		watcher, err := c.client.Watch(ctx, list, client.InNamespace(c.namespace))
		if err != nil {
			return err
		}
		work.Go(func() {
			defer watcher.Stop()
			last := map[string]string{}
			for change := range watcher.ResultChan() {
				object, ok := change.Object.(client.Object)
				if !ok {
					continue
				}
				now := fmt.Sprintf("%s %s: %s", strings.ToLower(string(change.Type)), object.GetName(), stateOf(object))
				if last[object.GetName()] != now {
					last[object.GetName()] = now
					c.timeline.addf("object", "%s", now)
				}
			}
		})
	}
	return nil
}

// stateOf is what a person looks at first.
func stateOf(object client.Object) string {
	var parts []string
	var conditions []metav1.Condition
	switch o := object.(type) {
	case *v1alpha1.Sandbox:
		conditions = o.Status.Conditions
		parts = append(parts, "Sandbox", string(o.Status.State), o.Status.SandboxID)
		if journal := o.Annotations[v1alpha1.JournalAnnotation]; journal != "" {
			parts = append(parts, "journal "+entry.FindString(journal))
		}
	case *v1alpha1.SandboxExec:
		conditions = o.Status.Conditions
		parts = append(parts, "SandboxExec", string(o.Status.Outcome))
	case *v1alpha1.SandboxProvider:
		conditions = o.Status.Conditions
		parts = append(parts, "SandboxProvider")
	}
	for _, condition := range conditions {
		parts = append(parts, fmt.Sprintf("%s=%s/%s", condition.Type, condition.Status, condition.Reason))
	}
	if finalizers := object.GetFinalizers(); object.GetDeletionTimestamp() != nil {
		parts = append(parts, fmt.Sprintf("being deleted, held by %v", finalizers))
	}
	return strings.Join(parts, " ")
}

// entry is the part of a journal that tells one entry from another.
var entry = regexp.MustCompile(`"incarnation":\d+,"attempt":\d+`)

// log is the end of what the managers logged.
func (c *scene) log() string {
	log, _ := os.ReadFile(c.logFile())
	const most = 6000
	return string(log[max(0, len(log)-most):])
}

// Close ends the scene's processes, and forgets its files.
func (c *scene) Close(ctx context.Context) error {
	c.mu.Lock()
	c.killManager()
	c.mu.Unlock()
	var failures []error
	if c.provider != nil {
		failures = append(failures, c.lifeline.Close(), c.provider.Wait())
	}
	if c.proxy != nil {
		failures = append(failures, c.proxy.Close())
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.namespace}}
	failures = append(failures, client.IgnoreNotFound(c.client.Delete(context.WithoutCancel(ctx), namespace)))
	return errors.Join(append(failures, os.RemoveAll(c.dir))...)
}
