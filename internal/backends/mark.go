// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"maps"
	"strconv"
	"strings"
)

// Mark is written on every remote that the operator makes, and says whose it is.
type Mark struct {
	// Installation is the installation ID of the operator.
	Installation string
	// Namespace, Name and UID are those of the Sandbox object.
	Namespace, Name, UID string
	// Incarnation is the how-manieth remote of the same Sandbox this is, from 1.
	Incarnation int64
	// DeletionPolicy is Delete or Retain, as the Sandbox said when the remote was made.
	DeletionPolicy string
}

// The keys under which [Mark.Labels] writes a mark. Values are UIDs, object names and small numbers; providers that
// restrict keys or lengths encode them in their own way.
const (
	MarkPrefix         = "sandboxes.run/"
	MarkInstallation   = MarkPrefix + "installation"
	MarkNamespace      = MarkPrefix + "namespace"
	MarkName           = MarkPrefix + "name"
	MarkUID            = MarkPrefix + "uid"
	MarkIncarnation    = MarkPrefix + "incarnation"
	MarkDeletionPolicy = MarkPrefix + "deletion-policy"
)

// Labels returns the mark as key/value pairs.
func (m Mark) Labels() map[string]string {
	return map[string]string{
		MarkInstallation:   m.Installation,
		MarkNamespace:      m.Namespace,
		MarkName:           m.Name,
		MarkUID:            m.UID,
		MarkIncarnation:    strconv.FormatInt(m.Incarnation, 10),
		MarkDeletionPolicy: m.DeletionPolicy,
	}
}

// SplitLabels separates a provider's labels into the mark and the user's own. A remote without a readable mark (no
// installation or UID, or an incarnation that is no number) has the zero Mark.
func SplitLabels(labels map[string]string) (Mark, map[string]string) {
	own := maps.Clone(labels)
	maps.DeleteFunc(own, func(key, _ string) bool { return strings.HasPrefix(key, MarkPrefix) })
	incarnation, err := strconv.ParseInt(labels[MarkIncarnation], 10, 64)
	if err != nil || labels[MarkInstallation] == "" || labels[MarkUID] == "" {
		return Mark{}, own
	}
	return Mark{
		Installation:   labels[MarkInstallation],
		Namespace:      labels[MarkNamespace],
		Name:           labels[MarkName],
		UID:            labels[MarkUID],
		Incarnation:    incarnation,
		DeletionPolicy: labels[MarkDeletionPolicy],
	}, own
}

// Matches says whether a remote with this mark is selected by the filter.
func (f Filter) Matches(m Mark) bool {
	return (f.Installation == "" || f.Installation == m.Installation) && (f.UID == "" || f.UID == m.UID)
}
