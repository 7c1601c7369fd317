// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manager is the operator's program but for its backends: it reads flags, wires the reconcilers to a
// controller-runtime manager, and runs it. cmd/manager is this with the registry of all backends; the chaos suite's manager is
// this with the backends of its fake provider, so that it kills the very program that users run.
package manager

import (
	"context"
	"flag"
	"fmt"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubeconfigs of every kind, for `make run`
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/controller"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/internal/slim"
)

// mostVerbose is the highest level at which the Kubernetes client logs no bodies of requests and answers.
const mostVerbose = 7

// settings are what the flags say.
type settings struct {
	metricsAddress, probeAddress, profilingAddress string
	secureMetrics                                  bool
	metricsLimit                                   int
	tracingEndpoint                                string
	tracingRatio                                   float64
	logFormat                                      string
	leaderElect                                    bool
	lease                                          leaseTimes
	installation, namespace                        string
	namespaces                                     string
	watched                                        []string // what namespaces says; none = all
	backends, providerHosts                        string
	shards                                         shardFlags
	workers                                        int
	period, deletionDeadline                       time.Duration
	orphanGrace, compactAfter                      time.Duration
	drainTimeout                                   time.Duration
	printVersion                                   bool
	version                                        string
	variations                                     []Variation
	zap                                            zap.Options
}

// leaseTimes are those of leader election, named as in other programs of Kubernetes.
type leaseTimes struct{ duration, renewDeadline, retryPeriod time.Duration }

func (t *leaseTimes) flags(f *flag.FlagSet) {
	f.DurationVar(&t.duration, "leader-elect-lease-duration", 15*time.Second,
		"How long after its last sign of life a leader may be replaced.")
	f.DurationVar(&t.renewDeadline, "leader-elect-renew-deadline", 10*time.Second,
		"How long a leader tries to renew its lease before it ends. Less than the lease's duration.")
	f.DurationVar(&t.retryPeriod, "leader-elect-retry-period", 2*time.Second,
		"How often a lease is renewed, or asked for. Less than the renew deadline.")
}

// Variation is what a program that is not for users has otherwise. Nil functions change nothing.
type Variation struct {
	// Manager changes the options of the controller-runtime manager, such as what it sees of the cluster.
	Manager func(*ctrl.Options)
	// Controller changes what no flag does, such as waits.
	Controller func(*controller.Options)
}

// Main is the whole program, for a function main.
func Main(registry *backends.Registry, version string, variations ...Variation) {
	s := flags(registry)
	if s.printVersion {
		fmt.Println(version)
		return
	}
	s.version, s.variations = version, variations
	s.formLogs()
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&s.zap)))
	if err := run(ctrl.SetupSignalHandler(), s, registry); err != nil {
		ctrl.Log.Error(err, "The manager ends with an error")
		os.Exit(1)
	}
}

