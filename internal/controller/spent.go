// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"sync"
)

// spent remembers, by sandbox, the runs whose results are recorded: the next call to the sandbox empties their spools, so that
// this costs no call of its own. What is forgotten, in a restart or beyond the bounds, stays until the sandbox ends.
type spent struct {
	mutex sync.Mutex
	names map[string][]string
}

const (
	// mostSpent bounds the runs that are remembered of one sandbox, and mostSpentSandboxes the sandboxes.
	mostSpent          = 64
	mostSpentSandboxes = 16384
)

func newSpent() *spent { return &spent{names: map[string][]string{}} }

func (s *spent) add(sandboxID, name string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if _, known := s.names[sandboxID]; !known && len(s.names) >= mostSpentSandboxes {
		return
	}
	if len(s.names[sandboxID]) < mostSpent {
		s.names[sandboxID] = append(s.names[sandboxID], name)
	}
}

// of returns the names, which are remembered until cleared.
func (s *spent) of(sandboxID string) []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.names[sandboxID])
}

// clear forgets names whose spools were emptied.
func (s *spent) clear(sandboxID string, names []string) {
	if len(names) == 0 {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	left := slices.DeleteFunc(s.names[sandboxID], func(name string) bool { return slices.Contains(names, name) })
	if len(left) == 0 {
		delete(s.names, sandboxID)
		return
	}
	s.names[sandboxID] = left
}

// forget forgets a sandbox that is gone.
func (s *spent) forget(sandboxID string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.names, sandboxID)
}
