// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package toolbox

import (
	"bytes"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Each line of a session's output begins with one of these.
const (
	stdoutMarker = "\x01\x01\x01"
	stderrMarker = "\x02\x02\x02"
)

// mode is in which form a client gets the output of a session. It depends on the client's version.
type mode struct {
	// marked: lines keep their markers. split: streams come apart as well.
	marked, split bool
}

func modeOf(r *http.Request) mode {
	version := r.Header.Get("X-Daytona-SDK-Version")
	for protocol := range strings.SplitSeq(r.Header.Get("Sec-WebSocket-Protocol"), ",") {
		if name, found := strings.CutPrefix(strings.TrimSpace(protocol), "X-Daytona-SDK-Version~"); found {
			version = name
		}
	}
	switch {
	case atLeast(version, 0, 167):
		return mode{marked: true, split: true}
	case atLeast(version, 0, 27), r.Header.Get("X-Daytona-Split-Output") == "true":
		return mode{marked: true}
	}
	return mode{}
}

var versionNumbers = regexp.MustCompile(`^v?(\d+)\.(\d+)`)

func atLeast(version string, major, minor int) bool {
	found := versionNumbers.FindStringSubmatch(version)
	if found == nil {
		return false
	}
	first, _ := strconv.Atoi(found[1])
	second, _ := strconv.Atoi(found[2])
	return first > major || first == major && second >= minor
}

// body is the output as an answer has it.
func (m mode) body(log []byte) map[string]any {
	answer := map[string]any{"output": string(withoutMarkers(log)), "stdout": nil, "stderr": nil}
	if m.marked {
		answer["output"] = string(log)
	}
	if m.split {
		answer["stdout"], answer["stderr"] = linesOf(log, stdoutMarker), linesOf(log, stderrMarker)
	}
	return answer
}

func (m mode) writeLogs(w http.ResponseWriter, log []byte) {
	if m.split {
		reply(w, http.StatusOK, m.body(log))
		return
	}
	if !m.marked {
		log = withoutMarkers(log)
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(log) //nolint:gosec // it is plain text
}

func withoutMarkers(log []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(log, []byte(stdoutMarker), nil), []byte(stderrMarker), nil)
}

func linesOf(log []byte, marker string) string {
	var found strings.Builder
	for line := range bytes.Lines(log) {
		if text, ok := bytes.CutPrefix(line, []byte(marker)); ok {
			found.Write(text)
		}
	}
	return found.String()
}
