// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// ExecCode is source text and what runs it. Exactly one of source and sourceFrom is set, and at least one of language and
// interpreter.
//
// +kubebuilder:validation:XValidation:rule="has(self.source) != has(self.sourceFrom)",message="set exactly one of source and sourceFrom"
// +kubebuilder:validation:XValidation:rule="has(self.language) || has(self.interpreter)",message="set language (python, javascript, typescript, shell, ruby, perl, go), or interpreter for any other, such as [\"lua\"]"
// +kubebuilder:validation:XValidation:rule="!has(self.engine) || self.engine != 'Native' || (has(self.language) && !has(self.interpreter) && !has(self.arguments))",message="engine Native runs the code with the provider's own interpreter: set language, and neither interpreter nor arguments"
// +kubebuilder:validation:XValidation:rule="!has(self.results) || (has(self.engine) && self.engine == 'Native')",message="only engine Native has results: write files, and name them in outputs"
type ExecCode struct {
	// language of the source: python (run by python3, else python), javascript (node, else nodejs), typescript (tsx, bun,
	// deno, ts-node, or node from version 22.6 on), shell (sh), ruby, perl, or go (one file of package main, built by go and
	// then run). The sandbox must have one of these programs.
	// +optional
	Language CodeLanguage `json:"language,omitempty"`

	// interpreter is the program that runs the source, with its arguments, instead of the language's own; the path of the
	// file that holds the source is appended. With a language the file has that language's extension.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self[0] != ''",message="the first element is the program and may not be empty"
	Interpreter []string `json:"interpreter,omitempty"`

	// source is the text.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	Source string `json:"source,omitempty"`

	// sourceFrom takes the text from a Secret or ConfigMap.
	// +optional
	SourceFrom *ValueSource `json:"sourceFrom,omitempty"`

	// arguments of the code, after the path of its file.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=32768
	Arguments []string `json:"arguments,omitempty"`

	// engine Interpreter, which holds where nothing is said, runs the code with a program of the sandbox: it survives a
	// restart of the operator. Native hands it to the provider's own interpreter, where the backend has one: it can return
	// rich results, runs once at most, and its outcome is Unknown when the operator restarts meanwhile.
	// +optional
	Engine CodeEngine `json:"engine,omitempty"`

	// results says where the rich results of engine Native go. Without it, text and JSON go into status, and of others only
	// size and digest are kept.
	// +optional
	Results *OutputDestination `json:"results,omitempty"`
}

// CodeLanguage is a language of code.
// +kubebuilder:validation:Enum=python;javascript;typescript;shell;ruby;perl;go
type CodeLanguage string

// The languages of code.
const (
	LanguagePython     CodeLanguage = "python"
	LanguageJavaScript CodeLanguage = "javascript"
	LanguageTypeScript CodeLanguage = "typescript"
	LanguageShell      CodeLanguage = "shell"
	LanguageRuby       CodeLanguage = "ruby"
	LanguagePerl       CodeLanguage = "perl"
	LanguageGo         CodeLanguage = "go"
)

// CodeEngine is who runs code.
// +kubebuilder:validation:Enum=Interpreter;Native
type CodeEngine string

// The engines.
const (
	// EngineInterpreter is a program of the sandbox. It holds where nothing is said.
	EngineInterpreter CodeEngine = "Interpreter"
	// EngineNative is the provider's own interpreter.
	EngineNative CodeEngine = "Native"
)
