// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package advice

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// constants are the values of the constants of a file whose names begin so.
func constants(t *testing.T, file, prefix string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "../../../api/v1alpha1/"+file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	return values
}

func TestEveryReasonAndOutcomeHasANextStep(t *testing.T) {
	reasons := constants(t, "conditions.go", "Reason")
	outcomes := constants(t, "sandboxexec_types.go", "Outcome")
	if len(reasons) < 60 || len(outcomes) != 7 {
		t.Fatalf("only %d reasons and %d outcomes are found", len(reasons), len(outcomes))
	}
	known := map[string]bool{}
	for _, reason := range append(reasons, outcomes...) {
		known[reason] = true
		next := Next(reason, About{Resource: "sbx", Namespace: "ns", Name: "box", Provider: "csbxp local"})
		if next == "" {
			t.Errorf("what to do about %s? Say it in reasons.go", reason)
		}
		if strings.ContainsAny(next, "{}") {
			t.Errorf("%s: something is not filled in: %s", reason, next)
		}
	}
	for reason := range steps {
		if !known[reason] {
			t.Errorf("no reason of the API is called %s any more", reason)
		}
	}
}

func TestALineCanBeTypedAsItIs(t *testing.T) {
	g := NewWithT(t)
	about := About{Resource: "sbx", Namespace: "team", Name: "box", Provider: "sbxp mine -n team"}
	g.Expect(Next(v1alpha1.ReasonExpired, about)).To(HavePrefix("kubectl delete sbx box -n team, and"))
	g.Expect(Next(v1alpha1.ReasonAdoptionForbidden, about)).To(ContainSubstring("kubectl edit sbxp mine -n team,"))
	g.Expect(Next(v1alpha1.ReasonNoDefaultProvider, About{Resource: "csbxp", Name: "x"})).
		To(Equal("make one the default: kubectl annotate csbxp NAME sandboxes.run/is-default-provider=true"))
	g.Expect(Next("Nonsense", about)).To(BeEmpty())
}
