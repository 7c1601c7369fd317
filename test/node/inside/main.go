// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command inside is the first process of a test node: package node starts it in namespaces of its own. It starts, ends and reaps
// the node's programs as it is told on its standard input, and lets connections of the machine outside in to the API
// server. When that input ends, because nobody wants the node any more or whoever started it was killed, it ends everything
// in the node and removes its cgroups and its folder; mounts and network go with the namespaces.
//
// As `inside pause` it is the first process of each pod: it sleeps until it is told to end. As `inside sleep DURATION` it sleeps so
// long and says so, for tests that want a command which takes its time where there is no shell.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/node/orders"
	"github.com/sandbox-operator/sandbox-operator/test/node/remains"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "pause" {
		pause()
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "sleep" {
		sleep(os.Args[2])
		return
	}
	if os.Getpid() != 1 || len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "inside: package node starts this program, in a process namespace of its own")
		os.Exit(1)
	}
	// A Ctrl-C at the terminal is for whoever started the node, who then closes our input.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	s := newSupervisor(os.Args[1])
	obey(s, os.Stdin, os.Stdout)
	s.killOthers(nil)
	if err := remains.Remove(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "inside: cleaning up:", err)
		os.Exit(1)
	}
}

// obey carries out orders until there are no more, each on its own, for some take long.
func obey(s *supervisor, in io.Reader, out io.Writer) {
	go s.reap()
	answers := make(chan orders.Answer, 100)
	go func() {
		encoder := json.NewEncoder(out)
		for answer := range answers {
			if err := encoder.Encode(answer); err != nil {
				return // nobody listens any more: the input ends, too
			}
		}
	}()
	decoder := json.NewDecoder(bufio.NewReader(in))
	for {
		var order orders.Order
		if err := decoder.Decode(&order); err != nil {
			break
		}
		go func() {
			output, err := s.carryOut(&order)
			answer := orders.Answer{ID: order.ID, Output: output}
			if err != nil {
				answer.Error = err.Error()
			}
			answers <- answer
		}()
	}
}

func sleep(duration string) {
	parsed, err := time.ParseDuration(duration)
	if err != nil {
		fmt.Fprintln(os.Stderr, "inside: sleep:", err)
		os.Exit(2)
	}
	time.Sleep(parsed)
	fmt.Println("slept", duration)
}

// pause does nothing until a signal ends it. In a pod whose containers share their processes it also reaps them.
func pause() {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGINT, syscall.SIGTERM)
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		select {
		case <-ends:
			return
		case <-children:
			for {
				if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
					break
				}
			}
		}
	}
}
