// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package machine

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
)

// lead connects whoever comes through the tunnel with the port that they name: two bytes, answered by one, which is 0 where
// something listens.
func lead(tunnel net.Listener) {
	for {
		conn, err := tunnel.Accept()
		if err != nil {
			return
		}
		go leadOne(conn)
	}
}

func leadOne(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var port [2]byte
	if _, err := io.ReadFull(conn, port[:]); err != nil {
		return
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(binary.BigEndian.Uint16(port[:]))))
	inner, err := net.Dial("tcp", address) //nolint:noctx // a loopback answers at once
	if err != nil {
		_, _ = conn.Write([]byte{1})
		return
	}
	defer func() { _ = inner.Close() }()
	if _, err := conn.Write([]byte{0}); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pass(conn, inner) })
	both.Go(func() { pass(inner, conn) })
	both.Wait()
}

// pass copies until the end, and passes that on as well.
func pass(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	if closer, ok := to.(interface{ CloseWrite() error }); ok {
		_ = closer.CloseWrite()
	}
}
