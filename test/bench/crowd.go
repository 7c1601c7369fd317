// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/backend"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
)

// Crowd is the operator whose provider is in this process, so that it remembers what the operator forgets when it is started anew.
const Crowd = "crowd"

// crowdMade ends the names of the figures of its making.
const crowdMade = " sandboxes made"

// crowdPeriod is how often the provider is listed meanwhile: as often as by default.
const crowdPeriod = time.Minute

// crowd makes 100, 1,000 and 10,000 Sandboxes, adds 10,000 finished runs whose output fills what may be kept, and looks at what
// they cost when the manager starts anew, and then when nothing happens.
func (s *Stage) crowd(ctx context.Context, round int) (err error) {
	provider, closeProvider, err := s.serveProvider(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeProvider()) }()
	program := Program{Name: Crowd, arguments: []string{
		"--backends=" + backend.Named, "--chaos-url=" + provider, "--chaos-dir=" + s.remotes(),
		"--health-probe-bind-address=0", "--zap-devel=false", "--compact-after=-1s", "--provider-period=" + crowdPeriod.String(),
	}}
	last := ""
	for _, size := range []int{100, 1000, 10_000} {
		err := s.with(ctx, program, round, func(p *play) error {
			last = p.namespace
			return p.measure(ctx, Load{s.scaled(size), s.scaled(100)}, p.crowding(fmt.Sprintf("%d%s", s.scaled(size), crowdMade)))
		})
		if err != nil {
			return err
		}
	}
	if err := s.makeFinished(ctx, last, s.scaled(10_000)); err != nil {
		return err
	}
	return s.with(ctx, program, round, func(p *play) error { return p.rest(ctx) })
}

// serveProvider starts the provider, and returns its URL.
func (s *Stage) serveProvider(ctx context.Context) (string, func() error, error) {
	const token = "crowd"
	if err := os.MkdirAll(s.remotes(), 0o700); err != nil {
		return "", nil, err
	}
	server := fake.NewServer(fake.Options{Dir: s.remotes(), Token: token, UniqueNames: true})
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it answers at once
	if err != nil {
		return "", nil, err
	}
	web := &http.Server{Handler: server, ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(listener) }()
	object := builders.MakeClusterProvider(Crowd, backend.Named).Credentials(Crowd).Parameters(`{"account":"crowd"}`).Obj()
	object.Spec.LeaseSeconds = new(int32(0))
	err = errors.Join(s.client.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: Crowd}, StringData: map[string]string{fake.TokenKey: token},
	}), s.client.Create(ctx, object))
	return "http://" + listener.Addr().String(), func() error { return errors.Join(web.Close(), server.Close()) }, err
}

// remotes is where the provider keeps its sandboxes.
func (s *Stage) remotes() string { return filepath.Join(s.dir, "remotes") }

func (p *play) crowding(name string) step {
	return step{name: name, prefix: "box", outcome: p.done, own: "POST sandboxes",
		do: func(ctx context.Context, object string, _ int) error {
			return p.client.Create(ctx, builders.MakeSandbox(p.namespace, object).ClusterProvider(Crowd).Obj())
		}}
}

// rest waits until a manager that was started anew has seen all objects, and then for a period and a half in which nothing happens.
func (p *play) rest(ctx context.Context) error {
	sandboxes, execs := p.scaled(100)+p.scaled(1000)+p.scaled(10_000), p.scaled(10_000)
	f := Figures{Name: "started anew", Program: Crowd, Round: p.round, Objects: sandboxes + execs, Values: map[string]float64{}}
	began := time.Now()
	writes, _, err := p.requests(ctx)
	if err != nil {
		return err
	}
	if err := p.observed(ctx, map[string]int{"sandbox": sandboxes, "sandboxexec": execs}); err != nil {
		return fmt.Errorf("%w%s", err, p.lastWords())
	}
	f.Values["secondsToObserveAll"] = time.Since(began).Seconds()
	after, err := p.tally(ctx)
	if err != nil {
		return err
	}
	f.cost(f.Objects, costs{}, after.used)
	f.Values["writes"], f.Values["callsButLists"] = after.writes.minus(writes).sum(), after.calls.sum()-after.calls["list"]
	p.record(f)
	return p.idle(ctx, f.Objects)
}

