// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command cmd runs the fake Daytona until it is ended: try the operator, or Daytona's own SDK, against it without an account. It needs
// root, prints the URL of its API, and, with --until-stdin-ends, ends with its standard input.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	options := daytona.Options{ForgetCalls: true}
	flag.StringVar(&options.Address, "address", "127.0.0.1:0", "where to listen; there is no encryption")
	flag.StringVar(&options.Key, "api-key", daytona.FakeKey, "the API key that calls must have")
	flag.StringVar(&options.Dir, "dir", "", "where sandboxes' files are; empty = a directory that goes with this process")
	flag.BoolVar(&options.Newest, "newest", true, "be like the newest release, rather than 0.190")
	flag.DurationVar(&options.StartDelay, "start-delay", 80*time.Millisecond, "how long a sandbox takes to start")
	flag.DurationVar(&options.StopDelay, "stop-delay", 200*time.Millisecond, "how long a sandbox takes to stop")
	flag.DurationVar(&options.DestroyDelay, "destroy-delay", 200*time.Millisecond, "how long a sandbox takes to be destroyed")
	untilStdin := flag.Bool("until-stdin-ends", false, "end with the standard input")
	flag.Parse()
	if os.Geteuid() != 0 {
		return fmt.Errorf("sandboxes need root on this machine")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := daytona.Start(options)
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Println(server.URL())
	if *untilStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	<-ctx.Done()
	return nil
}
