// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"errors"
	"flag"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/controller"
	"github.com/sandbox-operator/sandbox-operator/internal/slim"
)

// Where one instance is not enough, several work side by side, each on the objects with its label. docs/scaling.md tells how.

// shardFlags are the flags about that.
type shardFlags struct {
	name      string
	instances int
	providers string
}

// What --providers says.
const (
	ownProviders    = "own"
	followProviders = "follow"
)

func (s *shardFlags) flags(f *flag.FlagSet) {
	f.StringVar(&s.name, "shard", "",
		"Work on the Sandboxes and SandboxExecs with the label "+v1alpha1.ShardLabel+"=NAME. Default: on those without this label.")
	f.IntVar(&s.instances, "shards", 1,
		"How many instances share the accounts, the one without --shard included: each keeps its part of the providers' limits.")
	f.StringVar(&s.providers, "providers", "",
		"own: prove providers, list their accounts, renew leases, destroy what is nobody's; exactly one of the instances does. "+
			"follow: go by what that one finds. Default: own without --shard, follow with it.")
}

func (s *shardFlags) check() error {
	if s.name != "" {
		if problems := validation.IsDNS1123Label(s.name); len(problems) > 0 {
			return fmt.Errorf("--shard: %q: %s", s.name, problems[0])
		}
	}
	switch {
	case s.instances < 1:
		return errors.New("--shards must be 1 or more")
	case s.name != "" && s.instances == 1:
		return errors.New("--shard needs --shards, which says how many instances there are, the one without --shard included")
	case s.providers != "" && s.providers != ownProviders && s.providers != followProviders:
		return fmt.Errorf("--providers: %q is neither %s nor %s", s.providers, ownProviders, followProviders)
	}
	return nil
}

// shard is what the flags say, but for the Sandboxes of the others.
func (s *shardFlags) shard() controller.Shard {
	follows := s.providers == followProviders || (s.providers == "" && s.name != "")
	return controller.Shard{Name: s.name, Instances: s.instances, Follows: follows}
}

// leaseName is that of the lease for which the replicas of this instance compete.
func (s *shardFlags) leaseName() string {
	const name = "manager.sandboxes.run"
	if s.name == "" {
		return name
	}
	return name + "-" + s.name
}

// selected has the API server send no objects but those that this instance works on.
func (s *shardFlags) selected() map[client.Object]cache.ByObject {
	own := cache.ByObject{Label: s.shard().Selector()}
	return map[client.Object]cache.ByObject{&v1alpha1.Sandbox{}: own, &v1alpha1.SandboxExec{}: own}
}

// others is the cache with what the comparison of accounts needs of the other instances' Sandboxes. It sees as much of the cluster
// as the manager's own, and is filled as early.
func (s *shardFlags) others(mgr ctrl.Manager, options cache.Options) (cache.Cache, error) {
	shard := s.shard()
	if shard.Follows {
		return nil, nil //nolint:nilnil // who follows needs none
	}
	options.Scheme, options.Mapper = mgr.GetScheme(), mgr.GetRESTMapper()
	options.ByObject = map[client.Object]cache.ByObject{
		&v1alpha1.Sandbox{}: {Label: shard.OthersSelector(), Transform: controller.StripOther},
	}
	others, err := slim.NewCache(mgr.GetConfig(), options)
	if err != nil {
		return nil, fmt.Errorf("making the cache of the other instances' sandboxes: %w", err)
	}
	if err := mgr.Add(startedFirst{others}); err != nil {
		return nil, fmt.Errorf("adding the cache of the other instances' sandboxes: %w", err)
	}
	return others, nil
}

// startedFirst is a cache that the manager starts with its own, before a leader is elected.
type startedFirst struct{ cache.Cache }

// GetCache is how the manager knows it for a cache.
func (c startedFirst) GetCache() cache.Cache { return c.Cache }
