// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command modelschema prints the OpenAPI schema of the kinds in api/v1alpha1, from which applyconfiguration-gen learns which lists
// are maps and which are atomic. hack/generate-client runs it; the folder openapi is generated.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/sandbox-operator/sandbox-operator/hack/modelschema/openapi"
)

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "modelschema:", err)
		os.Exit(1)
	}
}

// write writes a Swagger 2.0 document that has nothing but definitions.
func write(to io.Writer) error {
	definitions := spec.Definitions{}
	for name, definition := range openapi.GetOpenAPIDefinitions(reference) {
		definitions[util.ToRESTFriendlyName(name)] = secondVersion(definition)
	}
	return json.NewEncoder(to).Encode(spec.Swagger{SwaggerProps: spec.SwaggerProps{
		Swagger: "2.0", Info: &spec.Info{InfoProps: spec.InfoProps{Title: "sandboxes.run", Version: "v1alpha1"}},
		Definitions: definitions,
	}})
}

func reference(name string) spec.Ref {
	return spec.MustCreateRef("#/definitions/" + util.ToRESTFriendlyName(name))
}

// secondVersion is the definition as OpenAPI v2 has it: types such as IntOrString and Quantity bring one of their own.
func secondVersion(definition common.OpenAPIDefinition) spec.Schema {
	if schema, ok := definition.Schema.Extensions[common.ExtensionV2Schema].(spec.Schema); ok {
		return schema
	}
	return definition.Schema
}
