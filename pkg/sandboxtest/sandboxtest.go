// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandboxtest gives a test suite working Sandboxes and SandboxExecs: it runs the operator's own reconcilers in the test's
// process, against the API server that the suite has (envtest's, or any other without an operator), with a provider that lives in
// memory. Commands do not run: each one ends at once, with exit code 0 and no output, unless the test says otherwise.
//
//	environment := &envtest.Environment{}
//	config, err := environment.Start()
//	...
//	operator := sandboxtest.Start(t, config)
//	operator.On(sandboxtest.Program("pytest"), sandboxtest.Result{ExitCode: 1, Stdout: "1 failed\n"})
//
// All else is as in a cluster: journals, conditions, outcomes, time limits, retries, one-shots, lifetimes, outputs. What a test sees is
// therefore what its controller will see. A real container, a real shell and a real network are what it does not have.
//
// sandboxtest.go starts and stops the operator, crds.go has the CustomResourceDefinitions, connections.go those to
// the API server, script.go says what commands do, match.go to
// which it applies, history.go what ran, trouble.go makes the provider fail, and sandboxes.go shows what the provider has.
package sandboxtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
	"github.com/sandbox-operator/sandbox-operator/internal/controller"
	"github.com/sandbox-operator/sandbox-operator/internal/execution/simulated"
)

// Backend is the name of the backend in memory, for providers that tests make themselves. The names of the real backends lead to it as
// well, so that a suite may apply the manifests of its providers as they are; their parameters are taken, and mean nothing.
const Backend = "memory"

// Options say what an operator is like. The zero value is what most suites want.
type Options struct {
	// DefaultProvider is the name of the ClusterSandboxProvider that Start makes, and marks as the default, so that Sandboxes need name
	// none; empty = "sandboxtest".
	DefaultProvider string
	// WithoutProvider makes none: the suite makes its own.
	WithoutProvider bool
	// Namespace is the operator's own, in which the Secrets of ClusterSandboxProviders are. It is made where it is missing. Empty =
	// "sandbox-operator-system".
	Namespace string
	// CreateTime is how long the provider takes until a new sandbox runs; 0 = it runs at once.
	CreateTime time.Duration
	// Log takes what the operator logs; the zero value is controller-runtime's own.
	Log logr.Logger
}

func (o *Options) setDefaults() {
	if o.DefaultProvider == "" {
		o.DefaultProvider = "sandboxtest"
	}
	if o.Namespace == "" {
		o.Namespace = "sandbox-operator-system"
	}
}

// Operator is a running operator with its provider. Its methods are safe for concurrent use.
type Operator struct {
	options  Options
	config   *rest.Config
	scheme   *runtime.Scheme
	manager  ctrl.Manager
	provider *memory.Provider
	runner   *simulated.Runner
	cancel   context.CancelFunc
	done     chan struct{}
	err      error

	connections connections

	mutex   sync.Mutex
	rules   []*rule
	history []Command
}

// Start installs what is missing of the CustomResourceDefinitions, starts an operator for the whole cluster, and makes a default
// provider. The operator ends with the test. With Ginkgo, tb is GinkgoTB(), in BeforeSuite as well.
//
// One operator serves one API server; any number of API servers, each with its own, may run in one process.
func Start(tb testing.TB, config *rest.Config, options ...Options) *Operator {
	tb.Helper()
	var given Options
	if len(options) > 0 {
		given = options[0]
	}
	operator, err := New(tb.Context(), config, given)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return operator
}

// New is Start for those who have no testing.TB. The context bounds the start, and ends nothing after that: call Stop.
func New(ctx context.Context, config *rest.Config, options Options) (*Operator, error) {
	options.setDefaults()
	o := &Operator{options: options, scheme: runtime.NewScheme(), done: make(chan struct{})}
	if err := o.start(ctx, config); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the operator of a test: %w", err), o.Stop())
	}
	return o, nil
}

