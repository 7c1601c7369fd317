// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Kind is what goes wrong with a call.
type Kind string

// The kinds.
const (
	// Slow answers late, by Fault.Delay.
	Slow Kind = "slow"
	// TooMany answers 429 with Retry-After, and has no effect.
	TooMany Kind = "429"
	// Broken answers 500, and has no effect.
	Broken Kind = "500"
	// Gateway answers 502 after the effect.
	Gateway Kind = "502-after"
	// Cut breaks the connection after the effect.
	Cut Kind = "cut-after"
	// Denied answers 404, although what is asked for exists.
	Denied Kind = "404"
	// Death ends the sandbox just before the call.
	Death Kind = "death"
)

// Kinds lists all.
func Kinds() []Kind { return []Kind{Slow, TooMany, Broken, Gateway, Cut, Denied, Death} }

// Fault is what goes wrong, and where.
type Fault struct {
	// Point is a call's key and number, such as "create box#1".
	Point string `json:"point"`
	Kind  Kind   `json:"kind"`
	// Delay of Slow, and what TooMany asks for.
	Delay time.Duration `json:"delay,omitempty"`
}

// String says what went wrong.
func (f *Fault) String() string { return fmt.Sprintf("fault %s", f.Kind) }

// strike returns the fault that the call meets, or nil.
func (s *Server) strike(call Call) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return &Fault{Kind: Broken}
	}
	for _, f := range s.faults {
		if f.Point == call.Point() {
			return f
		}
	}
	return nil
}

// kills says that the sandbox dies before the call.
func (f *Fault) kills() bool { return f != nil && f.Kind == Death }

// before does what the fault does in place of the effect, and says whether the call is over with that.
func (f *Fault) before(ctx context.Context, w http.ResponseWriter) bool {
	if f == nil {
		return false
	}
	switch f.Kind {
	case Slow:
		select {
		case <-time.After(f.Delay):
		case <-ctx.Done():
		}
		return false
	case TooMany:
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(f.Delay.Seconds()))))
		http.Error(w, "slow down", http.StatusTooManyRequests)
	case Broken:
		http.Error(w, "out of order", http.StatusInternalServerError)
	case Denied:
		write(w, http.StatusNotFound, Answer{Code: "NotFound", Message: "there is no such sandbox"})
	default:
		return false
	}
	return true
}

// after does what the fault does in place of the answer, and says whether the call is over with that.
func (f *Fault) after(w http.ResponseWriter) bool {
	if f == nil {
		return false
	}
	switch f.Kind {
	case Gateway:
		http.Error(w, "bad gateway", http.StatusBadGateway)
	case Cut:
		if hijacker, ok := w.(http.Hijacker); ok {
			if conn, _, err := hijacker.Hijack(); err == nil {
				_ = conn.Close()
			}
		}
	default:
		return false
	}
	return true
}

// When a call is stopped: before or after its effect. Late is before it as well, but the effect comes even though the caller is
// dead by then.
const (
	Before = "before"
	After  = "after"
	Late   = "late"
)

// trap stops one call.
type trap struct {
	point, when string
	reached     chan struct{}
	released    chan struct{}
	once        sync.Once
}

func newTrap(point, when string) *trap {
	return &trap{point: point, when: when, reached: make(chan struct{}), released: make(chan struct{})}
}

func (t *trap) release() { t.once.Do(func() { close(t.released) }) }

// stop waits where a trap is set, and says whether one was.
func (s *Server) stop(call Call, when string) bool {
	t := s.takeTrap(call, when)
	if t == nil {
		return false
	}
	close(t.reached)
	<-t.released
	return true
}

func (s *Server) takeTrap(call Call, when string) *trap {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.traps, func(t *trap) bool { return t.point == call.Point() && t.when == when })
	if i < 0 {
		return nil
	}
	t := s.traps[i]
	s.traps = slices.Delete(s.traps, i, i+1)
	return t
}
