// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package toolbox

import (
	"net/http"
	"os/exec"
)

// runCode runs source text by the sandbox's own interpreter. It keeps nothing from one run to the next.
func (t *toolbox) runCode(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Code     string            `json:"code"`
		Language string            `json:"language"`
		Argv     []string          `json:"argv"`
		Envs     map[string]string `json:"envs"`
		Timeout  int               `json:"timeout"`
	}
	if !decode(w, r, &request) {
		return
	}
	var argv []string
	switch request.Language {
	case "python":
		argv = []string{"python3", "-u", "-c", request.Code}
	case "javascript":
		argv = []string{"node", "-e", request.Code}
	case "typescript":
		argv = []string{"npx", "ts-node", "-O", `{"module":"CommonJS"}`, "-e", request.Code}
	default:
		badRequest(w, r, "unsupported language: "+request.Language)
		return
	}
	if request.Code == "" {
		badRequest(w, r, "empty code")
		return
	}
	argv = append(argv, request.Argv...)
	command := exec.Command(argv[0], argv[1:]...) //nolint:noctx // it outlives its caller
	t.finish(w, r, command, executeRequest{Envs: request.Envs, Timeout: request.Timeout})
}
