// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// Level says how bad a finding is.
type Level string

// The levels of a finding.
const (
	// Fine: as it should be.
	Fine Level = "ok"
	// Warned: it may matter, or could not be seen.
	Warned Level = "warn"
	// Failed: something will not work.
	Failed Level = "fail"
)

var colours = map[Level]cli.Colour{Fine: cli.Green, Warned: cli.Yellow, Failed: cli.Red}

// Finding is what a check says.
type Finding struct {
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
	// Next is what to do about it; empty where there is nothing to be done.
	Next string `json:"next,omitempty"`
}

func fine(check, message string, arguments ...any) Finding {
	return Finding{Check: check, Level: Fine, Message: fmt.Sprintf(message, arguments...)}
}

func warned(check, next, message string, arguments ...any) Finding {
	return Finding{Check: check, Level: Warned, Message: fmt.Sprintf(message, arguments...), Next: next}
}

func failed(check, next, message string, arguments ...any) Finding {
	return Finding{Check: check, Level: Failed, Message: fmt.Sprintf(message, arguments...), Next: next}
}

// broken is a failure of the plugin's as a finding.
func broken(check string, err error) Finding {
	if failure, ok := errors.AsType[*cli.Failure](cli.Explain(err)); ok {
		return failed(check, failure.Next, "%s", failure.Problem)
	}
	return failed(check, "", "%v", err)
}

// worst is the level of the worst finding.
func worst(findings []Finding) Level {
	level := Fine
	for _, f := range findings {
		if f.Level == Failed || f.Level == Warned && level == Fine {
			level = f.Level
		}
	}
	return level
}
