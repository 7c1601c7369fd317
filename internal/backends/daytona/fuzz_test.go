// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"encoding/json"
	"testing"
)

func FuzzSandbox(f *testing.F) {
	for _, seed := range []string{
		`{"id":"a","state":"started","labels":{"k":"v"},"createdAt":"2026-01-02T03:04:05Z","autoStopInterval":15,"autoDeleteInterval":-1}`,
		`{"id":"a","state":"error","errorReason":"no","createdAt":"never","autoStopInterval":1e300,"autoDeleteInterval":1e300}`,
		`{"autoDestroyAt":"2026-01-02T03:04:05Z","lastActivityAt":7,"autoStopInterval":-1e9}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		var one sandbox
		if json.Unmarshal(answer, &one) != nil {
			return
		}
		remote := one.remote()
		if remote.ID != one.ID || remote.State == "" {
			t.Errorf("%s is %+v", answer, remote)
		}
		if at := remote.ExpiresAt; !at.IsZero() && (at.Year() < 1 || at.Year() > 9999) {
			t.Errorf("%s expires in the year %d, which no status can hold", answer, at.Year())
		}
	})
}
