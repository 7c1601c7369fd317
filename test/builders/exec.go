// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package builders

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// ExecBuilder makes a SandboxExec.
type ExecBuilder struct{ exec v1alpha1.SandboxExec }

// MakeExec begins a SandboxExec in the Sandbox of that name.
func MakeExec(namespace, name, sandbox string) *ExecBuilder {
	return &ExecBuilder{v1alpha1.SandboxExec{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "SandboxExec"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.SandboxExecSpec{SandboxRef: v1alpha1.LocalReference{Name: sandbox}},
	}}
}

// Obj returns the SandboxExec.
func (b *ExecBuilder) Obj() *v1alpha1.SandboxExec { return b.exec.DeepCopy() }

// Command sets the program and its arguments.
func (b *ExecBuilder) Command(argv ...string) *ExecBuilder {
	b.exec.Spec.Command = argv
	return b
}

// Shell runs a line by sh -c.
func (b *ExecBuilder) Shell(line string) *ExecBuilder {
	return b.Command("sh", "-c", line)
}

// Code sets the source to run.
func (b *ExecBuilder) Code(language v1alpha1.CodeLanguage, source string) *ExecBuilder {
	b.exec.Spec.Code = &v1alpha1.ExecCode{Language: language, Source: source}
	return b
}

// CodeFrom takes the source from a Secret or ConfigMap.
func (b *ExecBuilder) CodeFrom(language v1alpha1.CodeLanguage, source *v1alpha1.ValueSource) *ExecBuilder {
	b.exec.Spec.Code = &v1alpha1.ExecCode{Language: language, SourceFrom: source}
	return b
}

// WorkingDir sets the directory to start in.
func (b *ExecBuilder) WorkingDir(path string) *ExecBuilder {
	b.exec.Spec.WorkingDir = path
	return b
}

// Env adds a variable.
func (b *ExecBuilder) Env(name, value string) *ExecBuilder {
	b.exec.Spec.Env = append(b.exec.Spec.Env, plainVariable(name, value))
	return b
}

// EnvFrom adds a variable from a Secret or ConfigMap.
func (b *ExecBuilder) EnvFrom(name string, source *v1alpha1.ValueSource) *ExecBuilder {
	b.exec.Spec.Env = append(b.exec.Spec.Env, v1alpha1.EnvVar{Name: name, ValueFrom: source})
	return b
}

// EnvFromAll adds all keys of Secrets or ConfigMaps as variables.
func (b *ExecBuilder) EnvFromAll(sources ...v1alpha1.EnvFromSource) *ExecBuilder {
	b.exec.Spec.EnvFrom = append(b.exec.Spec.EnvFrom, sources...)
	return b
}

// Stdin sets what the command reads.
func (b *ExecBuilder) Stdin(content v1alpha1.Content) *ExecBuilder {
	b.exec.Spec.Stdin = &content
	return b
}

// Timeout sets the command's seconds; 0 = no limit.
func (b *ExecBuilder) Timeout(seconds int32) *ExecBuilder {
	b.exec.Spec.TimeoutSeconds = &seconds
	return b
}

// StartDeadline sets the seconds to wait for the Sandbox.
func (b *ExecBuilder) StartDeadline(seconds int32) *ExecBuilder {
	b.exec.Spec.StartDeadlineSeconds = &seconds
	return b
}

func (b *ExecBuilder) streams() *v1alpha1.ExecStreams {
	if b.exec.Spec.Streams == nil {
		b.exec.Spec.Streams = &v1alpha1.ExecStreams{}
	}
	return b.exec.Spec.Streams
}

// KeepStdout sets how many bytes of standard output to keep.
func (b *ExecBuilder) KeepStdout(head, tail int32) *ExecBuilder {
	b.streams().Stdout = &v1alpha1.StreamLimits{HeadBytes: &head, TailBytes: &tail}
	return b
}

// KeepStderr sets how many bytes of standard error to keep.
func (b *ExecBuilder) KeepStderr(head, tail int32) *ExecBuilder {
	b.streams().Stderr = &v1alpha1.StreamLimits{HeadBytes: &head, TailBytes: &tail}
	return b
}

// Cancelled asks for its end.
func (b *ExecBuilder) Cancelled() *ExecBuilder {
	b.exec.Spec.DesiredState = v1alpha1.ExecCancelled
	return b
}

// TTL sets the seconds after which the finished object goes.
func (b *ExecBuilder) TTL(seconds int32) *ExecBuilder {
	b.exec.Spec.TTLSecondsAfterFinished = &seconds
	return b
}

// Annotation adds an annotation.
func (b *ExecBuilder) Annotation(key, value string) *ExecBuilder {
	b.exec.Annotations = with(b.exec.Annotations, key, value)
	return b
}
