// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command roles gives each rule of the manager's role its reason: it stands in the Go source, as the comment above the
// kubebuilder marker that asks for the right, and comes as a comment into the manifest. A marker without a reason is an error. The
// same rules are written for the install that is confined to some namespaces, and for the Helm chart.
//
// `make manifests` runs it, after controller-gen has written config/rbac/role.yaml.
//
// usage: roles [ROOT]
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := run(root); err != nil {
		fmt.Fprintln(os.Stderr, "roles:", err)
		os.Exit(1)
	}
}

// right is what one marker asks for, and why.
type right struct {
	groups, resources, verbs []string
	// own says that it is one of the operator's own namespace only.
	own    bool
	reason string
}

// role is a role of any kind, and what stands above it.
type role struct {
	comment, kind, name, namespace string
	rules                          []rbacv1.PolicyRule
	// own says that it holds in the operator's own namespace only.
	own bool
}

func run(root string) error {
	rights, err := findRights(filepath.Join(root, "internal"))
	if err != nil {
		return err
	}
	generated := filepath.Join(root, "config", "rbac", "role.yaml")
	cluster, own, err := readRoles(generated)
	if err != nil {
		return err
	}
	rights = append(rights, installationID)
	confined := role{
		comment: "What the manager may do in each namespace that it works in.",
		kind:    "Role", name: "workspace-role", rules: namespaced(cluster.rules),
	}
	for file, roles := range map[string][]role{
		generated: {cluster, own},
		filepath.Join(root, "config", "namespaced", "workspace", "role.yaml"): {confined},
		filepath.Join(root, "config", "namespaced", "own_role.yaml"):          {withInstallationID(own)},
	} {
		if err := write(file, rights, roles...); err != nil {
			return err
		}
	}
	chart := filepath.Join(root, "charts", "sandbox-operator", "files", "rules")
	for name, r := range map[string]role{
		"cluster": cluster, "own": own, "workspace": confined, "own-namespaced": withInstallationID(own),
	} {
		if err := save(filepath.Join(chart, name+".yaml"), header+rulesText(rights, r)); err != nil {
			return err
		}
	}
	for name, source := range handWritten {
		if err := copyRules(filepath.Join(root, "config", source), filepath.Join(chart, name+".yaml")); err != nil {
			return err
		}
	}
	return copyForChart(root)
}

// handWritten are the roles whose rules the chart takes from config as they are.
var handWritten = map[string]string{
	"leader-election": "rbac/own/leader_election_role.yaml",
	"metrics-auth":    "rbac/metrics_auth_role.yaml",
	"metrics-reader":  "rbac/metrics_reader_role.yaml",
	"sandbox-pods":    "rbac/users/sandbox_pods_role.yaml",
}

func copyRules(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	_, rules, found := strings.Cut(string(content), "\nrules:\n")
	if !found {
		return fmt.Errorf("%s has no rules", from)
	}
	return save(to, rules)
}

var marker = regexp.MustCompile(`^//\s*\+kubebuilder:rbac:(.*)$`)

// findRights reads the markers below a folder.
func findRights(dir string) ([]right, error) {
	var rights []right
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, group := range file.Comments {
			found, err := rightsOf(group)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			rights = append(rights, found...)
		}
		return nil
	})
	if err == nil && len(rights) == 0 {
		err = errors.New("no marker is found")
	}
	return rights, err
}

// rightsOf reads the markers of one comment: a reason holds for those that follow it, until the next one.
func rightsOf(group *ast.CommentGroup) ([]right, error) {
	var rights []right
	var reason []string
	after := false
	for _, line := range group.List {
		match := marker.FindStringSubmatch(line.Text)
		if match == nil {
			if after {
				reason, after = nil, false
			}
			reason = append(reason, strings.TrimSpace(strings.TrimPrefix(line.Text, "//")))
			continue
		}
		after = true
		found := right{reason: strings.TrimSuffix(strings.TrimSpace(strings.Join(reason, " ")), ".")}
		if found.reason == "" {
			return nil, fmt.Errorf("no reason stands above %s", line.Text)
		}
		for field := range strings.SplitSeq(match[1], ",") {
			key, value, _ := strings.Cut(field, "=")
			values := strings.Split(strings.Trim(value, `"`), ";")
			switch key {
			case "groups":
				found.groups = values
			case "resources":
				found.resources = values
			case "verbs":
				found.verbs = values
			case "namespace":
				found.own = true
			}
		}
		rights = append(rights, found)
	}
	return rights, nil
}

// gives says whether a marker asks for a part of the rule.
func (r right) gives(of role, rule rbacv1.PolicyRule) bool {
	return r.own == of.own && intersect(r.groups, rule.APIGroups) && intersect(r.resources, rule.Resources) && intersect(r.verbs, rule.Verbs)
}