// idle watches the manager for a period and a half.
func (p *play) idle(ctx context.Context, objects int) error {
	f := Figures{Name: "idle", Program: Crowd, Round: p.round, Objects: objects, Values: map[string]float64{}}
	settle, howLong := crowdPeriod/2, crowdPeriod*3/2
	if p.Size > 1 {
		settle, howLong = time.Second, time.Second
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	before, err := p.tally(ctx)
	compared, err2 := p.process.comparing(ctx)
	if err := errors.Join(err, err2, p.process.resetPeak(), pause(ctx, howLong)); err != nil {
		return err
	}
	after, err := p.tally(ctx)
	scraped := time.Now()
	comparedThen, err2 := p.process.comparing(ctx)
	f.Values["scrapeMilliseconds"] = float64(time.Since(scraped).Microseconds()) / 1000
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	f.Memory, f.Peak = mebibytes(after.used.memory), mebibytes(after.used.peak)
	f.Values["writes"] = after.writes.minus(before.writes).sum()
	since := after.calls.minus(before.calls)
	f.Values["lists"], f.Values["callsButLists"] = since["list"], since.sum()-since["list"]
	if lists := f.Values["lists"]; lists > 0 {
		f.Values["inventorySeconds"] = (comparedThen - compared) / lists
	}
	f.Values["cpuPercent"] = 100 * (after.used.cpu - before.used.cpu).Seconds() / howLong.Seconds()
	f.Values["memoryMiB"], f.Values["peakMiB"] = f.Memory, f.Peak
	p.record(f)
	return nil
}

func pause(ctx context.Context, howLong time.Duration) error {
	select {
	case <-time.After(howLong):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// observed waits until each controller has made as many passes as there are objects.
func (p *play) observed(ctx context.Context, objects map[string]int) error {
	for began := time.Now(); ; {
		text, err := p.process.scrape(ctx)
		if err == nil {
			passes, err := count(text, "controller_runtime_reconcile_total", func(labels map[string]string) string {
				return labels["controller"]
			})
			if err != nil {
				return err
			}
			missing := 0
			for controller, n := range objects {
				missing += max(0, n-int(passes[controller]))
			}
			if missing == 0 {
				return nil
			}
		}
		if time.Since(began) > 3*stuck {
			return errors.New("the manager has not seen all objects")
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// makeFinished makes runs that are finished, with as much output in their status as it takes. No manager runs meanwhile.
func (s *Stage) makeFinished(ctx context.Context, namespace string, n int) error {
	failures := make(chan error, n)
	numbers := make(chan int)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range numbers {
				failures <- s.makeOneFinished(ctx, namespace, i)
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	group.Wait()
	close(failures)
	var err error
	for failure := range failures {
		err = errors.Join(err, failure)
	}
	return err
}

func (s *Stage) makeOneFinished(ctx context.Context, namespace string, i int) error {
	exec := builders.MakeExec(namespace, fmt.Sprintf("finished-%05d", i), fmt.Sprintf("box-%05d", i)).
		Shell("seq 100000").Env("LOG_LEVEL", "debug").Output("/workspace/report.json").Obj()
	if err := s.client.Create(ctx, exec); err != nil {
		return err
	}
	before := exec.DeepCopy()
	exec.Status = finishedStatus(exec)
	return s.client.Status().Patch(ctx, exec, client.MergeFrom(before))
}

// finishedStatus is that of a run which printed more than is kept of both streams, and left a file of 16 KiB.
func finishedStatus(exec *v1alpha1.SandboxExec) v1alpha1.SandboxExecStatus {
	half, digest := strings.Repeat("0123456789abcde\n", 512), strings.Repeat("0", 64)
	stream := v1alpha1.StreamStatus{
		Head: half, Tail: half, Bytes: new(int64(100_000)), Retention: v1alpha1.RetentionTruncated, Encoding: v1alpha1.EncodingUTF8,
		SHA256: digest,
	}
	s := v1alpha1.SandboxExecStatus{
		ObservedGeneration: 1, Outcome: v1alpha1.OutcomeSucceeded, Reason: v1alpha1.ReasonExited, ExitCode: new(int32(0)),
		Stdout: stream.DeepCopy(), Stderr: stream.DeepCopy(), StartTime: new(metav1.Now()), CompletionTime: new(metav1.Now()),
		DurationMilliseconds: new(int64(12)), Attempt: 1, Incarnation: 1,
		SandboxName: exec.Spec.SandboxRef.Name, SandboxUID: string(exec.UID), SandboxID: string(exec.UID),
		Provider: &v1alpha1.ProviderIdentity{
			Kind: v1alpha1.KindClusterSandboxProvider, Name: Crowd, UID: string(exec.UID), Backend: backend.Named,
		},
		Outputs: []v1alpha1.OutputStatus{{
			Name: "/workspace/report.json", State: v1alpha1.OutputKept, Bytes: new(int64(16 << 10)), Mode: "0644",
			Content: half + half, SHA256: digest,
		}},
	}
	for _, kind := range []string{
		v1alpha1.ConditionStarted, v1alpha1.ConditionFinished, v1alpha1.ConditionComplete, v1alpha1.ConditionReady,
	} {
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: string(v1alpha1.OutcomeSucceeded), ObservedGeneration: 1,
			Message: "The command ended with exit code 0; of the 100000 bytes of stdout, beginning and end are kept",
		})
	}
	return s
}
