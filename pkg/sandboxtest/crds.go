// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxtest

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/config/crd"
)

// CRDs returns the CustomResourceDefinitions of this version of the API, for the field CRDs of an envtest.Environment. Start installs
// those that are missing, so a suite needs them only where its manager starts before the operator does.
func CRDs() []*apiextensionsv1.CustomResourceDefinition {
	files, err := fs.Glob(crd.Bases, "bases/*.yaml")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	var all []*apiextensionsv1.CustomResourceDefinition
	for _, file := range files {
		text, err := crd.Bases.ReadFile(file)
		if err != nil {
			panic(err) // what is embedded is there
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, definition); err != nil {
			panic(fmt.Sprintf("%s: %v", file, err)) // `make manifests` wrote it
		}
		all = append(all, definition)
	}
	return all
}

// established is how long the API server may take to serve a new kind.
const established = 30 * time.Second

// installCRDs makes the definitions that are missing, and waits until all are served. Those that are there stay as they are.
func installCRDs(ctx context.Context, config *rest.Config) error {
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	definitions := CRDs()
	for _, definition := range definitions {
		if err := c.Create(ctx, definition); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("installing the CustomResourceDefinition %s: %w", definition.Name, err)
		}
	}
	for _, definition := range definitions {
		err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, established, true, func(ctx context.Context) (bool, error) {
			err := c.Get(ctx, client.ObjectKeyFromObject(definition), definition)
			return isEstablished(definition), err
		})
		if err != nil {
			return fmt.Errorf("waiting for the CustomResourceDefinition %s: %w", definition.Name, err)
		}
	}
	return nil
}

func isEstablished(definition *apiextensionsv1.CustomResourceDefinition) bool {
	for _, condition := range definition.Status.Conditions {
		if condition.Type == apiextensionsv1.Established {
			return condition.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}
