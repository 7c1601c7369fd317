// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package compat_test

import (
	"testing"
	"time"

	fake "github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
)

func TestDaytonasOwnSDKWorksWithTheFake(t *testing.T) {
	needNode(t)
	for name, newest := range map[string]string{"of version 0.190": "", "the newest": "1"} {
		t.Run(name, func(t *testing.T) {
			cloud, err := fake.Start(fake.Options{
				Newest: newest != "", StartDelay: 50 * time.Millisecond, StopDelay: 50 * time.Millisecond,
				DestroyDelay: 50 * time.Millisecond, BuildDelay: 100 * time.Millisecond, ListLag: 100 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer cloud.Close()
			scripts{dir: "daytona", env: []string{
				"DAYTONA_API_URL=" + cloud.URL(), "DAYTONA_API_KEY=" + fake.FakeKey, "NEWEST=" + newest,
			}}.run(t)
		})
	}
}
