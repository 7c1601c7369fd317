// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// A sandbox has no network. What reaches its ports is a relay: a listener of this process on the machine's loopback, which
// hands each connection to the sandbox's kernel, by a socket that runsc passes on. There is one for each port that somebody
// asked an endpoint for, and none otherwise.
//
// Which port of the machine it has is written into the remote's directory, so that the URL stays the same when the operator is
// restarted. A relay ends with its sandbox, or with this process; the next one opens it again when it opens the machine.

// relays are those of one state directory in this process. Several backends share them.
type relays struct {
	mu   sync.Mutex
	open map[relayKey]*relay
}

type relayKey struct {
	id   string
	port int32
}

var allRelays sync.Map

// relaysOf returns the relays of a state directory.
func relaysOf(root string) *relays {
	found, _ := allRelays.LoadOrStore(root, &relays{open: map[relayKey]*relay{}})
	all, _ := found.(*relays)
	return all
}

// Endpoint implements backends.Endpointer.
func (b *backend) Endpoint(ctx context.Context, id string, port backends.Port) (backends.Endpoint, error) {
	m, d, _, err := b.existing(ctx, operationEndpoint, id)
	if err != nil {
		return backends.Endpoint{}, err
	}
	known := []backends.Protocol{backends.ProtocolHTTP, backends.ProtocolHTTPS, backends.ProtocolTCP}
	if port.Number < 1 || port.Number > 65535 || !slices.Contains(known, port.Protocol) {
		return backends.Endpoint{}, backends.Errorf(backends.Invalid, Name, operationEndpoint,
			"%d with protocol %q is no port", port.Number, backends.Bounded(string(port.Protocol), 32))
	}
	address, err := m.openRelay(ctx, d, port.Number)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return backends.Endpoint{}, m.absent(operationEndpoint)
	case err != nil:
		return backends.Endpoint{}, backends.Errorf(backends.Unavailable, Name, operationEndpoint,
			"the relay to the port can't be opened: %w", withoutPath(err))
	}
	return backends.Endpoint{URL: strings.ToLower(string(port.Protocol)) + "://" + address}, nil
}

// openRelay returns the address on the machine that leads to a port of the remote.
func (m *machine) openRelay(ctx context.Context, d remoteDir, port int32) (string, error) {
	m.relays.mu.Lock()
	defer m.relays.mu.Unlock()
	key := relayKey{d.id(), port}
	if open, ok := m.relays.open[key]; ok {
		return open.listener.Addr().String(), nil
	}
	saved, err := d.readPorts()
	if err != nil {
		return "", err
	}
	listener, err := listenOnLoopback(ctx, saved[port])
	if err != nil {
		return "", err
	}
	if at, ok := listener.Addr().(*net.TCPAddr); ok && at.Port != saved[port] {
		saved[port] = at.Port
		if err := d.writePorts(saved); err != nil {
			return "", errors.Join(err, listener.Close())
		}
	}
	r := &relay{machine: m, dir: d, port: port, listener: listener, conns: map[net.Conn]struct{}{}}
	m.relays.open[key] = r
	r.work.Go(r.serve)
	return listener.Addr().String(), nil
}

// listenOnLoopback takes this port of the machine, or another where it is taken or 0.
func listenOnLoopback(ctx context.Context, port int) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil && port != 0 {
		return listenOnLoopback(ctx, 0)
	}
	return listener, err
}

// readPorts returns the machine's port for each of the remote's that has a relay.
func (d remoteDir) readPorts() (map[int32]int, error) {
	saved := map[int32]int{}
	data, err := os.ReadFile(d.ports())
	if errors.Is(err, fs.ErrNotExist) {
		return saved, nil
	}
	if err != nil {
		return nil, err
	}
	return saved, json.Unmarshal(data, &saved)
}

func (d remoteDir) writePorts(saved map[int32]int) error {
	data, err := json.Marshal(saved)
	if err != nil {
		return err
	}
	return replaceFile(d.ports(), data)
}

