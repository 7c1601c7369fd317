// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package machine

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// argument is what a process that is to be a machine finds as its own name.
func argument(service string) string { return "sandbox-machine-" + service }

// Serve registers what runs in machines: a handler of HTTP at a port of their loopback. Call it from an init function, with what
// needs no flags: in the process that is the machine, it never returns.
func Serve(service string, port int, handler func() http.Handler) {
	if len(os.Args) != 4 || os.Args[0] != argument(service) {
		return
	}
	if err := serve(port, os.Args[1], os.Args[2], os.Args[3], handler); err != nil {
		log.Fatalf("The machine %q can't run: %v", os.Args[2], err) //nolint:gosec // it is quoted
	}
	os.Exit(0)
}

func serve(port int, disk, hostname, user string, handler func() http.Handler) error {
	tunnel, err := net.FileListener(os.NewFile(tunnelFile, socketName))
	if err != nil {
		return err
	}
	unix.CloseOnExec(tunnelFile)
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("naming it: %w", err)
	}
	if err := raiseLoopback(); err != nil {
		return fmt.Errorf("raising the loopback: %w", err)
	}
	if err := enterDisk(disk); err != nil {
		return err
	}
	if err := become(user); err != nil {
		return fmt.Errorf("becoming %s: %w", user, err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // as long as the process
	if err != nil {
		return err
	}
	go reapOrphans()
	go lead(tunnel)
	server := &http.Server{Handler: handler(), ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}

// raiseLoopback makes 127.0.0.1 work in a fresh network namespace.
func raiseLoopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}
