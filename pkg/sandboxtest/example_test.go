// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxtest_test

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sandbox-operator/sandbox-operator/pkg/sandboxtest"
)

// A suite with envtest gets a working operator in one line, and says in another what commands do.
func ExampleStart() {
	_ = func(t *testing.T) { // a test of yours
		environment := &envtest.Environment{}
		config, err := environment.Start()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = environment.Stop() })

		operator := sandboxtest.Start(t, config)
		operator.On(sandboxtest.Program("pytest"), sandboxtest.Result{ExitCode: 1, Stdout: "1 failed\n"})

		// Start your own controller with config, make its objects, and look what came of them. In the end:
		if ran := operator.Commands(sandboxtest.Program("pytest")); len(ran) != 1 {
			t.Errorf("pytest ran %d times", len(ran))
		}
	}
}
