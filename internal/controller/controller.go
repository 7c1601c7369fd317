// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller has one reconciler a kind. Each pass observes (facts into one struct), decides (a pure function from
// facts to an action), acts (at most one effect on the provider's side at a time) and records (one status write).
//
// For each kind, NAME_controller.go wires and observes, NAME_decide.go decides, the files that are named for the steps of its
// life (sandbox_create.go, exec_start.go) act, and NAME_status.go says what stands in the status. journal.go is what is
// written before a remote is made, attempts.go what a process remembers of attempts, references.go reads what specs refer
// to, redact.go keeps Secrets out of stored output, trouble.go makes errors into conditions, patch.go has the writes, wake.go
// lets one reconciler wake another and watches.go lets providers, stop.go ends them without cutting off what they do, metrics.go
// says what objects cost, census.go how many there are and provider_figures.go how providers are, places.go counts who may have a
// sandbox where a provider has a limit, sandbox_stagger.go keeps creations from beginning all at once, and shard.go says which objects
// are whose where there are several instances.
package controller

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/inventory"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// Options are what the reconcilers need to know.
type Options struct {
	// Registry has the backends.
	Registry *backends.Registry
	// Installation is the installation ID, part of the mark on every remote.
	Installation string
	// Namespace is the operator's own, where the Secrets of cluster providers live.
	Namespace string
	// Namespaced says that the operator sees some namespaces only, and no ClusterSandboxProviders.
	Namespaced bool
	// Shard is which of several instances this one is. The manager's cache must have what Shard.Selector matches.
	Shard Shard
	// Workers is how many objects of a kind are worked on at once; 0 = DefaultWorkers.
	Workers int
	// Period is how often each provider is called to see that it works and what became of its remotes; 0 = DefaultPeriod.
	Period time.Duration
	// Reach is what every provider may reach beside its backend's own hosts.
	Reach backends.Reach
	// OrphanGrace is how old a remote must be before it can be an orphan; 0 = DefaultOrphanGrace.
	OrphanGrace time.Duration
	// LossDelay is how far apart the two looks are that find a remote lost which is to be made again; 0 = DefaultLossDelay.
	LossDelay time.Duration
	// RecreateDelay is how long a remote that was lost soon is not made again; it doubles with each. 0 = DefaultRecreateDelay.
	RecreateDelay time.Duration
	// DeletionDeadline is how long a remote that can't be destroyed keeps its object; 0 = DefaultDeletionDeadline.
	DeletionDeadline time.Duration
	// CompactAfter is how long after its end a SandboxExec keeps its output in status; negative = for ever, 0 =
	// DefaultCompactAfter.
	CompactAfter time.Duration
	// LongestStagger is how long a creation is kept back at most while others of its namespace begin; 0 = DefaultLongestStagger.
	LongestStagger time.Duration
	// Drain is what the program asks, before it ends, to let commands end; nil = it does not ask.
	Drain *Drain
}

// Defaults of Options.
const (
	DefaultWorkers          = 256
	DefaultPeriod           = time.Minute
	DefaultDeletionDeadline = 15 * time.Minute
	DefaultOrphanGrace      = 10 * time.Minute
	DefaultLossDelay        = 10 * time.Second
	DefaultRecreateDelay    = 10 * time.Second
	DefaultCompactAfter     = 7 * 24 * time.Hour
	DefaultLongestStagger   = 500 * time.Millisecond
)

// shared is what all reconcilers have.
type shared struct {
	// client reads from the cache, which has seen this process's own writes, and writes.
	client client.Client
	// live reads from the API server.
	live     client.Reader
	recorder events.EventRecorder
	clock    clock.Clock
	finder   provider.Finder
	doors    *provider.Doors
	lists    *inventory.Lists
	wakes    *wakes
	watches  *watches
	activity *activity
	places   *places
	figures  *figures
	// confirmer asks whether a provider stands, after a journal was written.
	confirmer *provider.Confirmer
	stagger   *stagger
	options   Options
}

// Setup adds all reconcilers to the manager. The manager's client must read its own writes
// (client.CacheOptions.EnableReadYourWritesConsistency).
func Setup(ctx context.Context, mgr ctrl.Manager, options Options) error {
	options.setDefaults()
	s := &shared{
		client:   &shardClient{Client: counted{mgr.GetClient()}, shard: options.Shard},
		live:     mgr.GetAPIReader(),
		recorder: mgr.GetEventRecorder("sandbox-operator"),
		clock:    clock.RealClock{},
		finder:   provider.Finder{Reader: mgr.GetClient(), Namespaced: options.Namespaced},
		doors: &provider.Doors{
			Registry: options.Registry, Secrets: mgr.GetAPIReader(), Writer: mgr.GetClient(), Namespace: options.Namespace,
			Reach: options.Reach, Workers: options.Workers, Cluster: mgr.GetConfig(), Share: options.share(),
			Follows: options.Shard.Follows,
		},
		lists:     &inventory.Lists{Clock: clock.RealClock{}, Installation: options.Installation, Period: options.Period},
		wakes:     newWakes(),
		figures:   newFigures(),
		confirmer: &provider.Confirmer{Reader: mgr.GetAPIReader()},
		stagger:   newStagger(options.LongestStagger, options.Workers/2),
		options:   options,
	}
	s.places = newPlaces(s.wakes)
	s.activity = newActivity(s.clock.Now())
	s.watches = newWatches(ctx, s.hint)
	if err := s.setupSandbox(mgr); err != nil {
		return fmt.Errorf("setting up the Sandbox controller: %w", err)
	}
	if err := s.setupExec(ctx, mgr); err != nil {
		return fmt.Errorf("setting up the SandboxExec controller: %w", err)
	}
	if err := s.setupProviders(mgr); err != nil {
		return fmt.Errorf("setting up the provider controllers: %w", err)
	}
	if err := s.setupCensus(mgr); err != nil {
		return fmt.Errorf("setting up the metrics: %w", err)
	}
	return nil
}

func (o *Options) setDefaults() {
	if o.Workers == 0 {
		o.Workers = DefaultWorkers
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&o.Period, DefaultPeriod},
		{&o.DeletionDeadline, DefaultDeletionDeadline},
		{&o.OrphanGrace, DefaultOrphanGrace},
		{&o.LossDelay, DefaultLossDelay},
		{&o.RecreateDelay, DefaultRecreateDelay},
		{&o.LongestStagger, DefaultLongestStagger},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if o.CompactAfter == 0 {
		o.CompactAfter = DefaultCompactAfter
	}
}

// liveFinder finds providers as the API server has them now.
func (s *shared) liveFinder() provider.Finder {
	live := s.finder
	live.Reader = s.live
	return live
}

// controllerOptions are those of one controller: failures of one object back off from 100 ms to a minute.
func (s *shared) controllerOptions() controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: s.options.Workers,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
			100*time.Millisecond, time.Minute),
	}
}

// conflictDelay is how soon a pass comes again whose write met somebody else's.
const conflictDelay = 20 * time.Millisecond

// pass makes a write that met somebody else's an ordinary thing: the object comes again, and nothing is logged.
func pass(result ctrl.Result, err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: jittered(conflictDelay)}, nil
	}
	return result, err
}