// reopenRelays opens the relays that an earlier process had. One that can't be opened is opened when somebody asks for it.
func (m *machine) reopenRelays(ctx context.Context) {
	ids, err := m.store.ids()
	if err != nil {
		return
	}
	for _, id := range ids {
		d := m.store.remote(id)
		saved, err := d.readPorts()
		if err != nil {
			continue
		}
		for port := range saved {
			_, _ = m.openRelay(ctx, d, port)
		}
	}
}

// keepOnly closes the relays of all other remotes, which are gone.
func (r *relays) keepOnly(ids []string) {
	r.closeWhere(func(key relayKey) bool { return !slices.Contains(ids, key.id) })
}

// closeAll closes the relays of a remote.
func (r *relays) closeAll(id string) {
	r.closeWhere(func(key relayKey) bool { return key.id == id })
}

func (r *relays) closeWhere(matches func(relayKey) bool) {
	r.mu.Lock()
	var closing []*relay
	for key, open := range r.open {
		if matches(key) {
			closing = append(closing, open)
			delete(r.open, key)
		}
	}
	r.mu.Unlock()
	for _, open := range closing {
		open.close()
	}
}

// relay is one listener, with its connections.
type relay struct {
	machine  *machine
	dir      remoteDir
	port     int32
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// relayConnections bounds those of one relay.
const relayConnections = 256

func (r *relay) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for conn := range r.conns {
		_ = conn.Close()
	}
	r.mu.Unlock()
	r.work.Wait()
}

// hold has close end the connection; it is false where that has happened, or there are too many.
func (r *relay) hold(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(r.conns) >= 2*relayConnections {
		return false
	}
	r.conns[conn] = struct{}{}
	return true
}

func (r *relay) release(conn net.Conn) {
	_ = conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
}

func (r *relay) serve() {
	for {
		conn, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of files, most likely
			continue
		}
		if !r.hold(conn) {
			_ = conn.Close()
			continue
		}
		r.work.Go(func() {
			defer r.release(conn)
			r.forward(conn)
		})
	}
}

// forward connects a connection with the sandbox's port until both sides have ended.
func (r *relay) forward(outside net.Conn) {
	inside, err := r.dial()
	if err != nil || !r.hold(inside) {
		return // the caller sees a connection that ends at once, as from a machine where nothing listens
	}
	defer r.release(inside)
	r.work.Go(func() {
		_, _ = io.Copy(inside, outside)
		// gVisor's end knows no half-closed connections: told of this end, it would drop the answer.
		_ = inside.SetReadDeadline(time.Now().Add(answerTime))
	})
	_, _ = io.Copy(outside, inside)
}

// answerTime is how long after the end of what a client sends the sandbox may still answer.
const answerTime = 10 * time.Second

// dialTimeout bounds the way into the sandbox.
const dialTimeout = 10 * time.Second

// dial has runsc connect to a socket of ours, and give its end to the sandbox's kernel. The socket is reached through the
// number of an open directory: its own path may be longer than a socket's can be.
func (r *relay) dial() (net.Conn, error) {
	place, err := r.machine.store.newStage()
	if err != nil {
		return nil, err
	}
	defer func() { _ = place.discard() }()
	const name = "relay"
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", place.lock.Fd(), name)})
	if err != nil {
		return nil, err
	}
	defer func() { _ = listener.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	cmd := newCommand(ctx, r.machine.runsc.program, stateFlag(r.dir), "port-forward", "--stream", "/proc/self/fd/3/"+name,
		r.dir.id(), strconv.Itoa(int(r.port)))
	cmd.ExtraFiles = []*os.File{place.lock}
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	// runsc has connected, and has ended: the connection waits to be accepted.
	return acceptNow(listener)
}

// acceptNow takes a connection that is there already.
func acceptNow(listener *net.UnixListener) (net.Conn, error) {
	if err := listener.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return nil, err
	}
	return listener.Accept()
}
