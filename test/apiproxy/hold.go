// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package apiproxy

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// Hold stops one request, the first that it wants, before the API server sees it or after the API server has done it.
type Hold struct {
	proxy *Proxy
	wants Matcher
	// answer says that the answer is stopped, not the request.
	answer   bool
	status   int
	taken    bool
	reached  chan struct{}
	released chan struct{}
	once     sync.Once
}

// failure is an answer instead of the API server's.
type failure struct{ status int }

func (f *failure) Error() string { return fmt.Sprintf("answered with %d by a test", f.status) }

// HoldRequest stops the next request that the matcher wants before the API server sees it. Where its sender goes away
// meanwhile, it never does.
func (p *Proxy) HoldRequest(wants Matcher) *Hold { return p.hold(&Hold{wants: wants}) }

// HoldAnswer lets the API server do the next request that the matcher wants, and stops its answer.
func (p *Proxy) HoldAnswer(wants Matcher) *Hold { return p.hold(&Hold{wants: wants, answer: true}) }

// FailRequest answers the next request that the matcher wants with an HTTP status; the API server never sees it.
func (p *Proxy) FailRequest(wants Matcher, status int) *Hold {
	h := p.hold(&Hold{wants: wants, status: status})
	h.Release()
	return h
}

// FailAnswer lets the API server do the next request that the matcher wants, and answers with another HTTP status.
func (p *Proxy) FailAnswer(wants Matcher, status int) *Hold {
	h := p.hold(&Hold{wants: wants, status: status, answer: true})
	h.Release()
	return h
}

func (p *Proxy) hold(h *Hold) *Hold {
	h.proxy, h.reached, h.released = p, make(chan struct{}), make(chan struct{})
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.holds = append(p.holds, h)
	return h
}

// Reached is closed when the request, or its answer, has come and stands.
func (h *Hold) Reached() <-chan struct{} { return h.reached }

// Release lets what stands go on, and stops nothing any more.
func (h *Hold) Release() { h.once.Do(func() { close(h.released) }) }

// Remove releases, and forgets a hold that nothing has come to.
func (h *Hold) Remove() {
	h.Release()
	h.proxy.mutex.Lock()
	defer h.proxy.mutex.Unlock()
	h.proxy.holds = slices.DeleteFunc(h.proxy.holds, func(other *Hold) bool { return other == h })
}

// stopRequest remembers the request, and waits where it is held.
func (p *Proxy) stopRequest(ctx context.Context, request Request) error {
	p.mutex.Lock()
	p.requests = append(p.requests, request)
	p.mutex.Unlock()
	return p.stop(ctx, request, false)
}

func (p *Proxy) stopAnswer(response *http.Response) error {
	request, ok := response.Request.Context().Value(requestKey{}).(Request)
	if !ok {
		return nil
	}
	err := p.stop(response.Request.Context(), request, true)
	if err != nil {
		_ = response.Body.Close()
	}
	return err
}

func (p *Proxy) stop(ctx context.Context, request Request, answer bool) error {
	h := p.take(request, answer)
	if h == nil {
		return nil
	}
	close(h.reached)
	select {
	case <-h.released:
	case <-ctx.Done():
		return ctx.Err()
	}
	if h.status != 0 {
		return &failure{h.status}
	}
	return nil
}

// take finds the hold that stops the request, which then stops no other.
func (p *Proxy) take(request Request, answer bool) *Hold {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	i := slices.IndexFunc(p.holds, func(h *Hold) bool { return !h.taken && h.answer == answer && h.wants(request) })
	if i < 0 {
		return nil
	}
	h := p.holds[i]
	h.taken = true
	p.holds = slices.Delete(p.holds, i, i+1)
	return h
}
