// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// A sandbox has metadata from its first moment, which never change: the mark, the user's labels, and what E2B itself does not
// keep. Their keys have a dot where the mark's have a slash, so that they need no escape in a list's query.

const (
	metadataPrefix = "sandboxes.run."
	// metadataCreated is when it was first made: E2B says when it was last started.
	metadataCreated = metadataPrefix + "created"
	// metadataLifetime is the lifetime in seconds that it was made with, and gets again when it is resumed.
	metadataLifetime   = metadataPrefix + "lifetime"
	metadataUser       = metadataPrefix + "user"
	metadataWorkingDir = metadataPrefix + "working-dir"
)

func markKey(key string) string { return metadataPrefix + strings.TrimPrefix(key, backends.MarkPrefix) }

// metadataOf is what a new sandbox is given.
func metadataOf(r backends.CreateRequest, now time.Time, lifetime time.Duration) (map[string]string, error) {
	metadata := map[string]string{}
	for key, value := range r.Labels {
		if strings.HasPrefix(key, metadataPrefix) || strings.HasPrefix(key, backends.MarkPrefix) {
			return nil, invalid(operationCreate, "the label %q is one of the operator's own: labels may not begin with %s or %s",
				backends.Bounded(key, 128), backends.MarkPrefix, metadataPrefix)
		}
		metadata[key] = value
	}
	if r.Mark != (backends.Mark{}) {
		for key, value := range r.Mark.Labels() {
			metadata[markKey(key)] = value
		}
	}
	metadata[metadataCreated] = now.UTC().Format(time.RFC3339Nano)
	metadata[metadataLifetime] = strconv.FormatInt(seconds(lifetime), 10)
	for key, value := range map[string]string{metadataUser: r.User, metadataWorkingDir: r.WorkingDir} {
		if value != "" {
			metadata[key] = value
		}
	}
	return metadata, nil
}

// split separates the mark from the user's labels.
func split(metadata map[string]string) (backends.Mark, map[string]string) {
	labels := map[string]string{}
	for key, value := range metadata {
		if own, ok := strings.CutPrefix(key, metadataPrefix); ok {
			labels[backends.MarkPrefix+own] = value
		} else if !strings.HasPrefix(key, backends.MarkPrefix) {
			labels[key] = value
		}
	}
	return backends.SplitLabels(labels)
}

// filterOf is the metadata that a filter asks for.
func filterOf(filter backends.Filter) map[string]string {
	metadata := map[string]string{
		markKey(backends.MarkInstallation): filter.Installation, markKey(backends.MarkUID): filter.UID,
	}
	maps.DeleteFunc(metadata, func(_, value string) bool { return value == "" })
	return metadata
}

// remote is what E2B says of a sandbox, in the operator's words.
func (d described) remote() backends.Remote {
	mark, labels := split(d.Metadata)
	remote := backends.Remote{
		ID: d.SandboxID, State: backends.StateRunning, Mark: mark, Labels: labels, Image: d.TemplateID, CreatedAt: d.StartedAt,
		ExpiresAt: d.EndAt,
	}
	if created, err := time.Parse(time.RFC3339Nano, d.Metadata[metadataCreated]); err == nil {
		remote.CreatedAt = created
	}
	if d.State != "running" {
		// It stays until somebody destroys it; endAt is when it was paused.
		remote.State, remote.ExpiresAt = backends.StatePaused, time.Time{}
	}
	return remote
}

// seconds rounds up: E2B takes whole ones only.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
