// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command provider is the fake provider of the chaos suite in a process of its own. It prints its URL, and ends with its
// standard input.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	var options fake.Options
	flag.StringVar(&options.Dir, "dir", "", "where sandboxes are kept")
	flag.StringVar(&options.Token, "token", "", "what calls must have")
	flag.BoolVar(&options.UniqueNames, "unique-names", false, "names are unique, and found")
	flag.DurationVar(&options.ListLag, "list-lag", 0, "how long new sandboxes are missing from lists")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // the machine's own
	if err != nil {
		return err
	}
	server := fake.NewServer(options)
	web := &http.Server{Handler: server, ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(listener) }()
	fmt.Println("http://" + listener.Addr().String())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return server.Close()
}
