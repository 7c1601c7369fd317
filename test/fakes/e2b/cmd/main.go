// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cmd runs a fake E2B until it is interrupted, to try things without an account.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	fake "github.com/sandbox-operator/sandbox-operator/test/fakes/e2b"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	flag.Parse()
	if err := run(*address); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cloud, err := fake.Start(fake.Options{Address: address})
	if err != nil {
		return err
	}
	// Those who wait for it read the first line.
	fmt.Printf("url=%s\nkey=%s\n", cloud.URL(), fake.Key)
	fmt.Printf("For E2B's SDKs: E2B_API_URL=%[1]s E2B_SANDBOX_URL=%[1]s E2B_API_KEY=%[2]s\n", cloud.URL(), fake.Key)
	<-ctx.Done()
	return cloud.Close()
}
