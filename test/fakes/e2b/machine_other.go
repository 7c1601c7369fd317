// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package e2b

import (
	"errors"
	"os/exec"
)

// machine is where the commands of one sandbox run: on Linux only.
type machine struct{}

var errLinuxOnly = errors.New("the fake E2B runs commands on Linux only")

func newMachine(string) (*machine, error)                   { return nil, errLinuxOnly }
func (*machine) close()                                     {}
func (*machine) inside(func() error) error                  { return errLinuxOnly }
func (*machine) start(*exec.Cmd) error                      { return errLinuxOnly }
func (*machine) runAs(*exec.Cmd, account)                   {}
func (*machine) workingDir(account, string) (string, error) { return "", errLinuxOnly }
func (*machine) user(string) (account, error)               { return account{}, errLinuxOnly }
func (*machine) nameOf(uint32) string                       { return "" }
func (*machine) save(string) error                          { return errLinuxOnly }
func (*machine) freeze()                                    {}
func (*machine) thaw()                                      {}
