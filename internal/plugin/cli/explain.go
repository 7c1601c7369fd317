// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// Explain makes a Failure of an error of the API server, the connection to it or the kubeconfig. One that is a Failure stays
// what it is; nil stays nil.
func Explain(err error) error {
	var failure *Failure
	if err == nil || errors.As(err, &failure) {
		return err
	}
	return explained(err)
}

func explained(err error) *Failure {
	for _, explain := range []func(error) *Failure{explainConfig, explainStatus, explainConnection} {
		if failure := explain(err); failure != nil {
			failure.Cause = err
			return failure
		}
	}
	return &Failure{Problem: err.Error(), Cause: err}
}

// explainConfig knows what can be wrong before a server is asked.
func explainConfig(err error) *Failure {
	var file *fs.PathError
	switch {
	case clientcmd.IsEmptyConfig(err):
		return Fail("set KUBECONFIG, or name a file with --kubeconfig", "there is no kubeconfig that names a cluster")
	case clientcmd.IsContextNotFound(err), strings.Contains(err.Error(), "context") && strings.Contains(err.Error(), "does not exist"):
		return Fail("kubectl config get-contexts lists those that do", "%v", err)
	case errors.As(err, &file) && errors.Is(err, fs.ErrNotExist):
		return Fail("set KUBECONFIG, or name another with --kubeconfig", "there is no kubeconfig %s", file.Path)
	case clientcmd.IsConfigurationInvalid(err):
		return Fail("kubectl config view shows the kubeconfig", "%v", err)
	}
	return nil
}

// explainStatus knows the answers of an API server.
func explainStatus(err error) *Failure {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return nil
	}
	details := status.Status().Details
	switch {
	case apierrors.IsUnauthorized(err):
		return Fail("log in again, or choose another with --context; kubectl auth whoami tells who you are",
			"the cluster does not know you: %v", err)
	case isNamespaceMissing(err, details):
		return Fail(fmt.Sprintf("kubectl create namespace %s makes it, -n chooses another", details.Name),
			"namespace %q does not exist", details.Name)
	case apierrors.IsForbidden(err):
		return explainForbidden(err, details)
	case isNotInstalled(err, details):
		return Fail("install it (docs/install.md), or choose another cluster with --context",
			"sandbox-operator is not installed in this cluster: it has no kinds of %s", v1alpha1.GroupVersion.Group)
	case apierrors.IsNotFound(err):
		return explainNotFound(details)
	case apierrors.IsAlreadyExists(err) && details != nil:
		return Fail("choose another name, or delete it", "%s %q exists already", kindOf(details.Kind), details.Name)
	case apierrors.IsInvalid(err):
		return &Failure{Problem: invalid(err, details)}
	}
	return nil
}

// isNotInstalled tells a resource that the API server does not have from an object that is not there: the answer then comes
// from the server's mux, and is no Status.
func isNotInstalled(err error, details *metav1.StatusDetails) bool {
	return apierrors.IsNotFound(err) && (details == nil || details.Name == "" ||
		slices.ContainsFunc(details.Causes, func(c metav1.StatusCause) bool { return c.Type == metav1.CauseTypeUnexpectedServerResponse }))
}

func isNamespaceMissing(err error, details *metav1.StatusDetails) bool {
	return apierrors.IsNotFound(err) && details != nil && details.Kind == "namespaces"
}

// explainForbidden tells a right that is missing from a policy that refused: that says itself what it wants.
func explainForbidden(err error, details *metav1.StatusDetails) *Failure {
	if strings.Contains(err.Error(), "ValidatingAdmissionPolicy") || strings.Contains(err.Error(), "exceeded quota") {
		return &Failure{Problem: err.Error()}
	}
	next := "kubectl auth can-i --list shows what you may"
	if details != nil && details.Group == v1alpha1.GroupVersion.Group {
		next = fmt.Sprintf("ask for the ClusterRole edit in this namespace, or for sandbox-operator-%s-editor-role",
			strings.ToLower(kindOf(details.Kind)))
	}
	return Fail(next, "%s", strings.TrimSpace(err.Error()))
}

func explainNotFound(details *metav1.StatusDetails) *Failure {
	kind := kindOf(details.Kind)
	failure := Fail("", "%s %q does not exist in this namespace", kind, details.Name)
	switch details.Kind {
	case "sandboxes":
		failure.Next = "kubectl sandbox get lists those that do; -n chooses another namespace"
	case "sandboxexecs":
		failure.Next = "kubectl sandbox get execs lists those that do; -n chooses another namespace"
	case "clustersandboxproviders":
		failure.Problem = fmt.Sprintf("%s %q does not exist", kind, details.Name)
		fallthrough
	case "sandboxproviders":
		failure.Next = "kubectl get csbxp,sbxp lists those that do"
	}
	return failure
}

// kindOf is the kind of a resource, as the user knows it.
func kindOf(resource string) string {
	switch resource {
	case "sandboxes":
		return "Sandbox"
	case "sandboxexecs":
		return "SandboxExec"
	case "sandboxproviders":
		return "SandboxProvider"
	case "clustersandboxproviders":
		return "ClusterSandboxProvider"
	case "configmaps":
		return "ConfigMap"
	case "secrets":
		return "Secret"
	}
	return resource
}

// invalid is what the API server has against an object: its causes, and not the whole object.
func invalid(err error, details *metav1.StatusDetails) string {
	if details == nil || len(details.Causes) == 0 {
		return err.Error()
	}
	var causes []string
	for _, cause := range details.Causes {
		text := cause.Message
		if cause.Field != "" && cause.Field != "<nil>" {
			text = cause.Field + ": " + text
		}
		causes = append(causes, text)
	}
	return "the API server refuses it: " + strings.Join(causes, "; ")
}

// explainConnection knows why there is no answer.
func explainConnection(err error) *Failure {
	var address *url.Error
	var network net.Error
	if !errors.As(err, &address) && !errors.As(err, &network) {
		return nil
	}
	server := "the API server"
	if address != nil {
		if parsed, parseErr := url.Parse(address.URL); parseErr == nil {
			server += " at " + parsed.Host
		}
		err = address.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Fail("see whether the cluster is up, or allow more with --request-timeout", "%s does not answer in time", server)
	}
	return Fail("see whether the cluster is up, and kubectl config current-context for which one it is",
		"%s can't be reached: %v", server, err)
}
