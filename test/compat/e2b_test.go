// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compat_test

import (
	"testing"

	fake "github.com/sandbox-operator/sandbox-operator/test/fakes/e2b"
)

func TestE2BsOwnSDKWorksWithTheFake(t *testing.T) {
	needNode(t)
	cloud, err := fake.Start(fake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	}()
	scripts{dir: "e2b", env: []string{
		"E2B_API_URL=" + cloud.URL(), "E2B_SANDBOX_URL=" + cloud.URL(), "E2B_API_KEY=" + fake.Key,
	}}.run(t)
}
