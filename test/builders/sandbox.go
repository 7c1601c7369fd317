// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package builders

import (
	"maps"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// SandboxBuilder makes a Sandbox.
type SandboxBuilder struct{ sandbox v1alpha1.Sandbox }

// MakeSandbox begins a Sandbox of the default provider.
func MakeSandbox(namespace, name string) *SandboxBuilder {
	return &SandboxBuilder{v1alpha1.Sandbox{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Sandbox"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
	}}
}

// Obj returns the Sandbox.
func (b *SandboxBuilder) Obj() *v1alpha1.Sandbox { return b.sandbox.DeepCopy() }

// Provider names the provider.
func (b *SandboxBuilder) Provider(kind v1alpha1.ProviderKind, name string) *SandboxBuilder {
	b.sandbox.Spec.ProviderRef = &v1alpha1.ProviderReference{Kind: kind, Name: name}
	return b
}

// ClusterProvider names a provider of the cluster.
func (b *SandboxBuilder) ClusterProvider(name string) *SandboxBuilder {
	return b.Provider(v1alpha1.KindClusterSandboxProvider, name)
}

// NamespacedProvider names a provider of the namespace.
func (b *SandboxBuilder) NamespacedProvider(name string) *SandboxBuilder {
	return b.Provider(v1alpha1.KindSandboxProvider, name)
}

// Image sets the source.
func (b *SandboxBuilder) Image(image string) *SandboxBuilder {
	b.sandbox.Spec.Source = &v1alpha1.SandboxSource{Image: image}
	return b
}

// Template sets the source.
func (b *SandboxBuilder) Template(template string) *SandboxBuilder {
	b.sandbox.Spec.Source = &v1alpha1.SandboxSource{Template: template}
	return b
}

func (b *SandboxBuilder) resources() *v1alpha1.SandboxResources {
	if b.sandbox.Spec.Resources == nil {
		b.sandbox.Spec.Resources = &v1alpha1.SandboxResources{}
	}
	return b.sandbox.Spec.Resources
}

// CPU sets the limit, such as 500m.
func (b *SandboxBuilder) CPU(quantity string) *SandboxBuilder {
	b.resources().CPU = quantityOf(quantity)
	return b
}

// Memory sets the limit, such as 256Mi.
func (b *SandboxBuilder) Memory(quantity string) *SandboxBuilder {
	b.resources().Memory = quantityOf(quantity)
	return b
}

// Disk sets the limit, such as 1Gi.
func (b *SandboxBuilder) Disk(quantity string) *SandboxBuilder {
	b.resources().Disk = quantityOf(quantity)
	return b
}

func quantityOf(text string) *resource.Quantity {
	quantity := resource.MustParse(text)
	return &quantity
}

// Env adds a variable.
func (b *SandboxBuilder) Env(name, value string) *SandboxBuilder {
	b.sandbox.Spec.Env = append(b.sandbox.Spec.Env, plainVariable(name, value))
	return b
}

// EnvFrom adds a variable from a Secret or ConfigMap.
func (b *SandboxBuilder) EnvFrom(name string, source *v1alpha1.ValueSource) *SandboxBuilder {
	b.sandbox.Spec.Env = append(b.sandbox.Spec.Env, v1alpha1.EnvVar{Name: name, ValueFrom: source})
	return b
}

// EnvFromAll adds all keys of Secrets or ConfigMaps as variables.
func (b *SandboxBuilder) EnvFromAll(sources ...v1alpha1.EnvFromSource) *SandboxBuilder {
	b.sandbox.Spec.EnvFrom = append(b.sandbox.Spec.EnvFrom, sources...)
	return b
}

// File adds a file with inline content.
func (b *SandboxBuilder) File(path, content string) *SandboxBuilder {
	b.sandbox.Spec.Files = append(b.sandbox.Spec.Files, v1alpha1.File{Path: path, Content: Text(content)})
	return b
}

// FileFrom adds a file with this mode from a Secret or ConfigMap.
func (b *SandboxBuilder) FileFrom(path string, mode int32, source *v1alpha1.ValueSource) *SandboxBuilder {
	b.sandbox.Spec.Files = append(b.sandbox.Spec.Files, v1alpha1.File{Path: path, Mode: &mode, Content: From(source)})
	return b
}

// WorkingDir sets the directory in which commands start.
func (b *SandboxBuilder) WorkingDir(path string) *SandboxBuilder {
	b.sandbox.Spec.WorkingDir = path
	return b
}

// Serial lets runs in it go one after another.
func (b *SandboxBuilder) Serial() *SandboxBuilder {
	b.sandbox.Spec.ExecConcurrency = v1alpha1.ExecSerial
	return b
}

// Retain leaves the remote at the provider when the object goes.
func (b *SandboxBuilder) Retain() *SandboxBuilder {
	b.sandbox.Spec.DeletionPolicy = v1alpha1.DeletionPolicyRetain
	return b
}

// Lifetime sets when the remote ends.
func (b *SandboxBuilder) Lifetime(lifetime v1alpha1.SandboxLifetime) *SandboxBuilder {
	b.sandbox.Spec.Lifetime = &lifetime
	return b
}

// Paused asks for a paused remote.
func (b *SandboxBuilder) Paused() *SandboxBuilder {
	b.sandbox.Spec.DesiredState = v1alpha1.DesiredPaused
	return b
}

// Adopt names the remote that is adopted.
func (b *SandboxBuilder) Adopt(id string) *SandboxBuilder {
	b.sandbox.Spec.SandboxID = id
	return b
}

// Port adds a port.
func (b *SandboxBuilder) Port(name string, number int32, protocol v1alpha1.PortProtocol) *SandboxBuilder {
	b.sandbox.Spec.Ports = append(b.sandbox.Spec.Ports, v1alpha1.SandboxPort{Name: name, Port: number, Protocol: protocol})
	return b
}

// Network sets what the sandbox may reach.
func (b *SandboxBuilder) Network(network v1alpha1.SandboxNetwork) *SandboxBuilder {
	b.sandbox.Spec.Network = &network
	return b
}

// RemoteLabel adds a label of the remote.
func (b *SandboxBuilder) RemoteLabel(key, value string) *SandboxBuilder {
	b.sandbox.Spec.RemoteLabels = with(b.sandbox.Spec.RemoteLabels, key, value)
	return b
}

// Parameters sets the backend's options, as JSON.
func (b *SandboxBuilder) Parameters(json string) *SandboxBuilder {
	b.sandbox.Spec.Parameters = &runtime.RawExtension{Raw: []byte(json)}
	return b
}

// With changes the spec in any other way.
func (b *SandboxBuilder) With(change func(spec *v1alpha1.SandboxSpec)) *SandboxBuilder {
	change(&b.sandbox.Spec)
	return b
}

// Annotation adds an annotation.
func (b *SandboxBuilder) Annotation(key, value string) *SandboxBuilder {
	b.sandbox.Annotations = with(b.sandbox.Annotations, key, value)
	return b
}

// Label adds a label.
func (b *SandboxBuilder) Label(key, value string) *SandboxBuilder {
	b.sandbox.Labels = with(b.sandbox.Labels, key, value)
	return b
}

func with(values map[string]string, key, value string) map[string]string {
	values = maps.Clone(values)
	if values == nil {
		values = map[string]string{}
	}
	values[key] = value
	return values
}
