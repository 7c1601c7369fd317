// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
)

// A command's tree is found by a word in its environment, which every descendant inherits however it detaches itself, and,
// for those that wiped their environment, by their parents, process groups and sessions.

// markerVariable carries the word. It is set for commands with a timeout only.
const markerVariable = "SANDBOXES_RUN_CALL"

func newMarker() string { return rand.Text() }

// killScript kills all processes that carry the marker $1, their children, and the members of their process groups and
// sessions. It stops them first, and looks again until it finds no more: what is stopped forks no further, and is still the
// parent of its children. It needs nothing but a shell.
//
// Fields of /proc/PID/stat are counted from behind the command's name, which may hold spaces and parentheses.
const killScript = `marked() {
	while IFS= read -r line || [ -n "$line" ]; do
		case $line in *SANDBOXES_RUN_CALL="$1"*) return 0 ;; esac
	done 2>/dev/null <"/proc/$2/environ"
	return 1
}
related() {
	read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
	set -- ${stat##*) }
	[ "$1" = Z ] && return 1
	case $tree in *" $2 "*|*" $3 "*|*" $4 "*) return 0 ;; esac
	return 1
}
tree=' ' found=1
while [ -n "$found" ]; do
	found=
	for dir in /proc/[0-9]*; do
		pid=${dir#/proc/}
		case "$tree 1 $$ " in *" $pid "*) continue ;; esac
		if marked "$1" "$pid" || related "$pid"; then
			tree="$tree$pid " found=1
			kill -STOP "$pid" 2>/dev/null
		fi
	done
done
for pid in $tree; do kill -KILL "$pid" 2>/dev/null; done
exit 0`

// killTree kills what the marker is on.
func (s session) killTree(ctx context.Context, marker string) error {
	// Reading another user's environment is what a debugger may, and root in a sandbox otherwise may not.
	process := shellProcess(killScript, marker)
	process.Capabilities.Effective = append(capabilities(), "CAP_SYS_PTRACE")
	process.Capabilities.Permitted = process.Capabilities.Effective
	process.Capabilities.Bounding = process.Capabilities.Effective
	killed, err := s.run(ctx, call{process: process})
	if err != nil {
		return fmt.Errorf("killing the command after its timeout: %w", err)
	}
	if !killed.started || killed.result.ExitCode != 0 {
		return errors.New("killing the command after its timeout failed")
	}
	return nil
}
