// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// progress is a bar that says how far a copy is. nil is none.
type progress struct {
	to    io.Writer
	now   func() time.Time
	began time.Time
	// total is how many bytes there are; 0 = nobody knows.
	total int64

	mutex sync.Mutex
	done  int64
}

// newProgress draws where a person looks, and nowhere else.
func newProgress(to io.Writer, quiet bool) *progress {
	if quiet || !cli.IsTerminal(to) {
		return nil
	}
	return &progress{to: to, now: time.Now, began: time.Now()}
}

// expect says how many bytes there are.
func (p *progress) expect(total int64) {
	if p != nil {
		p.total = total
	}
}

// show says how many bytes have gone over.
func (p *progress) show(done int64) {
	if p == nil {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.done = done
	fmt.Fprint(p.to, "\r\x1b[K"+p.line())
}

// add says that so many more have.
func (p *progress) add(more int64) {
	if p == nil {
		return
	}
	p.mutex.Lock()
	done := p.done + more
	p.mutex.Unlock()
	p.show(done)
}

// end takes the bar away.
func (p *progress) end() {
	if p != nil {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

func (p *progress) line() string {
	var speed string
	if elapsed := p.now().Sub(p.began).Seconds(); elapsed > 0 {
		speed = "  " + inBytes(int64(float64(p.done)/elapsed)) + "/s"
	}
	if p.total <= 0 {
		return inBytes(p.done) + speed
	}
	const width = 30
	full := int(min(p.done, p.total) * width / p.total)
	return fmt.Sprintf("[%s%s] %3d%%  %s of %s%s", strings.Repeat("#", full), strings.Repeat(".", width-full),
		min(p.done, p.total)*100/p.total, inBytes(p.done), inBytes(p.total), speed)
}

// inBytes is a size for people.
func inBytes(n int64) string {
	const k, m = 1 << 10, 1 << 20
	switch {
	case n >= 10*m:
		return fmt.Sprintf("%d MiB", n/m)
	case n >= m:
		return fmt.Sprintf("%.1f MiB", float64(n)/m)
	case n >= k:
		return fmt.Sprintf("%d KiB", n/k)
	}
	return fmt.Sprintf("%d B", n)
}
