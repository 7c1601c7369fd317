// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fake is a provider of sandboxes over HTTP whose every call can go wrong as a script says. It really runs the commands
// that it is given, as processes of this machine in a throw-away directory for each sandbox.
//
// wire.go is what goes over the wire, server.go the provider, fault.go what goes wrong and where calls are stopped, and
// control.go how a test steers it from another process.
package fake

import (
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// The operations, as paths and logs name them.
const (
	Create      = "create"
	Get         = "get"
	List        = "list"
	Destroy     = "destroy"
	FindByName  = "find"
	RunCommand  = "run"
	SetLifetime = "lifetime"
	Pause       = "pause"
	Resume      = "resume"
	SetLabels   = "labels"
	Endpoint    = "endpoint"
)

// TokenKey is the key of the credentials Secret. The token goes with each call as the password of a bearer.
const TokenKey = "token"

// Body is what a call sends: the fields that its operation has. It goes to POST /accounts/ACCOUNT/OPERATION.
type Body struct {
	ID       string                  `json:"id,omitempty"`
	Name     string                  `json:"name,omitempty"`
	Request  *backends.CreateRequest `json:"request,omitempty"`
	Filter   *backends.Filter        `json:"filter,omitempty"`
	Command  *backends.Command       `json:"command,omitempty"`
	Lifetime time.Duration           `json:"lifetime,omitempty"`
	Labels   map[string]string       `json:"labels,omitempty"`
	Port     *backends.Port          `json:"port,omitempty"`
	// After is the ID of the last remote of the page before.
	After string `json:"after,omitempty"`
}

// PageSize is how many remotes a list returns at once.
const PageSize = 100

// Answer is what a call gets back with status 200, or, with another, Code and Message.
type Answer struct {
	Remote  backends.Remote   `json:"remote"`
	Remotes []backends.Remote `json:"remotes,omitempty"`
	// More says that there is a further page.
	More     bool              `json:"more,omitempty"`
	Result   backends.Result   `json:"result"`
	Endpoint backends.Endpoint `json:"endpoint"`

	Code    backends.Code `json:"code,omitempty"`
	Message string        `json:"message,omitempty"`
}
