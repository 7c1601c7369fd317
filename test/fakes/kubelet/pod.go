// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kubelet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sandbox-operator/sandbox-operator/test/fakes/machine"
)

// everything selects all objects.
type everything struct{ fields.Selector }

func (everything) String() string { return "" }

// Image tells by its name what a node does with an image: those of the host registry.invalid can't be pulled, those that have capitals
// are no names, and those with "no-shell" have no /bin/sh; where it is "no-shell-reset", a command that can't be started and has input to
// come is answered by a connection that is reset, in which the reason is lost. All others are there.
type Image string

func (i Image) trouble() (reason, message string) {
	switch name := string(i); {
	case strings.ToLower(name) != name:
		return "InvalidImageName", fmt.Sprintf("Failed to apply default image tag %q: couldn't parse image name", name)
	case strings.HasPrefix(name, "registry.invalid/"):
		return "ErrImagePull", fmt.Sprintf("failed to pull and unpack image %q: failed to resolve reference: dial tcp: "+
			"lookup registry.invalid: no such host", name)
	}
	return "", ""
}

// users are the machine's, by number.
var users = map[int64]string{0: "root", 1000: "daytona", 1001: "user", 65534: "nobody"}

// pod is one that was taken.
type pod struct {
	kubelet                  *Kubelet
	namespace, name, without string
	resets                   bool
	uid                      types.UID
	workingDir, disk, ip     string
	// news has the latest that the API server said; gone is closed when the pod is not there any more, and killed says why it was.
	news   chan *corev1.Pod
	gone   chan struct{}
	killed chan string

	mutex     sync.Mutex
	machine   *machine.Machine
	running   bool
	listeners []net.Listener
	tunnels   sync.WaitGroup
}

func newPod(k *Kubelet, found *corev1.Pod, number int) *pod {
	p := &pod{
		kubelet: k, namespace: found.Namespace, name: found.Name, uid: found.UID,
		disk: filepath.Join(k.options.Dir, string(found.UID)),
		ip:   fmt.Sprintf("127.77.%d.%d", number/250%250, number%250+1),
		news: make(chan *corev1.Pod, 1), gone: make(chan struct{}), killed: make(chan string, 1),
	}
	if len(found.Spec.Containers) > 0 {
		p.workingDir = found.Spec.Containers[0].WorkingDir
		if strings.Contains(found.Spec.Containers[0].Image, "no-shell") {
			p.without = "sh"
		}
		p.resets = strings.Contains(found.Spec.Containers[0].Image, "no-shell-reset")
	}
	if p.workingDir == "" {
		p.workingDir = "/"
	}
	return p
}

// tell replaces news that nobody has read yet.
func (p *pod) tell(found *corev1.Pod) {
	select {
	case <-p.news:
	default:
	}
	p.news <- found
}

func (p *pod) removed() { close(p.gone) }

func (p *pod) kill(reason string) {
	select {
	case p.killed <- reason:
	default:
	}
}

func (p *pod) isRunning() bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.running
}

// live is the whole life of a pod on its node.
func (p *pod) live(ctx context.Context) {
	defer p.stop()
	latest := <-p.news
	if !p.assign(ctx, latest) || !p.pull(ctx, latest) {
		p.awaitEnd(ctx, latest, nil, time.Time{})
		return
	}
	ended, err := p.start(ctx, latest)
	if err != nil {
		p.say(ctx, failedStatus(latest, err))
		p.awaitEnd(ctx, latest, nil, time.Time{})
		return
	}
	began := time.Now()
	p.say(ctx, runningStatus(latest, p.ip, began))
	p.noteRunning(ctx)
	p.awaitEnd(ctx, latest, ended, began)
}

// assign is the scheduler: pods that select nodes find none.
func (p *pod) assign(ctx context.Context, latest *corev1.Pod) bool {
	switch {
	case latest.Spec.NodeName == p.kubelet.options.Name:
		return true
	case latest.Spec.NodeName != "":
		return false
	case len(latest.Spec.NodeSelector) > 0:
		p.say(ctx, unscheduledStatus())
		return false
	}
	binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: p.kubelet.options.Name}}
	binding.Name, binding.Namespace, binding.UID = p.name, p.namespace, p.uid
	return p.kubelet.core.Pods(p.namespace).Bind(ctx, binding, metaCreate) == nil
}

