// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sandbox's starter lives in a network namespace of its own, in which there is a loopback and nothing else, and gVisor makes the
// sandbox's network after that picture. (Its mode without any network would do the same, but then refuses to let relays in.)

// raiseLoopback brings up the loopback in the network namespace of a process.
func raiseLoopback(pid int) error {
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer func() { _ = there.Close() }()
	done := make(chan error, 1)
	go func() {
		// A namespace is a thread's. This thread is never unlocked, and so ends with the goroutine: nothing else ever runs on it.
		runtime.LockOSThread()
		done <- raiseLoopbackIn(int(there.Fd()))
	}()
	return <-done
}

func raiseLoopbackIn(namespace int) error {
	if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("setns", err)
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	request, err := unix.NewIfreq("lo")
	if err == nil {
		request.SetUint16(unix.IFF_UP)
		err = ioctlIfreq(socket, unix.SIOCSIFFLAGS, request)
	}
	return errors.Join(err, unix.Close(socket))
}

func ioctlIfreq(socket int, operation uintptr, request *unix.Ifreq) error {
	//nolint:gosec // ioctl takes a pointer
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), operation, uintptr(unsafe.Pointer(request)))
	if errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}