func flags(registry *backends.Registry) *settings {
	// A stack says nothing that the message of an error does not; it is there for a bug.
	s := &settings{zap: zap.Options{StacktraceLevel: zapcore.DPanicLevel}}
	f := flag.CommandLine
	f.StringVar(&s.metricsAddress, "metrics-bind-address", "0", "Address of the metrics endpoint, such as :8443; 0 = none.")
	f.BoolVar(&s.secureMetrics, "metrics-secure", true, "Serve metrics over HTTPS, to those who may read /metrics only.")
	f.IntVar(&s.metricsLimit, "metrics-limit", metrics.DefaultLimit,
		"How many providers, and how many namespaces, have values of their own in the labels of metrics; the rest is counted as other.")
	f.StringVar(&s.tracingEndpoint, "tracing-endpoint", "",
		"Where traces go: a collector's URL for OTLP over HTTP, such as http://collector.monitoring:4318. Default: none are made.")
	f.Float64Var(&s.tracingRatio, "tracing-ratio", 1,
		"Which part of the Sandboxes and SandboxExecs is traced, 0 to 1. Those with a trace context in the annotation "+
			v1alpha1.TraceparentAnnotation+" are traced where that one is sampled.")
	f.StringVar(&s.logFormat, "log-format", "", "Form of the log: json or text. Default: what --zap-encoder says, else json.")
	f.StringVar(&s.probeAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz; 0 = none.")
	f.StringVar(&s.profilingAddress, "pprof-bind-address", "0",
		"Address of the profiles of CPU, memory and locks under /debug/pprof, such as 127.0.0.1:8082; 0 = none. They are not "+
			"protected, and show what the program does.")
	f.BoolVar(&s.leaderElect, "leader-elect", false, "Elect a leader, so that only one of several replicas is active.")
	s.lease.flags(f)
	f.StringVar(&s.installation, "installation-id", "",
		"ID in the mark of every sandbox. Default: the UID of the namespace kube-system, or with --namespaces that of the "+
			"operator's own. A cluster that was restored or cloned elsewhere must set another.")
	f.StringVar(&s.namespace, "namespace", defaultNamespace(),
		"The operator's own namespace, where the Secrets of ClusterSandboxProviders are. Default: $POD_NAMESPACE, or "+
			"sandbox-operator-system.")
	f.StringVar(&s.namespaces, "namespaces", "",
		"The namespaces that the operator works in, separated by commas, with rights in these alone and no "+
			"ClusterSandboxProviders. Default: all.")
	s.shards.flags(f)
	f.StringVar(&s.backends, "backends", "",
		"The backends that can be used, separated by commas. Default: all but those that use the operator's own machine (local).")
	f.StringVar(&s.providerHosts, "provider-hosts", "",
		"Hosts that SandboxProviders may reach beside their backend's own, separated by commas: names, *.DOMAIN, CIDRs. "+
			"ClusterSandboxProviders may reach any, but on the manager's own machine only what they name.")
	f.IntVar(&s.workers, "workers", controller.DefaultWorkers, "How many objects of a kind are worked on at once.")
	f.DurationVar(&s.period, "provider-period", controller.DefaultPeriod,
		"How often each provider is called to see that it works and what became of its sandboxes.")
	f.DurationVar(&s.deletionDeadline, "deletion-deadline", controller.DefaultDeletionDeadline,
		"How long a sandbox that can't be destroyed at its provider keeps its object.")
	f.DurationVar(&s.orphanGrace, "orphan-grace", controller.DefaultOrphanGrace,
		"How old a sandbox that no Sandbox object has any more must be before it is taken for an orphan.")
	f.DurationVar(&s.compactAfter, "compact-after", controller.DefaultCompactAfter,
		"How long after its end a SandboxExec keeps its output in status; outcome, exit code, counts and digests stay. "+
			"Negative = for ever.")
	f.DurationVar(&s.drainTimeout, "drain-timeout", 5*time.Minute,
		"How long the process, asked to end, waits for commands that would die with it (native code, and commands in sandboxes "+
			"without a shell; others go on without it). The pod's terminationGracePeriodSeconds must be longer.")
	f.BoolVar(&s.printVersion, "version", false, "Print the version and end.")
	registry.AddFlags(f)
	s.zap.BindFlags(f)
	flag.Parse()
	return s
}

func defaultNamespace() string {
	if namespace := os.Getenv("POD_NAMESPACE"); namespace != "" {
		return namespace
	}
	return "sandbox-operator-system"
}

// check refuses flags that make no sense.
func (s *settings) check() error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if level, err := strconv.Atoi(flag.Lookup("zap-log-level").Value.String()); err == nil && level > mostVerbose {
		return fmt.Errorf("--zap-log-level can be %d at most: above it, the Kubernetes client logs the Secrets that it reads",
			mostVerbose)
	}
	if err := s.checkTelling(); err != nil {
		return err
	}
	return s.shards.check()
}

func run(ctx context.Context, s *settings, registry *backends.Registry) error {
	begin := endAtOnce(ctx)
	start, err := prepare(ctx, s, registry)
	if !begin() {
		// What failed, failed because of that.
		return nil
	}
	if err != nil {
		return err
	}
	return start()
}

