// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"flag"
	"testing"
)

func parsed(t *testing.T, arguments ...string) *shardFlags {
	t.Helper()
	var s shardFlags
	f := flag.NewFlagSet("manager", flag.ContinueOnError)
	s.flags(f)
	if err := f.Parse(arguments); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestWhichInstanceOwnsTheProviders(t *testing.T) {
	for _, c := range []struct {
		arguments []string
		follows   bool
		lease     string
	}{
		{nil, false, "manager.sandboxes.run"},
		{[]string{"--shards=3"}, false, "manager.sandboxes.run"},
		{[]string{"--shards=3", "--shard=a"}, true, "manager.sandboxes.run-a"},
		{[]string{"--shards=3", "--shard=a", "--providers=own"}, false, "manager.sandboxes.run-a"},
		{[]string{"--shards=3", "--providers=follow"}, true, "manager.sandboxes.run"},
	} {
		s := parsed(t, c.arguments...)
		if err := s.check(); err != nil {
			t.Errorf("%v: %v", c.arguments, err)
		}
		if s.shard().Follows != c.follows || s.leaseName() != c.lease {
			t.Errorf("%v: follows is %v, the lease %s", c.arguments, s.shard().Follows, s.leaseName())
		}
	}
}

func TestShardFlagsThatMakeNoSense(t *testing.T) {
	for _, arguments := range [][]string{
		{"--shard=a"}, {"--shard=A", "--shards=2"}, {"--shard=a.b", "--shards=2"}, {"--shards=0"}, {"--providers=both"},
	} {
		if parsed(t, arguments...).check() == nil {
			t.Errorf("%v was taken", arguments)
		}
	}
}
