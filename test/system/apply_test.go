// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// manifest is what a user writes.
func manifest(namespace, kind, name, spec string) *unstructured.Unstructured {
	GinkgoHelper()
	object := &unstructured.Unstructured{Object: map[string]any{}}
	Expect(yaml.Unmarshal([]byte("spec:\n  "+strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ")), &object.Object)).To(Succeed())
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	object.SetName(name)
	if kind != string(v1alpha1.KindClusterSandboxProvider) {
		object.SetNamespace(namespace)
	}
	return object
}

var _ = Describe("The API server", func() {
	DescribeTable("refuses, and says what to write instead",
		func(ctx context.Context, kind, spec, message string) {
			err := bed.Client.Create(ctx, manifest("default", kind, "refused", spec), client.DryRunAll)
			Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
			Expect(err).To(MatchError(ContainSubstring(message)))
		},
		Entry("a run of both command and code", "SandboxExec",
			"sandboxRef: {name: box}\ncommand: [ls]\ncode: {language: shell, source: ls}",
			"set exactly one of command (a program with its arguments)"),
		Entry("a run of neither", "SandboxExec", "sandboxRef: {name: box}", "set exactly one of command (a program with its arguments)"),
		Entry("an empty command", "SandboxExec", "sandboxRef: {name: box}\ncommand: []",
			"spec.command in body should have at least 1 items"),
		Entry("a command whose program is empty", "SandboxExec", `{sandboxRef: {name: box}, command: ["", a]}`,
			"the first element is the program and may not be empty"),
		Entry("a run without a sandbox", "SandboxExec", "command: [ls]",
			"set exactly one of sandboxRef (a Sandbox that there is) and sandbox"),
		Entry("a run of two sandboxes", "SandboxExec", "{sandboxRef: {name: box}, sandbox: {}, command: [ls]}",
			"set exactly one of sandboxRef (a Sandbox that there is) and sandbox"),
		Entry("a sandbox of one run that is to be retained", "SandboxExec", "{sandbox: {deletionPolicy: Retain}, command: [ls]}",
			"create a Sandbox with deletionPolicy Retain and name it in sandboxRef"),
		Entry("an input path with ..", "SandboxExec",
			"{sandboxRef: {name: box}, command: [ls], inputs: [{path: /workspace/../etc/passwd, content: x}]}",
			"must be an absolute, clean path"),
		Entry("two inputs for one path", "SandboxExec",
			"{sandboxRef: {name: box}, command: [ls], inputs: [{path: /a, content: x}, {path: /a, content: y}]}", "Duplicate value"),
		Entry("an input without content", "SandboxExec", "{sandboxRef: {name: box}, command: [ls], inputs: [{path: /a}]}",
			"set exactly one of content and contentFrom"),
		Entry("an output path with ..", "SandboxExec", "{sandboxRef: {name: box}, command: [ls], outputs: [{path: /a/../b}]}",
			"must be an absolute, clean path such as /workspace/report.json"),
		Entry("an output twice", "SandboxExec", "{sandboxRef: {name: box}, command: [ls], outputs: [{path: /a}, {path: /a}]}",
			"Duplicate value"),
		Entry("an output to two places", "SandboxExec",
			"{sandboxRef: {name: box}, command: [ls], outputs: [{path: /a, to: {configMap: {}, secret: {}}}]}",
			"set exactly one of configMap and secret"),
		Entry("an output to an object that can't have this name", "SandboxExec",
			"{sandboxRef: {name: box}, command: [ls], outputs: [{path: /a, to: {configMap: {name: A_b}}}]}",
			"must be a name of an object"),
		Entry("an output to a key that can't be one", "SandboxExec",
			"{sandboxRef: {name: box}, command: [ls], outputs: [{path: /a, to: {secret: {key: ..}}}]}",
			"must be a key of a Secret or ConfigMap"),
		Entry("retries without a limit", "SandboxExec", "{sandboxRef: {name: box}, command: [ls], retry: {outcomes: [Failed]}}",
			"spec.retry.limit: Required value"),
		Entry("retries after a success", "SandboxExec",
			"{sandboxRef: {name: box}, command: [ls], retry: {limit: 1, outcomes: [Succeeded]}}",
			`supported values: "StartFailed", "SandboxLost", "Failed", "TimedOut", "Unknown"`),
		Entry("retries without an outcome", "SandboxExec", "{sandboxRef: {name: box}, command: [ls], retry: {limit: 1, outcomes: []}}",
			"spec.retry.outcomes in body should have at least 1 items"),
		Entry("code without anything to run it", "SandboxExec", "{sandboxRef: {name: box}, code: {source: x}}",
			"set language (python, javascript, typescript, shell, ruby, perl, go), or interpreter for any other"),
		Entry("native code with an interpreter", "SandboxExec",
			"{sandboxRef: {name: box}, code: {language: python, source: x, engine: Native, interpreter: [pypy]}}",
			"set language, and neither interpreter nor arguments"),
		Entry("rich results of an interpreter", "SandboxExec",
			"{sandboxRef: {name: box}, code: {language: python, source: x, results: {configMap: {}}}}", "only engine Native has results"),
		Entry("standard input for the provider's own interpreter", "SandboxExec",
			"{sandboxRef: {name: box}, code: {language: python, source: x, engine: Native}, stdin: {content: x}}",
			"engine Native gives the code no standard input: bring it as a file in inputs"),
		Entry("code in an unknown language", "SandboxExec", "sandboxRef: {name: box}\ncode: {language: cobol, source: x}",
			`supported values: "python", "javascript", "typescript", "shell", "ruby", "perl", "go"`),
		Entry("code with two sources", "SandboxExec",
			"sandboxRef: {name: box}\ncode: {language: shell, source: ls, sourceFrom: {configMapKeyRef: {name: a, key: b}}}",
			"set exactly one of source and sourceFrom"),
		Entry("a negative timeout", "SandboxExec", "{sandboxRef: {name: box}, command: [ls], timeoutSeconds: -1}",
			"spec.timeoutSeconds in body should be greater than or equal to 0"),
		Entry("a start deadline of no time", "SandboxExec", "{sandboxRef: {name: box}, command: [ls], startDeadlineSeconds: 0}",
			"spec.startDeadlineSeconds in body should be greater than or equal to 1"),
		Entry("a negative time to live", "SandboxExec", "{sandboxRef: {name: box}, command: [ls], ttlSecondsAfterFinished: -1}",
			"spec.ttlSecondsAfterFinished in body should be greater than or equal to 0"),
		Entry("streams that are too large together", "SandboxExec",
			"{sandboxRef: {name: box}, command: [ls], streams: {stdout: {headBytes: 65536}}}",
			"headBytes and tailBytes may be at most 65536 together, and each is 8192 where it is not set"),
		Entry("a negative part of a stream", "SandboxExec",
			"{sandboxRef: {name: box}, command: [ls], streams: {stderr: {tailBytes: -1}}}", "should be greater than or equal to 0"),
		Entry("stdin from two places", "SandboxExec",
			"{sandboxRef: {name: box}, command: [ls], stdin: {content: a, contentFrom: {secretKeyRef: {name: a, key: b}}}}",
			"set exactly one of content and contentFrom"),
		Entry("a relative working directory of a run", "SandboxExec", "{sandboxRef: {name: box}, command: [ls], workingDir: work}",
			"must be an absolute path such as /workspace"),
		Entry("an env name that no shell knows", "SandboxExec",
			`{sandboxRef: {name: box}, command: [ls], env: [{name: "1A", value: x}]}`, "must be a name that a shell can export"),
		Entry("an env name with a dash", "Sandbox", `env: [{name: A-B, value: x}]`, "must be a name that a shell can export"),
		Entry("an env variable with a value from two places", "Sandbox",
			"env: [{name: A, value: x, valueFrom: {secretKeyRef: {name: a, key: b}}}]", "set exactly one of value and valueFrom"),
		Entry("an env variable without a value", "Sandbox", "env: [{name: A}]", "set exactly one of value and valueFrom"),
		Entry("an env variable twice", "Sandbox", "env: [{name: A, value: x}, {name: A, value: y}]", "Duplicate value"),
		Entry("a value from both Secret and ConfigMap", "Sandbox",
			"env: [{name: A, valueFrom: {secretKeyRef: {name: a, key: b}, configMapKeyRef: {name: a, key: b}}}]",
			"set exactly one of secretKeyRef and configMapKeyRef"),
		Entry("a prefix that begins with a digit", "Sandbox", `envFrom: [{prefix: "1", secretRef: {name: a}}]`,
			"must be the beginning of a name that a shell can export"),
		Entry("a relative path of a file", "Sandbox", "files: [{path: data.csv, content: x}]",
			"must be an absolute, clean path such as /workspace/data.csv"),
		Entry("a path with ..", "Sandbox", "files: [{path: /workspace/../etc/passwd, content: x}]",
			"must be an absolute, clean path such as /workspace/data.csv"),
		Entry("a path of a directory", "Sandbox", "files: [{path: /workspace/, content: x}]",
			"must be an absolute, clean path such as /workspace/data.csv"),
		Entry("a file without content", "Sandbox", "files: [{path: /a}]", "set exactly one of content and contentFrom"),
		Entry("a mode beyond the permission bits", "Sandbox", "files: [{path: /a, content: x, mode: 0o4755}]",
			"should be less than or equal to 511"),
		Entry("a relative working directory", "Sandbox", "workingDir: work", "must be an absolute, clean path such as /workspace"),
		Entry("two sources", "Sandbox", "source: {image: a, template: b}", "set exactly one of image, template and snapshot"),
		Entry("no memory", "Sandbox", `resources: {memory: "0"}`, "memory must be more than 0, such as 512Mi"),
		Entry("less than no CPU", "Sandbox", `resources: {cpu: "-1"}`, "cpu must be more than 0, such as 500m or 2"),
		Entry("a CPU that is no quantity", "Sandbox", `resources: {cpu: many}`, "spec.resources.cpu: Invalid value"),
		Entry("a provider of an unknown kind", "Sandbox", "providerRef: {kind: Provider, name: a}",
			`supported values: "SandboxProvider", "ClusterSandboxProvider"`),
		Entry("a backend that is no name", "SandboxProvider", "backend: E2B!", "must be the name of a backend: lower case letters"),
		Entry("parameters that are no object", "SandboxProvider", "{backend: local, parameters: [a]}", "must be of type object"),
		Entry("a selector without from: Selector", "ClusterSandboxProvider",
			"{backend: local, allowedNamespaces: {from: All, selector: {}}}", "set selector together with from: Selector, and only then"),
		Entry("from: Selector without a selector", "ClusterSandboxProvider", "{backend: local, allowedNamespaces: {from: Selector}}",
			"set selector together with from: Selector, and only then"),
	)

	Context("when a spec is changed after creation", func() {
		const everything = `
providerRef: {kind: ClusterSandboxProvider, name: nobody}
source: {image: example.com/a}
resources: {cpu: "1"}
env: [{name: A, value: x}]
envFrom: [{secretRef: {name: a}}]
files: [{path: /a, content: x}]
workingDir: /work`
		const run = `
sandboxRef: {name: nobody}
command: [ls]
workingDir: /work
env: [{name: A, value: x}]
envFrom: [{secretRef: {name: a}}]
stdin: {content: x}
timeoutSeconds: 5
startDeadlineSeconds: 500
streams: {stdout: {headBytes: 5}}
inputs: [{path: /a, content: x}]
outputs: [{path: /b}]
retry: {limit: 1, outcomes: [Failed]}
desiredState: Cancelled
ttlSecondsAfterFinished: 5000`

		// expectRefused sends spec as a merge patch, where null takes a field away.
		expectRefused := func(ctx context.Context, object *unstructured.Unstructured, spec, message string) {
			GinkgoHelper()
			err := bed.Client.Patch(ctx, object.DeepCopy(), mergePatch(`{"spec":{`+spec+`}}`), client.DryRunAll)
			Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%s: %v", spec, err)
			Expect(err).To(MatchError(ContainSubstring(message)), spec)
		}

		It("refuses that of a Sandbox, field by field", func(ctx context.Context) {
			room := bed.NewRoom(ctx)
			sandbox := manifest(room.Namespace, "Sandbox", "box", everything)
			room.Create(ctx, sandbox)
			bare := manifest(room.Namespace, "Sandbox", "bare", "providerRef: {kind: ClusterSandboxProvider, name: nobody}")
			room.Create(ctx, bare)
			for field, change := range map[string][2]string{
				"providerRef": {`{"name":"other"}`, "providerRef is immutable: delete this Sandbox"},
				"source":      {`{"image":"example.com/b"}`, "source is immutable: delete this Sandbox"},
				"resources":   {`{"cpu":"2"}`, "immutable: delete this Sandbox and create another with the resources"},
				"env":         {`[{"name":"A","value":"y"}]`, "env is immutable: set what changes in the SandboxExec"},
				"envFrom":     {`[{"secretRef":{"name":"b"}}]`, "envFrom is immutable: set what changes in the SandboxExec"},
				"files":       {`[{"path":"/b","content":"x"}]`, "files are immutable: they are written once"},
				"workingDir":  {`"/other"`, "workingDir is immutable: set it in the SandboxExec"},
			} {
				expectRefused(ctx, sandbox, `"`+field+`":`+change[0], change[1])
				expectRefused(ctx, sandbox, `"`+field+`":null`, change[1])
				if field != "providerRef" {
					expectRefused(ctx, bare, `"`+field+`":`+change[0], change[1])
				}
			}
			for _, change := range []string{`"deletionPolicy":"Retain"`, `"resources":{"cpu":"1000m"}`} {
				Expect(bed.Client.Patch(ctx, sandbox.DeepCopy(), mergePatch(`{"spec":{`+change+`}}`), client.DryRunAll)).To(Succeed())
			}
		})

		It("refuses that of a SandboxExec, field by field", func(ctx context.Context) {
			room := bed.NewRoom(ctx)
			exec := manifest(room.Namespace, "SandboxExec", "run", run)
			room.Create(ctx, exec)
			for field, change := range map[string][2]string{
				"sandboxRef":           {`{"name":"other"}`, "sandboxRef is immutable: create another SandboxExec"},
				"command":              {`["ls","-l"]`, "command is immutable: create another SandboxExec"},
				"workingDir":           {`"/other"`, "workingDir is immutable: create another SandboxExec"},
				"env":                  {`null`, "env is immutable: create another SandboxExec"},
				"envFrom":              {`null`, "envFrom is immutable: create another SandboxExec"},
				"stdin":                {`{"content":"y"}`, "stdin is immutable: create another SandboxExec"},
				"timeoutSeconds":       {`6`, "timeoutSeconds is immutable: set desiredState to Cancelled"},
				"startDeadlineSeconds": {`null`, "startDeadlineSeconds is immutable: set desiredState to Cancelled"},
				"streams":              {`{"stdout":{"headBytes":6}}`, "streams is immutable: create another SandboxExec"},
				"inputs":               {`null`, "inputs are immutable: create another SandboxExec"},
				"outputs":              {`[{"path":"/c"}]`, "outputs are immutable: create another SandboxExec"},
				"retry":                {`{"limit":2}`, "retry is immutable: set desiredState to Cancelled"},
				"sandbox":              {`{}`, "sandbox is immutable: create another SandboxExec"},
				"desiredState":         {`"Finished"`, "desiredState Cancelled can't be taken back: create another SandboxExec"},
			} {
				expectRefused(ctx, exec, `"`+field+`":`+change[0], change[1])
			}
			expectRefused(ctx, exec, `"desiredState":null`, "desiredState Cancelled can't be taken back")
			expectRefused(ctx, exec, `"command":null,"code":{"language":"shell","source":"ls"}`, "command is immutable")
			Expect(bed.Client.Patch(ctx, exec, mergePatch(`{"spec":{"ttlSecondsAfterFinished":6000}}`), client.DryRunAll)).To(Succeed())
		})

		It("refuses another backend of a provider", func(ctx context.Context) {
			room := bed.NewRoom(ctx)
			provider := manifest(room.Namespace, "SandboxProvider", "provider", "backend: local")
			room.Create(ctx, provider)
			expectRefused(ctx, provider, `"backend":"e2b"`, "backend is immutable: create another provider")
			expectRefused(ctx, manifest("", "ClusterSandboxProvider", "local", "{}"), `"backend":"e2b"`,
				"backend is immutable: create another provider")
		})
	})

	It("changes nothing when the same manifests are applied twice", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		room.Create(ctx, builders.MakeProvider(room.Namespace, "own", "local").Obj())
		for _, object := range []*unstructured.Unstructured{
			manifest(room.Namespace, "SandboxProvider", "applied", "backend: local"),
			manifest(room.Namespace, "Sandbox", "box", `{providerRef: {kind: SandboxProvider, name: own}, `+
				`resources: {memory: 256Mi, cpu: "0.5"}, `+
				`env: [{name: B, value: b}, {name: A, value: a}], files: [{path: /workspace/a, content: a, mode: 0600}]}`),
			manifest(room.Namespace, "SandboxExec", "run", "{sandboxRef: {name: box}, command: [cat, a]}"),
		} {
			apply := func() *unstructured.Unstructured {
				GinkgoHelper()
				copied := object.DeepCopy()
				configuration := client.ApplyConfigurationFromUnstructured(copied)
				Expect(bed.Client.Apply(ctx, configuration, client.FieldOwner("somebody"))).To(Succeed())
				return copied
			}
			// The operator's own writes come in between.
			apply()
			settled := object.DeepCopy()
			room.Eventually(ctx, settled, "settled", func() bool {
				generation, _, _ := unstructured.NestedInt64(settled.Object, "status", "observedGeneration")
				state, _, _ := unstructured.NestedSlice(settled.Object, "status", "conditions")
				return generation == 1 && readyIn(state)
			})
			again := apply()
			Expect(again.GetGeneration()).To(BeEquivalentTo(1))
			Expect(again.GetResourceVersion()).To(Equal(settled.GetResourceVersion()))
		}
	})
})

func readyIn(conditions []any) bool {
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == "Ready" && c["status"] == "True" {
			return true
		}
	}
	return false
}
