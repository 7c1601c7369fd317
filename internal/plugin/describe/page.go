// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package describe

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// Page is how a description is written.
type Page struct {
	// Painter colours it, or does not.
	Painter cli.Painter
	// Now is what ages count from.
	Now time.Time
	// Unread says what could not be read.
	Unread []string

	text strings.Builder
}

// field writes a line with a name, where there is something to say.
func (p *Page) field(name, value string) {
	if value != "" {
		fmt.Fprintf(&p.text, "%-12s %s\n", name+":", cli.Visible(value))
	}
}

// readiness writes whether it is Ready, in a colour.
func (p *Page) readiness(value string, colour cli.Colour) {
	fmt.Fprintf(&p.text, "%-12s %s\n", "Ready:", p.Painter.Paint(colour, cli.Visible(value)))
}

// section begins a part.
func (p *Page) section(name string) {
	fmt.Fprintf(&p.text, "\n%s\n", p.Painter.Paint(cli.Bold, name))
}

// linef writes an indented line.
func (p *Page) linef(format string, arguments ...any) {
	p.text.WriteString("  " + cli.Visible(fmt.Sprintf(format, arguments...)) + "\n")
}

// columns writes indented rows, aligned.
func (p *Page) columns(rows [][]string) {
	widths := map[int]int{}
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i == len(row)-1 {
				line.WriteString(cell)
			} else {
				fmt.Fprintf(&line, "%-*s   ", widths[i], cell)
			}
		}
		p.linef("%s", strings.TrimRight(line.String(), " "))
	}
}

// String is the text, with what could not be read at its end.
func (p *Page) String() string {
	if len(p.Unread) > 0 {
		p.section("Not seen")
		for _, what := range p.Unread {
			p.linef("%s", what)
		}
	}
	return p.text.String()
}

// ago is how long ago a time was.
func (p *Page) ago(t time.Time) string {
	if t.After(p.Now) {
		return "in " + duration.HumanDuration(t.Sub(p.Now))
	}
	return duration.HumanDuration(p.Now.Sub(t)) + " ago"
}

// moment is a time with how long ago it was; empty where there is none.
func (p *Page) moment(t *metav1.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s (%s)", t.UTC().Format(time.RFC3339), p.ago(t.Time))
}
