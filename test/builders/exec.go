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
		Spec:       v1alpha1.SandboxExecSpec{SandboxRef: &v1alpha1.LocalReference{Name: sandbox}},
	}}
}

// MakeOneShot begins a SandboxExec that brings its own Sandbox.
func MakeOneShot(namespace, name string, sandbox *SandboxBuilder) *ExecBuilder {
	b := MakeExec(namespace, name, "")
	b.exec.Spec.SandboxRef, b.exec.Spec.Sandbox = nil, &sandbox.Obj().Spec
	return b
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

// Native has the provider's own interpreter run the code.
func (b *ExecBuilder) Native() *ExecBuilder {
	b.exec.Spec.Code.Engine = v1alpha1.EngineNative
	return b
}

// Interpreter has this program run the code.
func (b *ExecBuilder) Interpreter(argv ...string) *ExecBuilder {
	b.exec.Spec.Code.Interpreter = argv
	return b
}

// Arguments sets those of the code.
func (b *ExecBuilder) Arguments(arguments ...string) *ExecBuilder {
	b.exec.Spec.Code.Arguments = arguments
	return b
}

// Input adds a file.
func (b *ExecBuilder) Input(path, content string) *ExecBuilder {
	b.exec.Spec.Inputs = append(b.exec.Spec.Inputs, v1alpha1.File{Path: path, Content: Text(content)})
	return b
}

// InputFrom adds a file from a Secret or ConfigMap.
func (b *ExecBuilder) InputFrom(path string, mode int32, source *v1alpha1.ValueSource) *ExecBuilder {
	b.exec.Spec.Inputs = append(b.exec.Spec.Inputs, v1alpha1.File{
		Path: path, Mode: &mode, Content: v1alpha1.Content{ContentFrom: source},
	})
	return b
}

// Output adds a file or directory to be read into status.
func (b *ExecBuilder) Output(path string) *ExecBuilder {
	b.exec.Spec.Outputs = append(b.exec.Spec.Outputs, v1alpha1.ExecOutput{Path: path})
	return b
}

// RequiredOutput adds one that must be there.
func (b *ExecBuilder) RequiredOutput(path string) *ExecBuilder {
	b.exec.Spec.Outputs = append(b.exec.Spec.Outputs, v1alpha1.ExecOutput{Path: path, Presence: v1alpha1.OutputRequired})
	return b
}

// OutputTo adds one that is read into a ConfigMap or Secret.
func (b *ExecBuilder) OutputTo(path string, to *v1alpha1.OutputDestination) *ExecBuilder {
	b.exec.Spec.Outputs = append(b.exec.Spec.Outputs, v1alpha1.ExecOutput{Path: path, To: to})
	return b
}

// ToConfigMap is a key of a ConfigMap; empty words leave the defaults.
func ToConfigMap(name, key string) *v1alpha1.OutputDestination {
	return &v1alpha1.OutputDestination{ConfigMap: &v1alpha1.DestinationKey{Name: name, Key: key}}
}

// ToSecret is a key of a Secret; empty words leave the defaults.
func ToSecret(name, key string) *v1alpha1.OutputDestination {
	return &v1alpha1.OutputDestination{Secret: &v1alpha1.DestinationKey{Name: name, Key: key}}
}

// StdoutTo stores the whole of standard output, too.
func (b *ExecBuilder) StdoutTo(to *v1alpha1.OutputDestination) *ExecBuilder {
	if b.streams().Stdout == nil {
		b.streams().Stdout = &v1alpha1.StreamLimits{}
	}
	b.streams().Stdout.To = to
	return b
}

// Progress shows in status what is printed while the command runs.
func (b *ExecBuilder) Progress() *ExecBuilder {
	b.streams().Progress = v1alpha1.ProgressEnabled
	return b
}

// Retry runs the command again, so many times at most, after these outcomes, without a wait.
func (b *ExecBuilder) Retry(limit int32, outcomes ...v1alpha1.RetriedOutcome) *ExecBuilder {
	b.exec.Spec.Retry = &v1alpha1.ExecRetry{Limit: limit, Outcomes: outcomes, BackoffSeconds: new(int32(0))}
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

// Label sets a label.
func (b *ExecBuilder) Label(key, value string) *ExecBuilder {
	b.exec.Labels = with(b.exec.Labels, key, value)
	return b
}

// Annotation adds an annotation.
func (b *ExecBuilder) Annotation(key, value string) *ExecBuilder {
	b.exec.Annotations = with(b.exec.Annotations, key, value)
	return b
}
