// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxtest

import (
	"slices"
	"strings"
)

// Match says whether a rule applies to a command.
type Match func(command *Command) bool

// Any matches every command.
func Any() Match { return func(*Command) bool { return true } }

// Program matches commands whose first words are these: the program, and as many arguments as are given.
func Program(words ...string) Match {
	return func(c *Command) bool {
		return len(c.Argv) >= len(words) && slices.Equal(c.Argv[:len(words)], words)
	}
}

// Contains matches commands in which the text stands: in one of the words, or in the source of code.
func Contains(text string) Match {
	return func(c *Command) bool {
		return slices.ContainsFunc(c.Argv, func(word string) bool { return strings.Contains(word, text) }) ||
			c.Code != nil && strings.Contains(c.Code.Source, text)
	}
}

// Language matches code in this language.
func Language(language string) Match {
	return func(c *Command) bool { return c.Code != nil && c.Code.Language == language }
}

// Exec matches the command of one SandboxExec.
func Exec(namespace, name string) Match {
	return func(c *Command) bool { return c.Namespace == namespace && c.Exec == name }
}

// InNamespace matches commands of one namespace. Suites that run specs side by side give each spec its own.
func InNamespace(namespace string) Match {
	return func(c *Command) bool { return c.Namespace == namespace }
}

// InSandbox matches commands that run in one Sandbox.
func InSandbox(namespace, name string) Match {
	return func(c *Command) bool { return c.Namespace == namespace && c.Sandbox == name }
}

// All matches commands that all of these match.
func All(matches ...Match) Match {
	return func(c *Command) bool {
		return !slices.ContainsFunc(matches, func(match Match) bool { return !match(c) })
	}
}
