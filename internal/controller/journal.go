// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// journal is written to a Sandbox before its remote is made, so that a crash after the creation can be repaired. It is
// open while its incarnation is above the status's: then a remote may exist that the status does not name.
type journal struct {
	// UID of the object that it was written for. A copied manifest brings a journal with another UID, which is ignored.
	UID types.UID `json:"uid"`
	// Incarnation of the remote that is made.
	Incarnation int64 `json:"incarnation"`
	// Attempt at it, from 1.
	Attempt int32 `json:"attempt"`
	// Time of the attempt.
	Time time.Time `json:"time"`
	// Provider at which it is made.
	Provider v1alpha1.ProviderIdentity `json:"provider"`
	// Installation that makes it. In a cluster that was cloned, and got another ID, its remote is the other's.
	Installation string `json:"installation,omitempty"`
}

// readJournal returns the Sandbox's own journal, or nil.
func readJournal(sandbox *v1alpha1.Sandbox) *journal {
	text, ok := sandbox.Annotations[v1alpha1.JournalAnnotation]
	if !ok {
		return nil
	}
	var j journal
	if json.Unmarshal([]byte(text), &j) != nil || j.UID != sandbox.UID || j.Incarnation < 1 {
		return nil
	}
	return &j
}

// isForeign says that the Sandbox's remote was made, or is being made, by another installation.
func (s *shared) isForeign(sandbox *v1alpha1.Sandbox) bool {
	j := readJournal(sandbox)
	return j != nil && j.Installation != "" && j.Installation != s.options.Installation
}

func (j *journal) text() string {
	// Strings and numbers always encode.
	text, _ := json.Marshal(j) //nolint:errchkjson // a time of this century always encodes
	return string(text)
}

// next is the journal of one more attempt.
func (j *journal) next(now time.Time, provider v1alpha1.ProviderIdentity, sandbox *v1alpha1.Sandbox) *journal {
	attempt := int32(1)
	if j != nil {
		attempt = j.Attempt + 1
	}
	return &journal{
		UID: sandbox.UID, Incarnation: sandbox.Status.Incarnation + 1, Attempt: attempt,
		Time: now.UTC().Truncate(time.Millisecond), Provider: provider,
	}
}

// remoteName is the unique name of the remote, the same for every attempt at it.
func (j *journal) remoteName() string { return remoteName(j.UID, j.Incarnation) }

func remoteName(uid types.UID, incarnation int64) string {
	return fmt.Sprintf("sbx-%s-%d", uid, incarnation)
}

// mark is what is written on the remote.
func (s *shared) mark(sandbox *v1alpha1.Sandbox, incarnation int64) backends.Mark {
	policy := sandbox.Spec.DeletionPolicy
	if policy == "" {
		policy = v1alpha1.DeletionPolicyDelete
	}
	return backends.Mark{
		Installation: s.options.Installation, Namespace: sandbox.Namespace, Name: sandbox.Name, UID: string(sandbox.UID),
		Incarnation: incarnation, DeletionPolicy: string(policy),
	}
}
