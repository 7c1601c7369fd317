// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"bytes"
	"testing"
)

// What the interpreter says comes from the sandbox.
func FuzzInterpreter(f *testing.F) {
	for _, seed := range []string{
		`{"type":"stdout","text":"hello\n"}`, `{"type":"result","text":"1","png":"aGk="}`,
		`{"type":"error","name":"E","value":"v","traceback":""}`,
		"{\"type\":\"result\"}\n{\"type\":\"unexpected_end_of_execution\"}", `{"type":"result","json":{"a":[1]},"chart":null}`, "not json",
	} {
		f.Add([]byte(seed))
	}
	// Many results that are each next to nothing.
	f.Add(bytes.Repeat([]byte("{\"type\":\"result\",\"text\":\"\"}\n"), 500))
	f.Fuzz(func(t *testing.T, said []byte) {
		const limit = 64
		o := newOutput(limit)
		_ = o.read(bytes.NewReader(said))
		result := o.done()
		rich := 0
		for _, one := range result.Rich {
			rich += len(one.Data)
		}
		if rich > limit || len(result.Rich) > mostRich || len(result.Stdout) > limit || len(result.Stderr) > limit {
			t.Errorf("kept %d results of %d bytes, %d and %d of the streams",
				len(result.Rich), rich, len(result.Stdout), len(result.Stderr))
		}
		if len(o.lost) > 200 {
			t.Errorf("the reason has %d bytes", len(o.lost))
		}
	})
}
