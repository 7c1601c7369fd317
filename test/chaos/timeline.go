// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chaos

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Timeline is what happened in a run, whoever did it.
type Timeline struct {
	began time.Time

	mu     sync.Mutex
	events []event
}

type event struct {
	at        time.Time
	who, what string
}

func newTimeline() *Timeline { return &Timeline{began: time.Now()} }

// addf notes what happens now.
func (t *Timeline) addf(who, format string, arguments ...any) {
	t.addAtf(time.Now(), who, format, arguments...)
}

func (t *Timeline) addAtf(at time.Time, who, format string, arguments ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, event{at, who, fmt.Sprintf(format, arguments...)})
}

// longestLine of a timeline.
const longestLine = 260

// String has a line for each event, by time.
func (t *Timeline) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortStableFunc(t.events, func(a, b event) int { return a.at.Compare(b.at) })
	var b strings.Builder
	for _, e := range t.events {
		line := fmt.Sprintf("%+9.3fs  %-9s %s", e.at.Sub(t.began).Seconds(), e.who, strings.ReplaceAll(e.what, "\n", " "))
		b.WriteString(line[:min(len(line), longestLine)] + "\n")
	}
	return b.String()
}
