// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench_test

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sandbox-operator/sandbox-operator/test/bench"
)

func TestBench(t *testing.T) {
	if os.Getenv("BENCH") != "1" {
		t.Skip("takes the whole machine: make bench")
	}
	g := NewWithT(t)
	log.SetLogger(logr.Discard())
	stage, err := bench.NewStage(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(stage.Close()).To(Succeed()) }()
	manager := []string{"--backends=bench", "--health-probe-bind-address=0", "--zap-devel=false"}
	for range 3 {
		for _, c := range []struct {
			program   string
			arguments []string
		}{{bench.Floor, nil}, {bench.Manager, manager}} {
			for _, load := range []bench.Load{{100, 1}, {500, 100}} {
				made, deleted, err := stage.Measure(t.Context(), c.program, load, c.arguments...)
				g.Expect(err).NotTo(HaveOccurred())
				t.Logf("%-8s %3d at once  made    %s", c.program, load.AtOnce, made)
				t.Logf("%-8s %3d at once  deleted %s", c.program, load.AtOnce, deleted)
			}
		}
	}
}
