// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	_ "embed" // the first process
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

//go:embed first.sh
var firstScript string

const (
	containerName = "sandbox"
	// subdomain is that of every pod: with a headless Service of this name each has a name of its own in the cluster's DNS.
	subdomain = "sandboxes"
	// graceSeconds is how long processes may take to end. The first one ends at once, and all others with it.
	graceSeconds = 1
	// uidVariable has the pod's UID, by which a command knows that it is where it belongs.
	uidVariable = "SANDBOXES_RUN_POD"

	leaseDir = "/run/sandboxes.run"
)

// pod writes the pod of a request.
func (b *backend) pod(r backends.CreateRequest, policy string, now time.Time) (*corev1.Pod, error) {
	image := r.Source.Image
	if image == "" {
		image = b.options.Image
	}
	if image == "" {
		return nil, fmt.Errorf("there is no image: name one in source.image, or have the provider's parameter image name one for all")
	}
	security, err := b.security(r.User)
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: r.Name, Namespace: b.options.Namespace, Labels: maps.Clone(b.options.PodLabels), Annotations: maps.Clone(b.options.PodAnnotations),
		},
		Spec: corev1.PodSpec{
			Containers:    []corev1.Container{b.container(r, image)},
			RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: new(int64(graceSeconds)),
			AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false), SecurityContext: security,
			ServiceAccountName: b.options.ServiceAccountName, PriorityClassName: b.options.PriorityClassName,
			NodeSelector: maps.Clone(b.options.NodeSelector), Tolerations: slices.Clone(b.options.Tolerations),
			Hostname: r.Name, Subdomain: subdomain, Volumes: volumes(b.options.RootFilesystem == rootReadOnly),
		},
	}
	b.finish(pod, r)
	spec, err := b.options.overlaid(&pod.Spec)
	if err != nil {
		return nil, err
	}
	pod.Spec = *spec
	b.mark(pod, r, policy, now)
	return pod, nil
}

// finish sets what only some have.
func (b *backend) finish(pod *corev1.Pod, r backends.CreateRequest) {
	if b.options.RuntimeClassName != "" {
		pod.Spec.RuntimeClassName = &b.options.RuntimeClassName
	}
	if b.options.MaxLifetimeSeconds > 0 {
		pod.Spec.ActiveDeadlineSeconds = &b.options.MaxLifetimeSeconds
	}
	for _, name := range b.options.ImagePullSecrets {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	if r.Resources.GPUModel != "" {
		if pod.Spec.NodeSelector == nil {
			pod.Spec.NodeSelector = map[string]string{}
		}
		pod.Spec.NodeSelector[b.options.GPUModelLabel] = r.Resources.GPUModel
	}
}

// mark comes last: nothing stands in for it.
func (b *backend) mark(pod *corev1.Pod, r backends.CreateRequest, policy string, now time.Time) {
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Labels[nameLabel] = labelValue(r.Name)
	maps.Copy(pod.Labels, markLabels(r.Mark))
	maps.Copy(pod.Annotations, annotations(r.Mark, r.Labels))
	if policy != "" {
		pod.Labels[networkLabel] = policy
	}
	if r.Lifetime > 0 {
		pod.Annotations[leaseAnnotation] = leaseText(now.Add(r.Lifetime))
	}
}

// security is that of the restricted Pod Security Standard, with the user's number.
func (b *backend) security(user string) (*corev1.PodSecurityContext, error) {
	uid, gid := b.options.RunAsUser, b.options.RunAsUser
	if user != "" {
		var err error
		if uid, gid, err = parseUser(user); err != nil {
			return nil, err
		}
	}
	if uid == 0 && b.options.RootUser != rootAllowed {
		return nil, fmt.Errorf("user 0 is root, which this provider does not allow: name another number, or have an administrator set the " +
			"parameter rootUser of a ClusterSandboxProvider to Allowed")
	}
	security := &corev1.PodSecurityContext{
		RunAsUser: &uid, RunAsGroup: &gid, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if uid != 0 {
		security.RunAsNonRoot = new(true)
	}
	return security, nil
}

// parseUser reads UID or UID:GID. Names stand in the image, which nobody here has read.
func parseUser(user string) (uid, gid int64, err error) {
	first, second, both := strings.Cut(user, ":")
	uid, err = strconv.ParseInt(first, 10, 32)
	gid = uid
	if err == nil && both {
		gid, err = strconv.ParseInt(second, 10, 32)
	}
	if err != nil || uid < 0 || gid < 0 {
		return 0, 0, fmt.Errorf("user %q is no number: pods run as UID, or UID:GID", backends.Bounded(user, 64))
	}
	return uid, gid, nil
}

func (b *backend) container(r backends.CreateRequest, image string) corev1.Container {
	c := corev1.Container{
		Name: containerName, Image: image, ImagePullPolicy: corev1.PullPolicy(b.options.ImagePullPolicy), WorkingDir: r.WorkingDir,
		Env: environment(r.Env), Resources: b.resources(r.Resources),
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			ReadOnlyRootFilesystem: new(b.options.RootFilesystem == rootReadOnly),
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "lease", MountPath: leaseDir, ReadOnly: true},
			{Name: "spool", MountPath: backends.DefaultSpoolRoot},
			{Name: "workspace", MountPath: b.options.WorkspacePath},
		},
	}
	if b.options.RootFilesystem == rootReadOnly {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "tmp", MountPath: "/tmp"})
	}
	if b.options.FirstProcess == firstShell {
		c.Command = []string{"/bin/sh", "-c", literal(firstScript)}
	}
	for _, port := range r.Ports {
		if one := (corev1.ContainerPort{ContainerPort: port.Number}); !slices.Contains(c.Ports, one) {
			c.Ports = append(c.Ports, one)
		}
	}
	return c
}

// literal keeps a kubelet from taking $(NAME) for one of its own variables.
func literal(text string) string { return strings.ReplaceAll(text, "$", "$$") }

func environment(plain map[string]string) []corev1.EnvVar {
	env := []corev1.EnvVar{{
		Name: uidVariable, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.uid"}},
	}}
	for _, name := range slices.Sorted(maps.Keys(plain)) {
		env = append(env, corev1.EnvVar{Name: name, Value: literal(plain[name])})
	}
	return env
}

// resources are requested as they are limited: what a sandbox may use is there.
func (b *backend) resources(r backends.Resources) corev1.ResourceRequirements {
	list := corev1.ResourceList{}
	if r.MilliCPU > 0 {
		list[corev1.ResourceCPU] = *resource.NewMilliQuantity(r.MilliCPU, resource.DecimalSI)
	}
	if r.MemoryBytes > 0 {
		list[corev1.ResourceMemory] = *resource.NewQuantity(r.MemoryBytes, resource.BinarySI)
	}
	if r.DiskBytes > 0 {
		list[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(r.DiskBytes, resource.BinarySI)
	}
	gpus := r.GPUs
	if gpus == 0 && r.GPUModel != "" {
		gpus = 1
	}
	if gpus > 0 {
		list[corev1.ResourceName(b.options.GPUResource)] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	return corev1.ResourceRequirements{Requests: list, Limits: list}
}

// volumes are directories of the pod's own, and the lease as the kubelet shows it.
func volumes(tmp bool) []corev1.Volume {
	empty := func(name string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
	}
	all := []corev1.Volume{
		{Name: "lease", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{
			Items: []corev1.DownwardAPIVolumeFile{{
				Path: "lease", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.annotations['" + leaseAnnotation + "']"},
			}},
		}}},
		empty("spool"), empty("workspace"),
	}
	if tmp {
		all = append(all, empty("tmp"))
	}
	return all
}