// prepare does all that has no effect yet, and returns what has.
func prepare(ctx context.Context, s *settings, registry *backends.Registry) (start func() error, err error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.backends != "" {
		if err := registry.Enable(strings.Split(s.backends, ",")...); err != nil {
			return nil, fmt.Errorf("--backends: %w", err)
		}
	}
	reach, err := backends.ParseReach(s.providerHosts)
	if err != nil {
		return nil, fmt.Errorf("--provider-hosts: %w", err)
	}
	if s.watched, err = parseNamespaces(s.namespaces); err != nil {
		return nil, fmt.Errorf("--namespaces: %w", err)
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster (set KUBECONFIG or --kubeconfig): %w", err)
	}
	// The API server's own fairness bounds the operator better than a fixed rate.
	config.QPS = -1
	mgr, shard, err := newManager(config, s)
	if err != nil {
		return nil, err
	}
	if s.installation == "" {
		if s.installation, err = installationID(ctx, mgr.GetAPIReader(), s); err != nil {
			return nil, err
		}
	}
	options := controller.Options{
		Registry: registry, Installation: s.installation, Namespace: s.namespace, Reach: reach,
		Namespaced: len(s.watched) > 0, Shard: shard,
		Workers: s.workers, Period: s.period, DeletionDeadline: s.deletionDeadline,
		OrphanGrace: s.orphanGrace, CompactAfter: s.compactAfter,
		Drain: &controller.Drain{},
	}
	for _, variation := range s.variations {
		if variation.Controller != nil {
			variation.Controller(&options)
		}
	}
	if err := controller.Setup(ctx, mgr, options); err != nil {
		return nil, err
	}
	stopTracing, err := s.startTelling(ctx)
	if err != nil {
		return nil, err
	}
	return func() error {
		defer stopTracing()
		ctrl.Log.Info("Starting", "version", s.version, "installation", s.installation, "namespace", s.namespace, "shard", shard.Name,
			"instances", shard.Instances)
		return unlessCut(ctx, mgr, mgr.Start(untilDrained(ctx, options.Drain, s.drainTimeout)))
	}, nil
}

func newManager(config *rest.Config, s *settings) (ctrl.Manager, controller.Shard, error) {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	served := metricsserver.Options{BindAddress: s.metricsAddress, SecureServing: s.secureMetrics}
	if s.secureMetrics {
		served.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	options := ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       served,
		HealthProbeBindAddress:        s.probeAddress,
		PprofBindAddress:              s.profilingAddress,
		LeaderElection:                s.leaderElect,
		LeaderElectionID:              s.shards.leaseName(),
		LeaderElectionNamespace:       s.namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &s.lease.duration,
		RenewDeadline:                 &s.lease.renewDeadline,
		RetryPeriod:                   &s.lease.retryPeriod,
		NewCache:                      slim.NewCache,
		Cache:                         cache.Options{DefaultTransform: controller.StripFinished, ByObject: s.shards.selected()},
		Client: client.Options{Cache: &client.CacheOptions{
			// Secrets and ConfigMaps are read when they are used, and kept nowhere.
			DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}},
			// A pass acts only on a cache that has seen this process's own writes.
			EnableReadYourWritesConsistency: new(true),
		}},
	}
	if len(s.watched) > 0 {
		options.Cache.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range s.watched {
			options.Cache.DefaultNamespaces[namespace] = cache.Config{}
		}
		options.NewClient = perNamespace(s.watched)
	}
	if s.profilingAddress != "0" {
		// Without these, the profiles of what goroutines wait for are empty.
		goruntime.SetBlockProfileRate(int(time.Millisecond))
		goruntime.SetMutexProfileFraction(100)
	}
	for _, variation := range s.variations {
		if variation.Manager != nil {
			variation.Manager(&options)
		}
	}
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return nil, controller.Shard{}, fmt.Errorf("making the manager: %w", err)
	}
	shard := s.shards.shard()
	if shard.Others, err = s.shards.others(mgr, options.Cache); err != nil {
		return nil, shard, err
	}
	return mgr, shard, addProbes(mgr, shard, s)
}

// installationID is the UID of the namespace kube-system, which stands for the cluster. An operator for some namespaces can't read
// that one, and may not be the only one in the cluster: its own namespace stands for it.
func installationID(ctx context.Context, reader client.Reader, s *settings) (string, error) {
	name := metav1.NamespaceSystem
	if len(s.watched) > 0 {
		name = s.namespace
	}
	var namespace corev1.Namespace
	if err := reader.Get(ctx, client.ObjectKey{Name: name}, &namespace); err != nil {
		return "", fmt.Errorf("reading the namespace %s for the installation ID (or set --installation-id): %w", name, err)
	}
	return string(namespace.UID), nil
}
