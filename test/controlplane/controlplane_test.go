// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package controlplane_test

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
)

// childEnv makes this test program start a control plane, say where it is, and wait to be killed.
const childEnv = "CONTROLPLANE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	plane, err := controlplane.Start(context.Background(), controlplane.Options{})
	if err != nil {
		println("error:", err.Error())
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(plane.Dir + "\n")
	select {}
}

func TestControlPlaneDoesWhatTheOperatorReliesOn(t *testing.T) {
	needPrograms(t)
	ignore := goleak.IgnoreCurrent()
	plane := start(t, controlplane.Options{})
	c := newClient(t, plane)
	t.Run("a deleted namespace ends with all that is in it", func(t *testing.T) { deletedNamespaceEnds(t, c) })
	t.Run("an object goes with its owner", func(t *testing.T) { ownedObjectGoes(t, c) })
	t.Run("cluster roles are aggregated", func(t *testing.T) { clusterRolesAggregate(t, c) })
	t.Run("a user has no rights unasked", func(t *testing.T) { userHasNoRights(t, plane) })

	pids := processes(t, plane.Dir)
	if len(pids) != 3 {
		t.Errorf("a running control plane has the processes %v, want three", pids)
	}
	began := time.Now()
	if err := plane.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	t.Logf("Stopped in %v", time.Since(began).Round(time.Millisecond))
	for name, pid := range pids {
		if alive(pid) {
			t.Errorf("%s (process %d) still runs after Stop", name, pid)
		}
	}
	if _, err := os.Stat(plane.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary folder is still there after Stop: %v", err)
	}
	if err := plane.Stop(); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
	goleak.VerifyNone(t, ignore)
}

func TestControlPlaneEndsWithAKilledTest(t *testing.T) {
	needPrograms(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(out).ReadString('\n')
	dir := strings.TrimSpace(line)
	var pids map[string]int
	if readErr == nil {
		pids = processes(t, dir)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	if readErr != nil {
		t.Fatalf("the child started no control plane: %v", readErr)
	}
	for name, pid := range pids {
		eventually(t, name+" ends after its starter was killed", func() bool { return !alive(pid) })
	}
	eventually(t, "the temporary folder is removed", func() bool {
		_, err := os.Stat(dir)
		return errors.Is(err, fs.ErrNotExist)
	})
}

func TestStartSaysWhichProgramFailedAndWhy(t *testing.T) {
	needPrograms(t)
	assets := t.TempDir()
	for name, script := range map[string]string{
		"etcd":           "#!/bin/sh\necho 'this etcd is broken' >&2\nexit 1\n",
		"kube-apiserver": "#!/bin/sh\nexit 1\n",
		"kubectl":        "#!/bin/sh\nexit 1\n",
	} {
		if err := os.WriteFile(filepath.Join(assets, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(binaries.AssetsEnv, assets)
	_, err := controlplane.Start(t.Context(), controlplane.Options{})
	if err == nil || !strings.Contains(err.Error(), "this etcd is broken") {
		t.Errorf("Start with a broken etcd: %v, want its own words", err)
	}
}

func TestStartAsksForWhatIsMissing(t *testing.T) {
	t.Setenv(binaries.AssetsEnv, t.TempDir())
	_, err := controlplane.Start(t.Context(), controlplane.Options{})
	if err == nil || !strings.Contains(err.Error(), binaries.AssetsEnv) {
		t.Errorf("Start without programs: %v, want a word about %s", err, binaries.AssetsEnv)
	}
}

func deletedNamespaceEnds(t *testing.T, c client.Client) {
	ctx := t.Context()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "doomed"}}
	inside := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "doomed", Name: "inside"}}
	create(t, c, namespace, inside)
	if err := c.Delete(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace ends", func() bool { return gone(ctx, c, namespace) && gone(ctx, c, inside) })
}

func ownedObjectGoes(t *testing.T, c client.Client) {
	ctx := t.Context()
	owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "owner"}}
	create(t, c, owner)
	owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "owned", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID},
	}}}
	create(t, c, owned)
	if err := c.Delete(ctx, owner); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the owned object is collected", func() bool { return gone(ctx, c, owned) })
}

func clusterRolesAggregate(t *testing.T, c client.Client) {
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "widgets", Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"example.com"}, Resources: []string{"widgets"}, Verbs: []string{"get"}}},
	}
	create(t, c, role)
	eventually(t, "the role view gets the rule", func() bool {
		view := &rbacv1.ClusterRole{}
		if err := c.Get(t.Context(), client.ObjectKey{Name: "view"}, view); err != nil {
			return false
		}
		for _, rule := range view.Rules {
			if rule.APIGroups[0] == "example.com" {
				return true
			}
		}
		return false
	})
}

func userHasNoRights(t *testing.T, plane *controlplane.ControlPlane) {
	config, err := plane.User("nobody")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.List(t.Context(), &corev1.SecretList{}); !apierrors.IsForbidden(err) {
		t.Errorf("a user without roles lists Secrets: %v, want a refusal", err)
	}
}

// needPrograms leaves out, in a run of the quick tests, those that start programs.
func needPrograms(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	if _, err := binaries.ControlPlane("kube-controller-manager"); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, options controlplane.Options) *controlplane.ControlPlane {
	t.Helper()
	began := time.Now()
	plane, err := controlplane.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Ready in %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() { _ = plane.Stop() })
	return plane
}

func newClient(t *testing.T, plane *controlplane.ControlPlane) client.Client {
	t.Helper()
	c, err := client.New(plane.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func create(t *testing.T, c client.Client, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

func gone(ctx context.Context, c client.Client, object client.Object) bool {
	return apierrors.IsNotFound(c.Get(ctx, client.ObjectKeyFromObject(object), object))
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("After %v: %s", time.Since(began).Round(time.Millisecond), what)
}

// processes returns the process ID of each program of the control plane in a folder.
func processes(t *testing.T, dir string) map[string]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "run", "*.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
		if err != nil {
			t.Fatal(err)
		}
		pids[strings.TrimSuffix(filepath.Base(file), ".pid")] = pid
	}
	return pids
}

// alive tells whether a process runs. One that has ended and waits to be reaped does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err == nil {
		_, state, _ := strings.Cut(string(stat), ") ")
		return !strings.HasPrefix(state, "Z")
	}
	return syscall.Kill(pid, 0) == nil
}