// pull says what is wrong with the image.
func (p *pod) pull(ctx context.Context, latest *corev1.Pod) bool {
	reason, message := Image(latest.Spec.Containers[0].Image).trouble()
	if reason != "" {
		p.say(ctx, waitingStatus(latest, reason, message))
		return false
	}
	select {
	case <-time.After(p.kubelet.options.StartDelay):
		return true
	case <-ctx.Done():
		return false
	}
}

// start starts the machine and in it the first process, whose exit code comes through the channel.
func (p *pod) start(ctx context.Context, latest *corev1.Pod) (<-chan int, error) {
	container := &latest.Spec.Containers[0]
	if p.without == "sh" && len(container.Command) > 0 && container.Command[0] == "/bin/sh" {
		return nil, errors.New(`failed to create containerd task: failed to create shim task: OCI runtime create failed: ` +
			`runc create failed: unable to start container process: error during container init: ` +
			`exec: "/bin/sh": stat /bin/sh: no such file or directory`)
	}
	if err := p.prepare(latest); err != nil {
		return nil, err
	}
	user, known := users[*latest.Spec.SecurityContext.RunAsUser]
	if !known {
		return nil, fmt.Errorf("this node has no user %d", *latest.Spec.SecurityContext.RunAsUser)
	}
	started, err := machine.Start(machine.Options{
		Service: service, Disk: p.disk, Hostname: latest.Spec.Hostname, User: user, Env: p.environment(container),
	})
	if err != nil {
		return nil, err
	}
	p.mutex.Lock()
	p.machine = started
	p.mutex.Unlock()
	ended, err := p.startFirst(ctx, container)
	if err != nil {
		return nil, err
	}
	p.listen(container) //nolint:contextcheck // it is ended with the pod
	p.mutex.Lock()
	p.running = true
	p.mutex.Unlock()
	return ended, nil
}

// prepare makes the directories of the pod's volumes, and its working directory, as runtimes do.
func (p *pod) prepare(latest *corev1.Pod) error {
	dirs := map[string]os.FileMode{p.workingDir: 0o755}
	for _, mount := range latest.Spec.Containers[0].VolumeMounts {
		dirs[mount.MountPath] = 0o777
	}
	for dir, mode := range dirs {
		inside := filepath.Join(p.disk, dir)
		if err := os.MkdirAll(inside, 0o755); err != nil { //nolint:gosec // the pod's user goes there
			return err
		}
		if dir == "/" {
			continue
		}
		if err := os.Chmod(inside, mode); err != nil {
			return err
		}
	}
	return p.showAnnotations(latest)
}

// showAnnotations writes the files of downward API volumes.
func (p *pod) showAnnotations(latest *corev1.Pod) error {
	for i := range latest.Spec.Volumes {
		volume := &latest.Spec.Volumes[i]
		at := slices.IndexFunc(latest.Spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume.Name })
		if volume.DownwardAPI == nil || at < 0 {
			continue
		}
		for _, item := range volume.DownwardAPI.Items {
			key := strings.TrimSuffix(strings.TrimPrefix(item.FieldRef.FieldPath, "metadata.annotations['"), "']")
			file := filepath.Join(p.disk, latest.Spec.Containers[0].VolumeMounts[at].MountPath, item.Path)
			//nolint:gosec // the pod's user reads it
			if err := os.WriteFile(file+".new", []byte(latest.Annotations[key]), 0o644); err != nil {
				return err
			}
			if err := os.Rename(file+".new", file); err != nil {
				return err
			}
		}
	}
	return nil
}

// environment is the container's, in which a kubelet replaces $$ by $.
func (p *pod) environment(container *corev1.Container) map[string]string {
	env := map[string]string{}
	for _, variable := range container.Env {
		env[variable.Name] = expand(variable.Value)
		if variable.ValueFrom != nil && variable.ValueFrom.FieldRef.FieldPath == "metadata.uid" {
			env[variable.Name] = string(p.uid)
		}
	}
	return env
}

