// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package orders has what package node and its program inside say to each other, as JSON, one message after the other.
package orders

// What can be ordered.
const (
	// Start starts a program that stays. It is answered when the program runs.
	Start = "start"
	// Run runs a program to its end, and answers with its output.
	Run = "run"
	// Check asks whether a program that was started still runs, and answers with an error if it does not.
	Check = "check"
	// Kill ends a program that was started, by SIGKILL. It is answered when it is gone; one that had ended is no error.
	Kill = "kill"
	// KillOthers ends all processes but those of the programs that are named.
	KillOthers = "killOthers"
	// Forward lets who connects to the listener that the program inherited connect to an address in the node.
	Forward = "forward"
)

// ListenerFD is the file descriptor of the listener that the program inherits from outside the node.
const ListenerFD = 3

// Order is an instruction.
type Order struct {
	ID int
	Do string
	// Name of the program, for Start, Check and Kill.
	Name string `json:",omitempty"`
	// Names of the programs that KillOthers spares.
	Names []string `json:",omitempty"`
	// Command and its arguments, for Start and Run.
	Command []string `json:",omitempty"`
	// Log is the file that a started program's output is added to.
	Log string `json:",omitempty"`
	// Address, HOST:PORT, for Forward.
	Address string `json:",omitempty"`
}

// Answer is what became of an order.
type Answer struct {
	ID     int
	Output []byte `json:",omitempty"`
	Error  string `json:",omitempty"`
}
