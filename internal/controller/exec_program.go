// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
)

// program is what the spec says to run, with everything that it refers to.
func (p *execPass) program(ctx context.Context) (execution.Program, *references, error) {
	spec := &p.exec.Spec
	refs := p.references(p.exec.Namespace)
	program := execution.Program{
		Argv: spec.Command, WorkingDir: spec.WorkingDir, Env: map[string]string{}, Timeout: p.timeout(),
	}
	if err := refs.env(ctx, program.Env, p.sandbox.Spec.EnvFrom, p.sandbox.Spec.Env); err != nil {
		return program, refs, err
	}
	if err := refs.env(ctx, program.Env, spec.EnvFrom, spec.Env); err != nil {
		return program, refs, err
	}
	var err error
	if spec.Stdin != nil {
		if program.Stdin, err = refs.content(ctx, *spec.Stdin); err != nil {
			return program, refs, fmt.Errorf("stdin: %w", err)
		}
	}
	if spec.Code != nil {
		if program.Code, err = code(ctx, spec.Code, refs); err != nil {
			return program, refs, err
		}
	}
	for i := range spec.Inputs {
		input, err := readFile(ctx, refs, &spec.Inputs[i])
		if err != nil {
			return program, refs, fmt.Errorf("input %s: %w", spec.Inputs[i].Path, err)
		}
		program.Inputs = append(program.Inputs, execution.Input{Path: input.path, Content: input.content, Mode: input.mode})
	}
	program.SecretsDigest = secretsDigest(refs.secretValues)
	return program, refs, nil
}

// givenSecrets are the values of Secrets that a run may print.
type givenSecrets struct {
	// given to the command by the operator; files were put into the sandbox when it was made.
	given, files []string
}

// are says that they are those whose digests were written down when they were given.
func (s givenSecrets) are(given, files string) bool {
	return secretsDigest(s.given) == given && secretsDigest(s.files) == files
}

// redaction takes all of them out of what is stored.
func (s givenSecrets) redaction() redaction {
	return newRedaction(slices.Concat(s.given, s.files))
}

// secrets reads, as they are now, the Secrets that the run and its sandbox were given; refs, where set, has the run's own.
// What is missing by now is left out, so that the digest tells.
func (p *execPass) secrets(ctx context.Context, refs *references) (givenSecrets, error) {
	var s givenSecrets
	var err error
	if refs != nil {
		s.given = refs.secretValues
	} else if s.given, err = p.references(p.exec.Namespace).valuesOf(ctx, p.secretSources()); err != nil {
		return s, err
	}
	s.files, err = p.references(p.exec.Namespace).valuesOf(ctx, secretSources{values: fileSources(p.sandbox)})
	return s, err
}

// secretSources are what the program was made from.
func (p *execPass) secretSources() secretSources {
	spec := &p.exec.Spec
	s := secretSources{all: slices.Concat(p.sandbox.Spec.EnvFrom, spec.EnvFrom)}
	for _, variable := range slices.Concat(p.sandbox.Spec.Env, spec.Env) {
		s.values = append(s.values, variable.ValueFrom)
	}
	if spec.Stdin != nil {
		s.values = append(s.values, spec.Stdin.ContentFrom)
	}
	if spec.Code != nil {
		s.values = append(s.values, spec.Code.SourceFrom)
	}
	for i := range spec.Inputs {
		s.values = append(s.values, spec.Inputs[i].ContentFrom)
	}
	return s
}

// languages are those of spec.code, with what runs them.
var languages = map[v1alpha1.CodeLanguage]execution.Code{
	v1alpha1.LanguagePython: {
		Extension: "py", Interpreters: []execution.Interpreter{{Argv: []string{"python3"}}, {Argv: []string{"python"}}},
	},
	v1alpha1.LanguageJavaScript: {
		Extension: "js", Interpreters: []execution.Interpreter{{Argv: []string{"node"}}, {Argv: []string{"nodejs"}}},
	},
	v1alpha1.LanguageTypeScript: {Extension: "ts", Interpreters: []execution.Interpreter{
		{Argv: []string{"tsx"}}, {Argv: []string{"bun", "run"}},
		{Argv: []string{"deno", "run", "--allow-all"}}, {Argv: []string{"ts-node"}},
		// Node runs it by itself from version 22.6 on, with a flag that later ones still take.
		{Argv: []string{"node", "--experimental-strip-types"}, Check: []string{"node", "--experimental-strip-types", "--eval", "0"}},
	}},
	v1alpha1.LanguageShell: {Extension: "sh", Interpreters: []execution.Interpreter{{Argv: []string{"sh"}}}},
	v1alpha1.LanguageRuby:  {Extension: "rb", Interpreters: []execution.Interpreter{{Argv: []string{"ruby"}}}},
	v1alpha1.LanguagePerl:  {Extension: "pl", Interpreters: []execution.Interpreter{{Argv: []string{"perl"}}}},
	// go run would hide the exit code of the program.
	v1alpha1.LanguageGo: {Extension: "go", Interpreters: []execution.Interpreter{{Argv: []string{"go", "build", "-o"}, Builds: true}}},
}

func code(ctx context.Context, spec *v1alpha1.ExecCode, refs *references) (*execution.Code, error) {
	c, known := languages[spec.Language]
	if !known {
		c.Extension = "txt"
	}
	if len(spec.Interpreter) > 0 {
		c.Interpreters = []execution.Interpreter{{Argv: spec.Interpreter}}
	}
	c.Language, c.Source, c.Arguments = string(spec.Language), spec.Source, spec.Arguments
	if spec.SourceFrom != nil {
		source, err := refs.value(ctx, spec.SourceFrom)
		if err != nil {
			return nil, fmt.Errorf("code: %w", err)
		}
		c.Source = string(source)
	}
	return &c, nil
}
