// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// options are the parameters of a provider object.
type options struct {
	// Namespace is where the pods are. A provider of a namespace has them there, unless it has a kubeconfig.
	Namespace string `json:"namespace"`
	// Image of sandboxes that name none.
	Image string `json:"image"`
	// ImagePullPolicy is Always, IfNotPresent or Never; empty = the cluster's default.
	ImagePullPolicy string `json:"imagePullPolicy"`
	// ImagePullSecrets are names of Secrets in the pods' namespace.
	ImagePullSecrets []string `json:"imagePullSecrets"`
	// RuntimeClassName is that of gVisor, Kata or the like.
	RuntimeClassName string `json:"runtimeClassName"`
	// FirstProcess is Shell (default), a small loop of /bin/sh that keeps the lease, or Image, what the image itself runs.
	FirstProcess string `json:"firstProcess"`
	// RunAsUser is the user of sandboxes that name none, as a number; 0 = 1000.
	RunAsUser int64 `json:"runAsUser"`
	// RootFilesystem is Writable (default) or ReadOnly.
	RootFilesystem string `json:"rootFilesystem"`
	// WorkspacePath is where an empty directory is mounted that every sandbox may write to; empty = /workspace.
	WorkspacePath string `json:"workspacePath"`
	// StartDeadlineSeconds is after how long a pod that does not start counts as one that never will; 0 = 300.
	StartDeadlineSeconds int `json:"startDeadlineSeconds"`
	// MaxLifetimeSeconds is after how long the cluster ends a pod, whatever its lease; 0 = never.
	MaxLifetimeSeconds int64 `json:"maxLifetimeSeconds"`
	// EndpointURL is what leads to a port, with {port}, {name}, {namespace} and {ip}; empty = the pod's own address.
	EndpointURL string `json:"endpointURL"`
	// NetworkPolicies is Managed (default) or None, where sandboxes may not ask for a network of their own.
	NetworkPolicies string `json:"networkPolicies"`

	// What follows is for cluster providers.

	// NodeSelector and Tolerations say where pods run.
	NodeSelector map[string]string   `json:"nodeSelector"`
	Tolerations  []corev1.Toleration `json:"tolerations"`
	// ServiceAccountName is the pods'; its token is not mounted.
	ServiceAccountName string `json:"serviceAccountName"`
	// PriorityClassName is the pods'.
	PriorityClassName string `json:"priorityClassName"`
	// RootUser is Forbidden (default) or Allowed: sandboxes may run as user 0 then.
	RootUser string `json:"rootUser"`
	// PodLabels and PodAnnotations are put on every pod.
	PodLabels      map[string]string `json:"podLabels"`
	PodAnnotations map[string]string `json:"podAnnotations"`
	// PodOverlay is a strategic merge patch of the pod's spec. The container's name is sandbox.
	PodOverlay map[string]any `json:"podOverlay"`
	// GPUResource is what a GPU is called in the cluster, and GPUModelLabel the nodes' label with its model.
	GPUResource   string `json:"gpuResource"`
	GPUModelLabel string `json:"gpuModelLabel"`
}

// The values of options that are words.
const (
	firstShell, firstImage        = "Shell", "Image"
	rootWritable, rootReadOnly    = "Writable", "ReadOnly"
	policiesManaged, policiesNone = "Managed", "None"
	rootForbidden, rootAllowed    = "Forbidden", "Allowed"

	defaultUser          = 1000
	defaultWorkspace     = "/workspace"
	defaultStartDeadline = 300
	defaultGPU           = "nvidia.com/gpu"
	defaultGPUModel      = "nvidia.com/gpu.product"
)

// readOptions decodes the parameters, fills in defaults, and refuses what who wrote them may not say.
func readOptions(config backends.Config) (options, error) {
	o, err := backends.DecodeParameters[options](config.Parameters)
	if err != nil {
		return o, err
	}
	own := len(config.Credentials[keyKubeconfig]) == 0
	for _, check := range []func() error{
		func() error { return o.place(config.Namespace, own) },
		func() error { return o.forTrusted(config.Reach.Trusted) },
		o.words, o.numbers, o.endpoint, o.overlay,
	} {
		if err := check(); err != nil {
			return o, err
		}
	}
	return o, nil
}

// place says where the pods are. They are made with the operator's rights in its own cluster, so a provider of a namespace has them
// in that namespace and nowhere else.
func (o *options) place(namespace string, own bool) error {
	switch {
	case own && namespace != "" && o.Namespace != "" && o.Namespace != namespace:
		return fmt.Errorf("parameter namespace is %q: a SandboxProvider has its pods in its own namespace %q; "+
			"use a ClusterSandboxProvider, or leave it out", backends.Bounded(o.Namespace, 64), namespace)
	case own && namespace != "":
		o.Namespace = namespace
	case o.Namespace == "":
		return errors.New("parameter namespace is missing: name the namespace in which the sandboxes' pods shall be")
	}
	if problems := validation.IsDNS1123Label(o.Namespace); len(problems) > 0 {
		return fmt.Errorf("parameter namespace %q is no namespace", backends.Bounded(o.Namespace, 64))
	}
	return nil
}

