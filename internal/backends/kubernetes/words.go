// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Messages of a cluster hold numbers, addresses and IDs that change from one try to the next. In a condition each change would be a write,
// so what changes is left out.

// mostWords bounds what is taken of somebody else's message, in bytes.
const mostWords = 400

// sentence puts what somebody else said behind our own words.
func sentence(ours, said string) string {
	if said = plain(said); said == "" {
		return ours
	}
	return ours + ": " + said
}

var (
	// identifiers are digests and the IDs of runtimes. Those of images stay, as users wrote them.
	identifiers = regexp.MustCompile(`(^|[^:0-9a-f])[0-9a-f]{12,64}\b`)
	// senders are the ends of connections that a kernel chose, as in "read udp 10.0.0.1:4711->10.96.0.10:53".
	senders = regexp.MustCompile(`[0-9a-fA-F.:\[\]]+:[0-9]+->`)
	spaces  = regexp.MustCompile(`\s+`)
)

// plain makes stable, readable text of what somebody else wrote.
func plain(text string) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "�"))
	text = senders.ReplaceAllString(text, "")
	text = identifiers.ReplaceAllString(text, "$1")
	return backends.Bounded(spaces.ReplaceAllString(text, " "), mostWords)
}

var backOff = regexp.MustCompile(`^Back-off pulling image "[^"]*":? ?(ErrImagePull: ?)?`)

// pulling makes one message of the two between which a pod goes back and forth that waits for its image.
func pulling(message string) string {
	message = backOff.ReplaceAllString(strings.TrimSpace(message), "")
	for _, wrapped := range []string{"rpc error: code = NotFound desc = ", "rpc error: code = Unknown desc = "} {
		message = strings.TrimPrefix(message, wrapped)
	}
	return message
}

var (
	nodesHead  = regexp.MustCompile(`^\d+/\d+ nodes are available:?\s*`)
	nodesCount = regexp.MustCompile(`^\d+ `)
)

// placement is what a scheduler says, without how many nodes there are, and without what it says of preemption.
func placement(message string) string {
	message, _, _ = strings.Cut(message, " preemption:")
	message = strings.TrimSuffix(nodesHead.ReplaceAllString(message, ""), ".")
	parts := strings.Split(message, ", ")
	for i := range parts {
		parts[i] = nodesCount.ReplaceAllString(parts[i], "")
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), ", ")
}

// isShellMissing says that a container runtime did not find the shell. runc, crun and gVisor each have their own words.
func isShellMissing(message string) bool { return isMissing(message, "/bin/sh") }

// isMissing says that a container runtime did not find a program.
func isMissing(message, program string) bool {
	lower := strings.ToLower(message)
	return strings.Contains(lower, strings.ToLower(program)) &&
		(strings.Contains(lower, "no such file") || strings.Contains(lower, "not found"))
}
