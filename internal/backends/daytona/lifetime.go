// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

// SetLifetime implements backends.LifetimeSetter.
//
// Newer servers have a time to live, which ends a sandbox whatever state it is in. Older ones only stop a sandbox that nobody uses,
// even while a command runs in it, and delete it when it stops: there the interval is the lifetime, and counts from now.
func (b *backend) SetLifetime(ctx context.Context, id string, lifetime time.Duration) error {
	minutes := 0
	if lifetime != 0 {
		var err error
		if minutes, err = wholeMinutes(lifetime); err != nil {
			return backends.Errorf(backends.Invalid, Name, operationSetLifetime, "%w", err)
		}
	}
	changed, known, err := b.setTTL(ctx, id, minutes)
	switch {
	case err != nil:
		return err
	case known:
		return b.neverStop(ctx, changed, minutes)
	case minutes == 0:
		return b.setIntervals(ctx, id, -1, 0)
	}
	return b.setIdleEnd(ctx, id, minutes)
}

// setTTL sets the time to live, and says whether the server knows it.
func (b *backend) setTTL(ctx context.Context, id string, minutes int) (changed sandbox, known bool, err error) {
	answer, err := b.web.Call(ctx, web.Call{
		Operation: operationSetLifetime, Method: http.MethodPost, Effect: true,
		URL: fmt.Sprintf("%s/sandbox/%s/ttl/%d", b.endpoint, url.PathEscape(id), minutes),
	})
	switch {
	case err != nil:
		return sandbox{}, false, err
	case isRouteMissing(answer):
		return sandbox{}, false, nil
	case !answer.OK():
		return sandbox{}, false, trouble(operationSetLifetime, answer, true)
	}
	return changed, true, b.web.Decode(operationSetLifetime, answer, true, &changed)
}

// neverStop leaves the end of a sandbox to its time to live alone, so that no command is stopped because nobody else calls.
func (b *backend) neverStop(ctx context.Context, s sandbox, minutes int) error {
	if s.AutoStopInterval != 0 {
		if err := b.change(ctx, operationSetLifetime, s.ID, "autostop/0"); err != nil {
			return err
		}
	}
	if minutes == 0 && s.AutoDeleteInterval != nil && *s.AutoDeleteInterval >= 0 {
		return b.change(ctx, operationSetLifetime, s.ID, "autodelete/-1")
	}
	return nil
}

// setIdleEnd has an older server end the sandbox when so many minutes from now have passed without use.
func (b *backend) setIdleEnd(ctx context.Context, id string, minutes int) error {
	found, err := b.read(ctx, operationSetLifetime, id)
	if err != nil {
		return err
	}
	if found.isStopped() {
		// It is deleted so long after it was stopped.
		since := max(time.Since(found.lastActivity()), 0)
		return b.setInterval(ctx, id, "autodelete", minutes+int(math.Ceil(since.Minutes())))
	}
	// The interval counts from the last use: that comes first, so that a shorter one does not end it at once.
	if err := b.change(ctx, operationSetLifetime, id, "last-activity"); err != nil {
		return err
	}
	return b.setIntervals(ctx, id, 0, minutes)
}

// setIntervals sets after how long a sandbox is deleted and stopped. Never both at once to what would end it.
func (b *backend) setIntervals(ctx context.Context, id string, autoDelete, autoStop int) error {
	first, second := "autostop", "autodelete"
	values := map[string]int{"autostop": autoStop, "autodelete": autoDelete}
	if autoDelete < 0 {
		first, second = second, first
	}
	if err := b.setInterval(ctx, id, first, values[first]); err != nil {
		return err
	}
	return b.setInterval(ctx, id, second, values[second])
}

func (b *backend) setInterval(ctx context.Context, id, which string, minutes int) error {
	return b.change(ctx, operationSetLifetime, id, fmt.Sprintf("%s/%d", which, minutes))
}
