// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package toolbox

import (
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

func isWebSocket(r *http.Request) bool { return websocket.IsWebSocketUpgrade(r) }

// follow sends the output of a command as it comes, and closes when the command has ended.
func follow(w http.ResponseWriter, r *http.Request, s *session, c *sessionCommand) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, Subprotocols: subprotocols(r)}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return
			}
		}
	}()
	m, sent := modeOf(r), 0
	for {
		ended := c.exitCode() != nil
		log := c.log()
		if !m.marked {
			log = withoutMarkers(log)
		}
		if len(log) > sent {
			if conn.WriteMessage(websocket.BinaryMessage, log[sent:]) != nil {
				return
			}
			sent = len(log)
		}
		if ended {
			farewell := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
			_ = conn.WriteControl(websocket.CloseMessage, farewell, time.Now().Add(time.Second))
			<-gone
			return
		}
		select {
		case <-gone:
			return
		case <-s.cancelled.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// subprotocols are what the client offers: it fails where none of them is taken.
func subprotocols(r *http.Request) []string {
	var offered []string
	for _, protocol := range websocket.Subprotocols(r) {
		if strings.HasPrefix(protocol, "X-Daytona-") {
			offered = append(offered, protocol)
		}
	}
	return offered
}
