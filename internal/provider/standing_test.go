// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestWhatAnAccountDoesNotFindIsBelievedWhenItWasSeenToHaveWhatItShould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := &Door{standing: &standing{since: time.Now()}}
		notFound := backends.Errorf(backends.NotFound, "memory", "get", "there is no such sandbox")
		believed := func() error { return door.believe("get", notFound) }

		err := believed()
		if !errors.Is(err, backends.Unavailable) || errors.Is(err, backends.NotFound) || !errors.Is(err, ErrListing) {
			t.Errorf("while the account is being listed: %v", err)
		}
		if backends.RetryAfter(err) != verifyDelay {
			t.Errorf("it is to be tried again in %s", backends.RetryAfter(err))
		}
		time.Sleep(firstList)
		if err = believed(); !errors.Is(err, backends.Unavailable) || errors.Is(err, backends.NotFound) || errors.Is(err, ErrListing) {
			t.Errorf("where the list does not come: %v", err)
		}
		door.Verify()
		if err = believed(); !errors.Is(err, backends.NotFound) {
			t.Errorf("of an account that has what it should: %v", err)
		}
		door.Distrust()
		if _, isSetup := IsSetup(believed()); !isSetup {
			t.Errorf("of an account that may be another: %v", believed())
		}
	})
}