func (o *Operator) start(ctx context.Context, config *rest.Config) error {
	if err := errors.Join(clientgoscheme.AddToScheme(o.scheme), v1alpha1.AddToScheme(o.scheme)); err != nil {
		return err
	}
	var err error
	if o.config, err = o.connections.own(config); err != nil {
		return err
	}
	o.config.QPS = -1
	if err := installCRDs(ctx, o.config); err != nil {
		return err
	}
	o.runner = simulated.New(o.run)
	o.provider = memory.NewProvider(memory.Options{
		UniqueNames: true, KeepFiles: true, RunCommandFunc: o.runner.RunCommand, Removed: o.runner.Forget, CreateDelay: o.options.CreateTime,
	})
	for _, language := range languages {
		o.provider.SetCode(language, o.runCode)
	}
	if err := o.startManager(ctx); err != nil {
		return err
	}
	return o.makeObjects(ctx)
}

// The times of the operator that nobody wants to wait for in a test.
const (
	period     = 500 * time.Millisecond
	lossDelay  = 100 * time.Millisecond
	recreation = 50 * time.Millisecond
	deletion   = 10 * time.Second
)

func (o *Operator) startManager(ctx context.Context) error {
	var err error
	o.manager, err = ctrl.NewManager(o.config, ctrl.Options{
		Scheme: o.scheme, Logger: o.options.Log,
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		// Several operators in one process are several managers with the same controllers.
		Controller: config.Controller{SkipNameValidation: new(true), Logger: o.options.Log},
		Cache:      cache.Options{DefaultTransform: controller.StripFinished},
		Client: client.Options{Cache: &client.CacheOptions{
			DisableFor:                      []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}},
			EnableReadYourWritesConsistency: new(true),
		}},
	})
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	err = controller.Setup(running, o.manager, controller.Options{
		Registry:     backends.NewRegistry(o.registration()),
		Installation: "sandboxtest-" + strings.ToLower(rand.Text()[:10]), Namespace: o.options.Namespace,
		Workers: 16, Period: period, LossDelay: lossDelay, RecreateDelay: recreation, DeletionDeadline: deletion,
	})
	if err != nil {
		cancel()
		return err
	}
	o.cancel = cancel
	go func() {
		defer close(o.done)
		o.err = o.manager.Start(running)
	}()
	if !o.manager.GetCache().WaitForCacheSync(ctx) {
		return errors.New("the cache of the manager does not fill")
	}
	return nil
}

// registration is the backend in memory under the names of all backends.
func (o *Operator) registration() backends.Registration {
	r := o.provider.Registration(Backend)
	r.Aliases = []string{"daytona", "e2b", "kubernetes", "local"}
	r.HasEndpoint, r.HasSandboxParameters = true, true
	r.Setup.Keys = []backends.CredentialKey{{Name: "token", Description: "anything: nobody looks at it", Optional: true}}
	build := r.New
	r.New = func(ctx context.Context, config backends.Config) (backends.Backend, error) {
		config.Parameters = nil
		return build(ctx, config)
	}
	return r
}

// makeObjects makes what a cluster has in which the operator was installed.
func (o *Operator) makeObjects(ctx context.Context) error {
	objects := []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: o.options.Namespace}}}
	if !o.options.WithoutProvider {
		objects = append(objects, &v1alpha1.ClusterSandboxProvider{
			ObjectMeta: metav1.ObjectMeta{
				Name: o.options.DefaultProvider, Annotations: map[string]string{v1alpha1.DefaultProviderAnnotation: "true"},
			},
			Spec: v1alpha1.ClusterProviderSpec{ProviderSpec: v1alpha1.ProviderSpec{Backend: Backend}},
		})
	}
	for _, object := range objects {
		if err := o.manager.GetClient().Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("making %T %s: %w", object, object.GetName(), err)
		}
	}
	return nil
}

// Stop ends the operator and all that it has, and returns when it has ended. Objects stay as they are: one whose finalizer the operator
// would have to take off does not go any more. It may be called again.
func (o *Operator) Stop() error {
	o.mutex.Lock()
	cancel := o.cancel
	o.cancel = nil
	o.mutex.Unlock()
	var failures []error
	if cancel != nil {
		cancel()
		<-o.done
		failures = append(failures, o.err)
	}
	if o.runner != nil {
		o.runner.Close()
		failures = append(failures, o.provider.Close())
	}
	failures = append(failures, o.connections.close())
	return errors.Join(failures...)
}
