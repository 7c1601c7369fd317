// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/sandbox-operator/sandbox-operator/test/node/orders"
)

// errOver is what every order gets once the node's first process is gone.
var errOver = errors.New("the node is over")

// control gives orders to the node's first process.
type control struct {
	command *exec.Cmd
	stdin   io.WriteCloser

	mutex   sync.Mutex
	encoder *json.Encoder
	waiting map[int]chan orders.Answer
	last    int
	ended   chan struct{} // closed when the process is gone and its answers are read
}

// namespaces are those of the node: nothing that it mounts, listens on, starts or calls itself is seen outside.
const namespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// startInside starts the program as the first process of new namespaces. It inherits the listener.
func startInside(program, dir, cgroup string, listener *net.TCPListener) (*control, error) {
	file, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	c := &control{waiting: map[int]chan orders.Answer{}, ended: make(chan struct{})}
	c.command = exec.Command(program, dir, cgroup) //nolint:noctx // the end of its input ends it, and cleans up
	c.command.Dir = "/"
	c.command.Stderr = os.Stderr
	c.command.ExtraFiles = []*os.File{file}
	c.command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Setsid: true}
	if c.stdin, err = c.command.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.encoder = json.NewEncoder(c.stdin)
	if err := c.command.Start(); err != nil {
		return nil, fmt.Errorf("starting the node's first process in namespaces of its own: %w", err)
	}
	go c.read(stdout)
	return c, nil
}

// read hands answers to those who wait for them.
func (c *control) read(stdout io.Reader) {
	decoder := json.NewDecoder(stdout)
	for {
		var answer orders.Answer
		if err := decoder.Decode(&answer); err != nil {
			break
		}
		c.mutex.Lock()
		if waiting := c.waiting[answer.ID]; waiting != nil {
			waiting <- answer
			delete(c.waiting, answer.ID)
		}
		c.mutex.Unlock()
	}
	_ = c.command.Wait()
	close(c.ended)
}

// do gives an order and waits for the answer. An order whose context ends is still carried out.
func (c *control) do(ctx context.Context, order *orders.Order) ([]byte, error) {
	answers := make(chan orders.Answer, 1)
	c.mutex.Lock()
	c.last++
	order.ID = c.last
	c.waiting[order.ID] = answers
	err := c.encoder.Encode(order)
	c.mutex.Unlock()
	if err != nil {
		return nil, errOver
	}
	select {
	case answer := <-answers:
		if answer.Error != "" {
			return answer.Output, errors.New(answer.Error)
		}
		return answer.Output, nil
	case <-c.ended:
		return nil, errOver
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// run runs a program in the node to its end, and returns what it printed.
func (c *control) run(ctx context.Context, command ...string) ([]byte, error) {
	return c.do(ctx, &orders.Order{Do: orders.Run, Command: command})
}

// end ends the node, and returns when nothing of it is left.
func (c *control) end() {
	_ = c.stdin.Close()
	<-c.ended
}
