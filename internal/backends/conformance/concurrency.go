// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func concurrencyChecks() []Check {
	return []Check{
		{"makes, uses and destroys many remotes at the same time", manyRemotes},
		{"runs many commands in one remote at the same time", manyCommands},
	}
}

const (
	remotesAtOnce  = 8
	commandsAtOnce = 10
)

func manyRemotes(t *T) {
	requests := make([]backends.CreateRequest, remotesAtOnce)
	for i := range requests {
		requests[i] = t.request()
		requests[i].Labels = map[string]string{"number": fmt.Sprint(i)}
	}
	var all sync.WaitGroup
	for _, request := range requests {
		all.Go(func() {
			defer t.recoverStop()
			t.useOne(request)
		})
	}
	all.Wait()
}

// useOne lives a whole life of a remote. It complains of what is another remote's.
func (t *T) useOne(request backends.CreateRequest) {
	created, err := t.Backend.Create(t.ctx, request)
	if err != nil {
		t.Errorf("creating one of %d remotes at the same time: %v", remotesAtOnce, err)
		return
	}
	defer t.destroy(created.ID)
	t.untilRunning(created)
	t.wantSame("Get, of one of many remotes", t.get(created.ID), created, request)
	for i := range 3 {
		want := fmt.Sprintf("%s %d", request.Mark.UID, i)
		if output := t.shell(created.ID, `printf %s "$1"`, want); output != want {
			t.Errorf("a command in one of many remotes printed %q, not %q", output, want)
		}
	}
	if err := t.Backend.Destroy(t.ctx, created.ID); err != nil {
		t.Errorf("destroying one of many remotes: %v", err)
	}
	t.untilGone(created.ID)
}

func manyCommands(t *T) {
	id := t.remote()
	var all sync.WaitGroup
	for i := range commandsAtOnce {
		all.Go(func() {
			defer t.recoverStop()
			word := fmt.Sprintf("command %02d\n", i)
			command := scriptCommand(
				`i=0; while [ $i -lt 300 ]; do printf %s "$1"; i=$((i+1)); done; cat >&2; exit $2`, word, fmt.Sprint(i))
			command.Stdin = random(10_000 + i)
			result := t.run(id, command)
			t.wantBytes("the output of one of many commands", result.Stdout, bytes.Repeat([]byte(word), 300))
			t.wantBytes("the input of one of many commands", result.Stderr, command.Stdin)
			if result.ExitCode != i {
				t.Errorf("one of many commands has exit code %d, not its own %d", result.ExitCode, i)
			}
		})
	}
	all.Wait()
}
