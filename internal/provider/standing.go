// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// With the key of another account, every remote seems not to exist. What is declared lost or destroyed on such a word is
// never found again, so NotFound is believed only of an account that was seen to have what it should.

// standing is what is known about an account from one provider's point of view; 0 = it was not listed yet.
type standing struct {
	is    atomic.Int32
	since time.Time
}

const (
	// verified: the account has what it should have.
	verified int32 = iota + 1
	// changed: so much is missing, or too much, that it may be another account.
	changed
)

const (
	// verifyDelay is how soon to come again while an account was not listed yet.
	verifyDelay = time.Second
	// firstList is how long the first list of an account may take until it is worth a word.
	firstList = 10 * time.Second
)

// ErrListing says that the first list of an account, as each start makes one, is under way: until then NotFound is not believed.
// That is over soon, so nothing needs to be told of it; come again.
var ErrListing = errors.New("the sandboxes of the account are being listed")

// Verify says that the account has the remotes that it should have: from now on NotFound is believed.
func (d *Door) Verify() { d.standing.is.Store(verified) }

// Distrust says that the account may be another than it was: nothing is made there, and NotFound is not believed.
func (d *Door) Distrust() { d.standing.is.Store(changed) }

// Verified says whether the account was seen to have what it should.
func (d *Door) Verified() bool { return d.standing.is.Load() == verified }

// Changed says whether the account may be another than it was, so that nothing may be made there.
func (d *Door) Changed() bool { return d.standing.is.Load() == changed }

// ErrChanged is what objects wait for while the account may be another.
func (d *Door) ErrChanged() error {
	return setupErrorf(v1alpha1.ReasonAccountChanged,
		"the account of %s %q may be another than it was: see its condition Ready", d.identity.Kind, d.identity.Name)
}

// believe returns the error of a call that found no remote, where that can be relied upon, else one that says to try again.
func (d *Door) believe(operation string, notFound error) error {
	switch d.standing.is.Load() {
	case verified:
		return notFound
	case changed:
		return d.ErrChanged()
	default:
		err := backends.Errorf(backends.Unavailable, d.registration.Name, operation,
			"the sandboxes of the account were not listed yet, so that what is not found may still be there")
		if time.Since(d.standing.since) < firstList {
			err.Err = ErrListing
		}
		err.RetryAfter = verifyDelay
		return err
	}
}