// forTrusted refuses what raises what a pod may do, unless an administrator wrote it.
func (o *options) forTrusted(trusted bool) error {
	if trusted {
		return nil
	}
	for _, one := range []struct {
		name  string
		given bool
	}{
		{"nodeSelector", len(o.NodeSelector) > 0}, {"tolerations", len(o.Tolerations) > 0},
		{"serviceAccountName", o.ServiceAccountName != ""}, {"priorityClassName", o.PriorityClassName != ""},
		{"rootUser", o.RootUser != ""}, {"podLabels", len(o.PodLabels) > 0}, {"podAnnotations", len(o.PodAnnotations) > 0},
		{"podOverlay", len(o.PodOverlay) > 0}, {"gpuResource", o.GPUResource != ""}, {"gpuModelLabel", o.GPUModelLabel != ""},
	} {
		if one.given {
			return fmt.Errorf("parameter %s is for ClusterSandboxProviders only", one.name)
		}
	}
	return nil
}

func (o *options) words() error {
	for _, word := range []struct {
		name    string
		value   *string
		allowed []string
	}{
		{"imagePullPolicy", &o.ImagePullPolicy, []string{"", "Always", "IfNotPresent", "Never"}},
		{"firstProcess", &o.FirstProcess, []string{firstShell, firstImage}},
		{"rootFilesystem", &o.RootFilesystem, []string{rootWritable, rootReadOnly}},
		{"networkPolicies", &o.NetworkPolicies, []string{policiesManaged, policiesNone}},
		{"rootUser", &o.RootUser, []string{rootForbidden, rootAllowed}},
	} {
		if *word.value == "" {
			*word.value = word.allowed[0]
		}
		if !slices.Contains(word.allowed, *word.value) {
			return fmt.Errorf("parameter %s is %q; it must be %s", word.name, backends.Bounded(*word.value, 64),
				strings.Join(slices.DeleteFunc(word.allowed, func(s string) bool { return s == "" }), " or "))
		}
	}
	for _, text := range []struct {
		value    *string
		standard string
	}{{&o.WorkspacePath, defaultWorkspace}, {&o.GPUResource, defaultGPU}, {&o.GPUModelLabel, defaultGPUModel}} {
		if *text.value == "" {
			*text.value = text.standard
		}
	}
	if !path.IsAbs(o.WorkspacePath) || path.Clean(o.WorkspacePath) != o.WorkspacePath || o.WorkspacePath == "/" {
		return fmt.Errorf("parameter workspacePath is %q; it must be an absolute path", backends.Bounded(o.WorkspacePath, 128))
	}
	return nil
}

func (o *options) numbers() error {
	if o.RunAsUser == 0 {
		o.RunAsUser = defaultUser
	}
	if o.StartDeadlineSeconds == 0 {
		o.StartDeadlineSeconds = defaultStartDeadline
	}
	switch {
	case o.RunAsUser < 0:
		return fmt.Errorf("parameter runAsUser is %d; it must be a user's number", o.RunAsUser)
	case o.StartDeadlineSeconds < 0:
		return fmt.Errorf("parameter startDeadlineSeconds is %d; it must be 1 or more", o.StartDeadlineSeconds)
	case o.MaxLifetimeSeconds < 0:
		return fmt.Errorf("parameter maxLifetimeSeconds is %d; it must be 0 or more", o.MaxLifetimeSeconds)
	}
	return nil
}

func (o *options) startDeadline() time.Duration {
	return time.Duration(o.StartDeadlineSeconds) * time.Second
}

// placeholder is one in the template of endpoints.
var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

func (o *options) endpoint() error {
	if o.EndpointURL == "" {
		return nil
	}
	for _, found := range placeholder.FindAllString(o.EndpointURL, -1) {
		if !slices.Contains([]string{"{port}", "{name}", "{namespace}", "{ip}"}, found) {
			return fmt.Errorf("parameter endpointURL has %s; there are {port}, {name}, {namespace} and {ip}", backends.Bounded(found, 64))
		}
	}
	example := strings.NewReplacer("{port}", "80", "{name}", "n", "{namespace}", "n", "{ip}", "192.0.2.1").Replace(o.EndpointURL)
	parsed, err := url.Parse(example)
	if err != nil || parsed.Host == "" || parsed.User != nil || !slices.Contains([]string{"http", "https"}, parsed.Scheme) {
		return fmt.Errorf("parameter endpointURL is %q; write something like https://{port}-{name}.sandboxes.example.com",
			backends.Bounded(o.EndpointURL, 256))
	}
	return nil
}

// overlay tries the overlay on an empty pod.
func (o *options) overlay() error {
	if len(o.PodOverlay) == 0 {
		return nil
	}
	_, err := o.overlaid(&corev1.PodSpec{Containers: []corev1.Container{{Name: containerName}}})
	return err
}

// overlaid returns the spec with the overlay over it.
func (o *options) overlaid(spec *corev1.PodSpec) (*corev1.PodSpec, error) {
	if len(o.PodOverlay) == 0 {
		return spec, nil
	}
	original, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	patch, err := json.Marshal(o.PodOverlay)
	if err != nil {
		return nil, err
	}
	merged, err := strategicpatch.StrategicMergePatch(original, patch, corev1.PodSpec{})
	if err != nil {
		return nil, fmt.Errorf("parameter podOverlay is no patch of a pod's spec: %w", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(merged)))
	decoder.DisallowUnknownFields()
	var result corev1.PodSpec
	if err := decoder.Decode(&result); err != nil {
		return nil, fmt.Errorf("parameter podOverlay is no patch of a pod's spec: %w", err)
	}
	if !slices.ContainsFunc(result.Containers, func(c corev1.Container) bool { return c.Name == containerName }) {
		return nil, fmt.Errorf("parameter podOverlay takes away the container %s", containerName)
	}
	return &result, nil
}
