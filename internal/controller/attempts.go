// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// settled remembers, for Sandboxes with an open journal, the attempt whose create call certainly had no effect. What is
// forgotten in a restart costs a wait, never a second remote.
type settled struct {
	mutex    sync.Mutex
	attempts map[types.UID]int32
}

func newSettled() *settled { return &settled{attempts: map[types.UID]int32{}} }

func (s *settled) add(j *journal) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.attempts[j.UID] = j.Attempt
}

func (s *settled) has(j *journal) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.attempts[j.UID] == j.Attempt
}

func (s *settled) clear(uid types.UID) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.attempts, uid)
}

// refusals remember, for Sandboxes whose spec a provider can never fulfil, with which versions of both it was tried: only
// another version is worth another try. What is forgotten in a restart costs one more.
type refusals struct {
	mutex    sync.Mutex
	versions map[types.UID]string
}

func newRefusals() *refusals { return &refusals{versions: map[types.UID]string{}} }

func (r *refusals) add(uid types.UID, version string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.versions[uid] = version
}

func (r *refusals) has(uid types.UID, version string) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.versions[uid] == version
}

func (r *refusals) clear(uid types.UID) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.versions, uid)
}
