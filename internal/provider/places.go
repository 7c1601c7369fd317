// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import "sync"

// pool is all calls that may be under way at once, over all accounts: as many as there are workers.
type pool struct {
	mutex sync.Mutex
	size  int
	taken int
}

// places are the calls that may be under way to one account. Nobody waits for one.
//
// An account may never have more than are free over all accounts. So one that is slow holds at most half of the workers, a
// second one half of what is left, and so on: there is always a worker for an account that answers.
type places struct {
	pool *pool
	// own is what the backend takes, and most what administrators allow; 0 = as many as the backend takes.
	own, most int
	taken     int
}

// take takes a place, and leaves so many to others.
func (p *places) take(leave int) bool {
	p.pool.mutex.Lock()
	defer p.pool.mutex.Unlock()
	most := p.own
	if p.most > 0 {
		most = min(most, p.most)
	}
	if p.taken+leave >= most {
		return false
	}
	if p.pool.size > 0 && p.taken >= p.pool.size-p.pool.taken {
		return false
	}
	p.taken++
	p.pool.taken++
	return true
}

func (p *places) free() {
	p.pool.mutex.Lock()
	defer p.pool.mutex.Unlock()
	p.taken--
	p.pool.taken--
}

func (p *places) configure(most int) {
	p.pool.mutex.Lock()
	defer p.pool.mutex.Unlock()
	p.most = most
}
