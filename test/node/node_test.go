// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sandbox-operator/sandbox-operator/test/node"
	"github.com/sandbox-operator/sandbox-operator/test/node/remains"
)

// childEnv makes this test program start a node, say where it is, and wait to be killed.
const childEnv = "NODE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	cluster, err := node.Start(context.Background(), node.Options{})
	if err != nil {
		println("error:", err.Error())
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(cluster.Dir + "\n")
	select {}
}

func TestANodeStopsWithoutARest(t *testing.T) {
	need(t)
	cluster, err := node.Start(t.Context(), node.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	dir := cluster.Dir
	client, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 2 {
		t.Errorf("the cluster has %d nodes (%v), want 2", len(nodes.Items), err)
	}
	if left := restOf(dir); len(left) < 3 {
		t.Errorf("of a running node only %v is seen: this test looks for the wrong things", left)
	}
	if err := cluster.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if left := restOf(dir); len(left) > 0 {
		t.Errorf("after Stop there is still: %v", left)
	}
	if err := cluster.Stop(); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func TestANodeEndsWithAKilledTest(t *testing.T) {
	need(t)
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
	_ = child.Process.Kill()
	_ = child.Wait()
	if readErr != nil {
		t.Fatalf("the child started no node: %v", readErr)
	}
	dir := strings.TrimSpace(line)
	for deadline := time.Now().Add(time.Minute); ; {
		left := restOf(dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a minute after its starter was killed there is still: %v", left)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func need(t *testing.T) {
	t.Helper()
	if os.Getenv("E2E") == "" {
		t.Skip("make e2e runs this: it wants root and some of Debian's packages")
	}
	if err := node.CanRun(); err != nil {
		t.Fatal(err)
	}
}

// restOf lists what there is of a node: its folder, its cgroups, and processes that have the folder in their command lines.
func restOf(dir string) []string {
	var found []string
	for _, folder := range append(remains.CgroupFolders("sandbox-operator-"+filepath.Base(dir)), dir) {
		if _, err := os.Stat(folder); err == nil {
			found = append(found, folder)
		}
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), dir+"/") {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