func intersect(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// readRoles reads the two roles that controller-gen makes: of the cluster, and of the operator's own namespace.
func readRoles(file string) (cluster, own role, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return cluster, own, err
	}
	var found []role
	for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
		var r rbacv1.ClusterRole
		if err := yaml.UnmarshalStrict(document, &r); err != nil {
			return cluster, own, fmt.Errorf("%s: %w", file, err)
		}
		found = append(found, role{kind: r.Kind, name: r.Name, namespace: r.Namespace, rules: r.Rules})
	}
	if len(found) != 2 || found[0].kind != "ClusterRole" || found[1].kind != "Role" {
		return cluster, own, fmt.Errorf("%s: not a ClusterRole and a Role", file)
	}
	found[0].comment = "What the manager may do in every namespace, and with what is in none."
	found[1].own = true
	found[1].comment = "What the manager may do in its own namespace, beside that."
	return found[0], found[1], nil
}

// ofCluster are resources that are in no namespace.
var ofCluster = []string{"namespaces", "clustersandboxproviders", "clustersandboxproviders/status", "clustersandboxproviders/finalizers"}

// namespaced are the rules without what is in no namespace.
func namespaced(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var left []rbacv1.PolicyRule
	for _, rule := range rules {
		rule.Resources = slices.DeleteFunc(slices.Clone(rule.Resources), func(name string) bool { return slices.Contains(ofCluster, name) })
		if len(rule.Resources) > 0 {
			left = append(left, rule)
		}
	}
	return left
}

// installationID is what no marker can say: in the Role of controller-gen it would give nothing.
var installationID = right{
	groups: []string{""}, resources: []string{"namespaces"}, verbs: []string{"get"}, own: true,
	reason: "The UID of the operator's own namespace is the installation ID",
}

// withInstallationID adds what an operator needs whose own namespace stands for the cluster.
func withInstallationID(own role) role {
	own.rules = append(slices.Clone(own.rules), rbacv1.PolicyRule{
		APIGroups: installationID.groups, Resources: installationID.resources, Verbs: installationID.verbs,
	})
	return own
}

const header = "# Generated by make manifests from the kubebuilder markers in internal: change them there.\n"

func write(file string, rights []right, roles ...role) error {
	var b strings.Builder
	b.WriteString(header)
	for _, r := range roles {
		fmt.Fprintf(&b, "---\n# %s\napiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", r.comment, rbacv1.SchemeGroupVersion, r.kind, r.name)
		if r.namespace != "" {
			fmt.Fprintf(&b, "  namespace: %s\n", r.namespace)
		}
		b.WriteString("rules:\n")
		b.WriteString(rulesText(rights, r))
	}
	return save(file, b.String())
}

// rulesText is the rules as YAML, each below its reasons.
func rulesText(rights []right, of role) string {
	var b strings.Builder
	for _, rule := range of.rules {
		var said []string
		for _, r := range rights {
			if r.gives(of, rule) && !slices.Contains(said, r.reason) {
				said = append(said, r.reason)
				fmt.Fprintf(&b, "# %s.\n", r.reason)
			}
		}
		b.WriteString("- apiGroups:\n" + list(rule.APIGroups) + "  resources:\n" + list(rule.Resources) + "  verbs:\n" + list(rule.Verbs))
	}
	return b.String()
}

func list(values []string) string {
	var b strings.Builder
	for _, value := range values {
		if value == "" {
			value = `""`
		}
		b.WriteString("  - " + value + "\n")
	}
	return b.String()
}

// copyForChart gives the chart its CRDs, the roles for people, the admission policy, alerts and the dashboard, which Helm takes from
// below the chart only.
func copyForChart(root string) error {
	files := filepath.Join(root, "charts", "sandbox-operator", "files")
	for from, to := range map[string]string{
		filepath.Join(root, "config", "crd", "bases"):  filepath.Join(files, "crds"),
		filepath.Join(root, "config", "rbac", "users"): filepath.Join(files, "users"),
		filepath.Join(root, "config", "admission"):     filepath.Join(files, "admission"),
	} {
		if err := os.RemoveAll(to); err != nil {
			return err
		}
		sources, err := filepath.Glob(filepath.Join(from, "*.yaml"))
		if err != nil {
			return err
		}
		for _, source := range sources {
			content, err := os.ReadFile(source)
			if err != nil {
				return err
			}
			if filepath.Base(source) == "kustomization.yaml" {
				continue
			}
			if err := save(filepath.Join(to, filepath.Base(source)), string(content)); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{"prometheus_rule.yaml", "dashboard.json"} {
		content, err := os.ReadFile(filepath.Join(root, "config", "prometheus", name))
		if err != nil {
			return err
		}
		if err := save(filepath.Join(files, "prometheus", name), string(content)); err != nil {
			return err
		}
	}
	return nil
}

func save(file, content string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(content), 0o644)
}