func expand(text string) string { return strings.ReplaceAll(text, "$$", "$") }

// startFirst has the agent start the first process.
func (p *pod) startFirst(ctx context.Context, container *corev1.Container) (<-chan int, error) {
	argv := append(slices.Clone(container.Command), container.Args...)
	if len(argv) == 0 {
		argv = []string{"/usr/bin/sleep", "infinity"}
	}
	for i := range argv {
		argv[i] = expand(argv[i])
	}
	body, err := json.Marshal(process{Argv: argv, Dir: p.workingDir})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://machine/first", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return p.dialAgent(ctx)
	}}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer func() { _ = response.Body.Close() }()
		said, _ := io.ReadAll(response.Body)
		return nil, fmt.Errorf("%s", bytes.TrimSpace(said))
	}
	ended := make(chan int, 1)
	p.tunnels.Go(func() {
		defer func() { _ = response.Body.Close() }()
		said, _ := io.ReadAll(response.Body)
		code, err := strconv.Atoi(string(said))
		if err != nil {
			code = 137
		}
		ended <- code
	})
	return ended, nil
}

// dialAgent waits until the agent listens.
func (p *pod) dialAgent(ctx context.Context) (net.Conn, error) {
	for {
		conn, err := p.machine.Dial(ctx, agentPort)
		if err == nil {
			return conn, nil
		}
		select {
		case <-p.machine.Ended():
			return nil, err
		case <-ctx.Done():
			return nil, err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// listen leads from the pod's address to the ports that the container names.
func (p *pod) listen(container *corev1.Container) {
	for _, port := range container.Ports {
		listener, err := net.Listen("tcp", net.JoinHostPort(p.ip, strconv.Itoa(int(port.ContainerPort)))) //nolint:noctx // stop closes it
		if err != nil {
			continue
		}
		p.listeners = append(p.listeners, listener)
		p.tunnels.Go(func() { p.lead(listener, int(port.ContainerPort)) })
	}
}

func (p *pod) lead(listener net.Listener, port int) {
	for {
		outer, err := listener.Accept()
		if err != nil {
			return
		}
		p.tunnels.Go(func() {
			defer func() { _ = outer.Close() }()
			inner, err := p.machine.Dial(context.Background(), port)
			if err != nil {
				return
			}
			defer func() { _ = inner.Close() }()
			go func() { _, _ = io.Copy(inner, outer) }()
			_, _ = io.Copy(outer, inner)
		})
	}
}

// awaitEnd returns when the pod is gone from the cluster.
func (p *pod) awaitEnd(ctx context.Context, latest *corev1.Pod, ended <-chan int, began time.Time) {
	var deadline <-chan time.Time
	over := func(latest *corev1.Pod, reason string, code int) {
		p.stop()
		ended, deadline = nil, nil
		p.say(ctx, endedStatus(latest, reason, code, began))
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.gone:
			return
		case latest = <-p.news:
			if latest.DeletionTimestamp != nil {
				p.stop()
				p.confirm(ctx)
				continue
			}
			_ = p.showAnnotations(latest)
			if limit := latest.Spec.ActiveDeadlineSeconds; limit != nil && ended != nil && deadline == nil {
				deadline = time.After(time.Until(began.Add(time.Duration(*limit) * time.Second)))
			}
		case code := <-ended:
			over(latest, "", code)
		case reason := <-p.killed:
			over(latest, reason, 137)
		case <-deadline:
			over(latest, "DeadlineExceeded", 137)
		}
	}
}

// stop ends all that runs in the pod.
func (p *pod) stop() {
	p.mutex.Lock()
	p.running = false
	running, listeners := p.machine, p.listeners
	p.listeners = nil
	p.mutex.Unlock()
	for _, listener := range listeners {
		_ = listener.Close()
	}
	if running != nil {
		_ = running.Stop()
	}
	p.tunnels.Wait()
}
