// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
)

var _ = Describe("zz", func() {
	It("zz measure", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		box := room.Ready(ctx, room.Sandbox("box"))
		for _, line := range []string{"true", "/bin/true;/bin/true;/bin/true;/bin/true;/bin/true;/bin/true;/bin/true;/bin/true;/bin/true;/bin/true",
			"(:);(:);(:);(:);(:);(:);(:);(:);(:);(:)", "setsid /bin/sh -c :", "echo a >/tmp/x; mv /tmp/x /tmp/y", "cat </dev/null >/tmp/z", "sleep 0.001 & wait", ": >/tmp/q; : >/tmp/q; : >/tmp/q; : >/tmp/q; : >/tmp/q; : >/tmp/q; : >/tmp/q; : >/tmp/q; : >/tmp/q; : >/tmp/q"} {
			var best time.Duration = 1e18
			for range 12 {
				began := time.Now()
				_, _ = bed.RunIn(ctx, box.Status.SandboxID, line)
				best = min(best, time.Since(began))
			}
			fmt.Println("ZZ", best, line)
		}
	})
})
