// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// mixture is the mixed load of one play.
type mixture struct {
	*play
	// until is when no client begins anew.
	until time.Time
	// took is how long it went on.
	took time.Duration

	mutex sync.Mutex
	// waits are how long each step took, by what was waited for.
	waits map[string][]time.Duration
}

// drive lets the clients work until the time is over, and returns the program's memory after a quarter of it: what is grown by
// then is grown by load, and what comes later by something that is not given back.
func (m *mixture) drive(ctx context.Context) (early int64, err error) {
	began := time.Now()
	quarter := time.After(time.Until(m.until) / 4)
	failures := make([]error, lanes+1)
	var group sync.WaitGroup
	for lane := range lanes {
		group.Go(func() { failures[lane] = m.lane(ctx, lane) })
	}
	group.Go(func() {
		<-quarter
		used, err := m.process.costs()
		early, failures[lanes] = used.memory, err
	})
	group.Wait()
	m.took = time.Since(began)
	return early, errors.Join(failures...)
}

// lane is one client: it makes a Sandbox, runs three commands, and deletes it.
func (m *mixture) lane(ctx context.Context, lane int) error {
	for turn := 0; time.Now().Before(m.until); turn++ {
		name := fmt.Sprintf("lane%d-%d", lane, turn)
		sandbox := builders.MakeSandbox(m.namespace, name).Obj()
		err := m.wait(ctx, "made", m.done, name, func() error { return m.client.Create(ctx, sandbox) })
		for i := 0; i < 3 && err == nil; i++ {
			run := builders.MakeExec(m.namespace, fmt.Sprintf("%s-run%d", name, i), name).Command("true").Obj()
			if err = m.wait(ctx, "run", m.done, run.Name, func() error { return m.client.Create(ctx, run) }); err == nil {
				err = m.client.Delete(ctx, run)
			}
		}
		if err == nil {
			err = m.wait(ctx, "gone", m.gone, name, func() error { return m.client.Delete(ctx, sandbox) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wait does something, waits until the watcher saw what comes of it, and notes how long that took.
func (m *mixture) wait(ctx context.Context, what string, outcome map[string]time.Time, name string, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return err
	}
	for m.at(outcome, name).IsZero() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
		if time.Since(began) > stuck {
			return fmt.Errorf("%s was not %s within %s", name, what, stuck)
		}
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.waits[what] = append(m.waits[what], m.at(outcome, name).Sub(began))
	return nil
}

// quantile is one of the waits in hundredths, in milliseconds; 0 where there are none.
func quantile(waits []time.Duration, hundredths int) float64 {
	if len(waits) == 0 {
		return 0
	}
	slices.Sort(waits)
	return milliseconds(waits[len(waits)*hundredths/100])
}
