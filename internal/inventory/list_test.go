// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/inventory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// door counts lists.
type door struct {
	account string
	mutex   sync.Mutex
	filters []backends.Filter
	err     error
}

func (d *door) Account() string { return d.account }

func (d *door) List(_ context.Context, filter backends.Filter) ([]backends.Remote, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.filters = append(d.filters, filter)
	return []backends.Remote{{ID: "r"}}, d.err
}

func TestAnAccountIsListedOnceAPeriodHoweverManyAsk(t *testing.T) {
	clock := testingclock.NewFakePassiveClock(noon)
	lists := &inventory.Lists{Clock: clock, Installation: "us", Period: time.Minute}
	a, b := &door{account: "a"}, &door{account: "b"}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if s, err := lists.Get(t.Context(), a, false); err != nil || s.Sequence != 1 || len(s.Remotes) != 1 {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
	group.Wait()
	if len(a.filters) != 1 || a.filters[0].Installation != "us" {
		t.Errorf("it was listed with %+v", a.filters)
	}
	if _, err := lists.Get(t.Context(), b, false); err != nil || len(b.filters) != 1 {
		t.Error("another account was not listed")
	}
	clock.SetTime(noon.Add(50 * time.Second))
	if s, err := lists.Get(t.Context(), a, false); err != nil || s.Sequence != 2 || len(a.filters) != 2 {
		t.Errorf("it was not listed again: %+v, %v", s, err)
	}
}

func TestAListOfEverythingServesThoseWhoWantLess(t *testing.T) {
	lists := &inventory.Lists{Clock: testingclock.NewFakePassiveClock(noon), Installation: "us", Period: time.Minute}
	d := &door{account: "a"}
	for _, everything := range []bool{false, true, false} {
		if _, err := lists.Get(t.Context(), d, everything); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.filters) != 2 || d.filters[1] != (backends.Filter{}) {
		t.Errorf("it was listed with %+v", d.filters)
	}
}

func TestAListThatFailedIsNotKept(t *testing.T) {
	lists := &inventory.Lists{Clock: testingclock.NewFakePassiveClock(noon), Period: time.Minute}
	d := &door{account: "a", err: errors.New("an outage")}
	if _, err := lists.Get(t.Context(), d, false); err == nil {
		t.Fatal("the error was swallowed")
	}
	d.err = nil
	if s, err := lists.Get(t.Context(), d, false); err != nil || s.Sequence != 1 {
		t.Errorf("got %+v, %v", s, err)
	}
}
