// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package describe

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// timeline is what happened, and what will.
type timeline struct {
	began   time.Time
	moments []moment
}

type moment struct {
	at   time.Time
	what string
}

// mostMoments keeps a timeline on a screen: the first, and the last of many.
const mostMoments = 25

// addf takes in what has a time.
func (t *timeline) addf(at *metav1.Time, format string, arguments ...any) {
	if !at.IsZero() {
		t.moments = append(t.moments, moment{at.Time, fmt.Sprintf(format, arguments...)})
	}
}

// events takes in what was told of the object.
func (t *timeline) events(events []corev1.Event) {
	for i := range events {
		e := &events[i]
		at, count := e.LastTimestamp, e.Count
		if at.IsZero() {
			at = metav1.Time{Time: e.EventTime.Time}
		}
		if e.Series != nil {
			at, count = metav1.Time{Time: e.Series.LastObservedTime.Time}, e.Series.Count
		}
		text := fmt.Sprintf("event %s: %s", e.Reason, e.Message)
		if count > 1 {
			text += fmt.Sprintf(" (%d times)", count)
		}
		t.addf(&at, "%s", text)
	}
}

// write writes it in order: absolute times, and how long after the first.
func (t *timeline) write(p *Page) {
	slices.SortStableFunc(t.moments, func(a, b moment) int { return a.at.Compare(b.at) })
	moments, left := t.moments, 0
	if len(moments) > mostMoments {
		left = len(moments) - mostMoments
		moments = slices.Concat(moments[:3], moments[3+left:])
	}
	p.section("Timeline")
	rows := make([][]string, 0, len(moments)+1)
	for i, m := range moments {
		if left > 0 && i == 3 {
			rows = append(rows, []string{"", "", fmt.Sprintf("... %d more ...", left)})
		}
		when := "+" + m.at.Sub(t.began).Round(time.Second).String()
		if m.at.After(p.Now) {
			when = p.ago(m.at)
		}
		rows = append(rows, []string{m.at.UTC().Format("2006-01-02 15:04:05Z"), when, m.what})
	}
	p.columns(rows)
}
