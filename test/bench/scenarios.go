// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// Scenario is something that is measured.
type Scenario struct {
	// Name by which it is chosen.
	Name string
	// Rounds says that one round of several says more than one alone.
	Rounds bool
	// Play measures it once.
	Play func(s *Stage, ctx context.Context, round int) error
}

// Scenarios are all, in the order in which they are played.
func Scenarios() []Scenario {
	return []Scenario{
		{"sandboxes", true, (*Stage).sandboxes},
		{"execs", true, (*Stage).execs},
		{"oneshots", true, (*Stage).oneShots},
		{"output", false, (*Stage).output},
		{"mixed", false, (*Stage).mixed},
		{"crowd", false, (*Stage).crowd},
	}
}

// The loads of a client that does one thing after another, and of one that does much at once.
func (s *Stage) loads() map[string]Load {
	return map[string]Load{"one at a time": {s.scaled(100), 1}, "in a burst": s.burst()}
}

func (s *Stage) burst() Load { return Load{s.scaled(500), s.scaled(100)} }

// sandboxes makes and deletes Sandboxes: by the bare controller first, then by the manager, and by both again with a provider that
// takes 300 ms for each.
func (s *Stage) sandboxes(ctx context.Context, round int) error {
	for _, program := range []Program{floor(), manager()} {
		for _, how := range []string{"one at a time", "in a burst"} {
			if err := s.makeAndDelete(ctx, program, round, how, s.loads()[how]); err != nil {
				return err
			}
		}
	}
	for _, program := range []Program{floor("--delay=300ms"), manager("--bench-delay=300ms")} {
		if err := s.makeAndDelete(ctx, program, round, "in a burst, 300 ms", s.burst()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) makeAndDelete(ctx context.Context, program Program, round int, how string, load Load) error {
	return s.with(ctx, program, round, func(p *play) error {
		if err := p.measure(ctx, Load{1, 1}, p.making("", "warm")); err != nil {
			return err
		}
		if err := p.measure(ctx, load, p.making("sandbox made "+how, "box")); err != nil {
			return err
		}
		return p.measure(ctx, load, p.deleting("sandbox gone "+how, "box"))
	})
}

// with plays a program, and stops it.
func (s *Stage) with(ctx context.Context, program Program, round int, do func(*play) error) error {
	p, err := s.play(ctx, program, round)
	if err != nil {
		return err
	}
	if err := do(p); err != nil {
		return errors.Join(err, p.stop())
	}
	return errors.Join(p.leave(ctx), p.stop())
}

// leave has the program let go of all that is in the namespace, of which the next one's provider would know nothing.
func (p *play) leave(ctx context.Context) error {
	if p.process.program == Crowd {
		return nil
	}
	return errors.Join(
		p.client.DeleteAllOf(ctx, &v1alpha1.SandboxExec{}, client.InNamespace(p.namespace)),
		p.client.DeleteAllOf(ctx, &v1alpha1.Sandbox{}, client.InNamespace(p.namespace)),
		p.empty(ctx))
}

// empty waits until the namespace has no Sandboxes.
func (p *play) empty(ctx context.Context) error {
	for began := time.Now(); ; {
		var left v1alpha1.SandboxList
		if err := p.client.List(ctx, &left, client.InNamespace(p.namespace), client.Limit(1)); err != nil || len(left.Items) == 0 {
			return err
		}
		if time.Since(began) > stuck {
			return fmt.Errorf("not all Sandboxes went within %s%s", stuck, p.lastWords())
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func (p *play) making(name, prefix string) step {
	return step{name: name, prefix: prefix, outcome: p.done, own: "POST sandboxes",
		do: func(ctx context.Context, object string, _ int) error {
			return p.client.Create(ctx, builders.MakeSandbox(p.namespace, object).Obj())
		}}
}

func (p *play) deleting(name, prefix string) step {
	return step{name: name, prefix: prefix, outcome: p.gone, own: "DELETE sandboxes",
		do: func(ctx context.Context, object string, _ int) error {
			return p.client.Delete(ctx, builders.MakeSandbox(p.namespace, object).Obj())
		}}
}

// boxes is how many Sandboxes the runs of one load are spread over.
const boxes = 20

func (p *play) running(name, prefix string, run func(*builders.ExecBuilder) *builders.ExecBuilder) step {
	return step{name: name, prefix: prefix, outcome: p.done, own: "POST sandboxexecs",
		do: func(ctx context.Context, object string, i int) error {
			return p.client.Create(ctx, run(builders.MakeExec(p.namespace, object, fmt.Sprintf("box-%05d", i%boxes))).Obj())
		}}
}

func shortRun(b *builders.ExecBuilder) *builders.ExecBuilder { return b.Command("true") }

// execs runs a command that ends at once in Sandboxes that are Ready.
func (s *Stage) execs(ctx context.Context, round int) error {
	for _, program := range []Program{floor(), manager()} {
		err := s.with(ctx, program, round, func(p *play) error {
			if err := p.measure(ctx, Load{boxes, boxes}, p.making("", "box")); err != nil {
				return err
			}
			if err := p.measure(ctx, Load{1, 1}, p.running("", "warm", shortRun)); err != nil {
				return err
			}
			for prefix, how := range map[string]string{"one": "one at a time", "many": "in a burst"} {
				if err := p.measure(ctx, s.loads()[how], p.running("exec "+how, prefix, shortRun)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// oneShots runs a command in a Sandbox of its own, each.
func (s *Stage) oneShots(ctx context.Context, round int) error {
	return s.with(ctx, manager(), round, func(p *play) error {
		shot := func(name, prefix string) step {
			return step{name: name, prefix: prefix, outcome: p.done, own: "POST sandboxexecs",
				do: func(ctx context.Context, object string, _ int) error {
					shot := builders.MakeOneShot(p.namespace, object, builders.MakeSandbox("", "")).Command("true")
					return p.client.Create(ctx, shot.Obj())
				}}
		}
		if err := p.measure(ctx, Load{1, 1}, shot("", "warm")); err != nil {
			return err
		}
		return p.measure(ctx, Load{s.scaled(200), s.scaled(50)}, shot("one-shot in a burst", "shot"))
	})
}

// output runs a real process that prints 1 MiB, of which the status keeps what it keeps by default.
func (s *Stage) output(ctx context.Context, round int) error {
	return s.with(ctx, manager("--bench-commands=real"), round, func(p *play) error {
		if err := p.measure(ctx, Load{boxes, boxes}, p.making("", "box")); err != nil {
			return err
		}
		print1MiB := func(b *builders.ExecBuilder) *builders.ExecBuilder {
			return b.Shell("head -c 1048576 /dev/zero | tr '\\0' x")
		}
		if err := p.measure(ctx, Load{1, 1}, p.running("", "warm", print1MiB)); err != nil {
			return err
		}
		return p.measure(ctx, Load{s.scaled(100), 4}, p.running("exec printing 1 MiB", "print", print1MiB))
	})
}

// lanes is how many clients make the mixed load.
const lanes = 10

// mixed has some clients make a Sandbox, run three commands in it one after another, and delete it, over and over.
func (s *Stage) mixed(ctx context.Context, round int) error {
	return s.with(ctx, manager(), round, func(p *play) error {
		f := Figures{Name: "mixed load", Program: Manager, Round: round, AtOnce: lanes, Values: map[string]float64{}}
		before, err := p.tally(ctx)
		if err != nil {
			return err
		}
		m := &mixture{play: p, waits: map[string][]time.Duration{}, until: time.Now().Add(time.Duration(s.MixedSeconds) * time.Second)}
		early, err := m.drive(ctx)
		if err != nil {
			return fmt.Errorf("mixed load: %w%s", err, p.lastWords())
		}
		after, err := p.tally(ctx)
		if err != nil {
			return err
		}
		f.Objects = len(m.waits["gone"])
		f.took(m.waits["made"], m.took)
		f.since(f.Objects, before, after, "POST sandboxes", "DELETE sandboxes", "POST sandboxexecs", "DELETE sandboxexecs")
		f.Values["execMedianMilliseconds"], f.Values["execP99Milliseconds"] = quantile(m.waits["run"], 50), quantile(m.waits["run"], 99)
		f.Values["goneMedianMilliseconds"] = quantile(m.waits["gone"], 50)
		f.Values["grownMiB"] = mebibytes(after.used.memory - early)
		s.record(f)
		return nil
	})
}
