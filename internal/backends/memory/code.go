// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// CodeFunc answers code in place of a real interpreter.
type CodeFunc func(ctx context.Context, remote backends.Remote, code backends.SourceCode) (backends.CodeResult, error)

// SetCode has the function answer all code of this language from now on; nil puts the real interpreter back, where there is
// one.
func (p *Provider) SetCode(language string, answer CodeFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.languages[language] = answer
}

// RunCode implements backends.CodeRunner. The languages shell and python have real interpreters, which run the code as
// RunCommand would, and display nothing but text.
func (a abilities) RunCode(
	ctx context.Context, id string, code backends.SourceCode,
) (result backends.CodeResult, err error) {
	err = a.c.call(ctx, Call{Operation: OperationRunCode, ID: id, Code: &code}, func() error {
		result, err = a.c.runCode(ctx, id, code)
		return err
	})
	return result, err
}

func (c *connection) runCode(ctx context.Context, id string, code backends.SourceCode) (backends.CodeResult, error) {
	if !c.provider.currentOptions().has(backends.CapabilityCode) {
		return backends.CodeResult{}, c.unsupported(OperationRunCode, backends.CapabilityCode)
	}
	_, described, err := c.running(OperationRunCode, id)
	if err != nil {
		return backends.CodeResult{}, err
	}
	if answer := c.provider.codeFunc(code.Language); answer != nil {
		return answer(ctx, described, code)
	}
	interpreter, ok := interpreters[code.Language]
	if !ok {
		return backends.CodeResult{}, c.errorf(backends.Unsupported, OperationRunCode, "there is no kernel for %q", code.Language)
	}
	argv := append([]string{interpreter, "-c", code.Source}, zeroth[code.Language]...)
	ran, err := c.runCommand(ctx, id, backends.Command{
		Argv: append(argv, code.Arguments...), WorkingDir: code.WorkingDir, Env: code.Env, Timeout: code.Timeout,
		OutputLimit: code.OutputLimit,
	})
	ran.ExitCode = min(ran.ExitCode, 1)
	return backends.CodeResult{Result: ran}, err
}

// interpreters run code as their argument -c. A shell takes the next argument as $0.
var (
	interpreters = map[string]string{"shell": "sh", "python": "python3"}
	zeroth       = map[string][]string{"shell": {"sh"}}
)

func (p *Provider) codeFunc(language string) CodeFunc {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.languages[language]
}
