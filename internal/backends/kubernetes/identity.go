// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

const (
	// SandboxLabel with the value "true" is on every pod that is a sandbox, and no other pod is looked at, entered or deleted: who wants
	// one of his own adopted puts it there.
	SandboxLabel = backends.MarkPrefix + "sandbox"
	// networkLabel says which network policy holds for a pod.
	networkLabel = backends.MarkPrefix + "network"
	// nameLabel has the pod's name, for whoever wants a Service for one.
	nameLabel = backends.MarkPrefix + "pod"
	// remoteLabels on a pod is an annotation with the labels of the Sandbox's user, as JSON: as labels of the pod they would choose
	// which services and network policies it belongs to.
	remoteLabels = backends.MarkPrefix + "remote-labels"
	// leaseAnnotation has the Unix time in seconds at which the first process ends.
	leaseAnnotation = backends.MarkPrefix + "lease"
)

// identity is what an ID says: namespace/name/uid.
type identity struct{ namespace, name, uid string }

func (i identity) String() string { return i.namespace + "/" + i.name + "/" + i.uid }

// identify reads an ID of this provider's namespace. No pod has another kind of ID.
func (b *backend) identify(operation, id string) (identity, error) {
	parts := strings.Split(id, "/")
	if len(parts) != 3 || parts[2] == "" || len(validation.IsDNS1123Subdomain(parts[1])) > 0 {
		return identity{}, backends.Errorf(backends.NotFound, Name, operation,
			"there is no such sandbox: an ID is NAMESPACE/POD/UID")
	}
	if parts[0] != b.options.Namespace {
		// It may well exist.
		return identity{}, aboutOne(invalid(operation, "the sandbox is in namespace %q, and this provider's are in %q",
			backends.Bounded(parts[0], 64), b.options.Namespace))
	}
	return identity{parts[0], parts[1], parts[2]}, nil
}

func identityOf(pod *corev1.Pod) identity { return identity{pod.Namespace, pod.Name, string(pod.UID)} }

// labelValue makes a label's value of any text: what is too long or has other characters is known by its digest.
func labelValue(text string) string {
	if len(validation.IsValidLabelValue(text)) == 0 {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "x-" + hex.EncodeToString(sum[:16])
}

// markLabels are those by which pods are listed.
func markLabels(mark backends.Mark) map[string]string {
	found := map[string]string{SandboxLabel: "true"}
	if mark != (backends.Mark{}) {
		found[backends.MarkInstallation], found[backends.MarkUID] = labelValue(mark.Installation), labelValue(mark.UID)
	}
	return found
}

// annotations are the whole mark, and the user's labels.
func annotations(mark backends.Mark, own map[string]string) map[string]string {
	found := map[string]string{remoteLabels: ownLabels(own)}
	if mark != (backends.Mark{}) {
		maps.Copy(found, mark.Labels())
	}
	return found
}

// ownLabels are the user's, which never stand in for the mark.
func ownLabels(own map[string]string) string {
	kept := map[string]string{}
	for key, value := range own {
		if !strings.HasPrefix(key, backends.MarkPrefix) {
			kept[key] = value
		}
	}
	encoded, _ := json.Marshal(kept) //nolint:errchkjson // strings encode
	return string(encoded)
}

// readLabels returns mark and labels of a pod.
func readLabels(pod *corev1.Pod) (backends.Mark, map[string]string) {
	mark, _ := backends.SplitLabels(pod.Annotations)
	var own map[string]string
	_ = json.Unmarshal([]byte(pod.Annotations[remoteLabels]), &own)
	if len(own) == 0 {
		own = nil
	}
	return mark, own
}

// selector selects what a filter does.
func selector(filter backends.Filter) string {
	wanted := labels.Set{SandboxLabel: "true"}
	if filter.Installation != "" {
		wanted[backends.MarkInstallation] = labelValue(filter.Installation)
	}
	if filter.UID != "" {
		wanted[backends.MarkUID] = labelValue(filter.UID)
	}
	return labels.SelectorFromValidatedSet(wanted).String()
}

func isSandbox(pod *corev1.Pod) bool { return pod.Labels[SandboxLabel] == "true" }
