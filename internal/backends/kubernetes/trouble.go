// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func invalid(operation, format string, args ...any) *backends.Error {
	return backends.Errorf(backends.Invalid, Name, operation, format, args...)
}

func notFound(operation string) *backends.Error {
	return backends.Errorf(backends.NotFound, Name, operation, "the sandbox's pod does not exist")
}

func notRunning(operation, why string) *backends.Error {
	return aboutOne(backends.Errorf(backends.NotRunning, Name, operation, "the sandbox does not run: %s", why))
}

// aboutOne says that a failure concerns one sandbox, and not the account.
func aboutOne(e *backends.Error) *backends.Error {
	e.OfRequest = true
	return e
}

// patient leaves it to the operator when to try again: client-go would sleep and repeat what an overloaded server sent away.
type patient struct{ next http.RoundTripper }

// WrappedRoundTripper lets client-go find the transport below.
func (p patient) WrappedRoundTripper() http.RoundTripper { return p.next }

// overloadError is an answer that asks for fewer calls.
type overloadError struct{ after time.Duration }

func (*overloadError) Error() string { return "the API server has too many requests" }

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := p.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	after := response.Header.Get("Retry-After")
	if after == "" {
		return response, nil
	}
	if response.StatusCode == http.StatusTooManyRequests {
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<16))
		_ = response.Body.Close()
		seconds, _ := strconv.Atoi(after)
		return nil, &overloadError{time.Duration(seconds) * time.Second}
	}
	response.Header.Del("Retry-After")
	return response, nil
}

// trouble says what an error of the API server means; what is the kind of object that was asked for. effect says that the call may have
// changed something.
func (b *backend) trouble(operation, what string, err error, effect bool) error {
	fail := func(code backends.Code, format string, args ...any) *backends.Error {
		return backends.Errorf(code, Name, operation, format, args...)
	}
	var overload *overloadError
	if errors.As(err, &overload) {
		limited := fail(backends.RateLimited, "%s", overload.Error())
		limited.RetryAfter = overload.after
		return limited
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return unanswered(operation, err, effect)
	}
	said := bare(status.Status().Message)
	switch {
	case apierrors.IsNotFound(err):
		return b.absent(operation, said)
	case apierrors.IsConflict(err) && operation != operationCreate:
		// The UID is a condition of each change: another pod has the name.
		return notFound(operation)
	case apierrors.IsAlreadyExists(err):
		return fail(backends.AlreadyExists, "a pod of this name exists")
	case apierrors.IsUnauthorized(err):
		return fail(backends.Unauthorized, "the cluster refused the credentials: put new ones into the Secret's key %s", keyKubeconfig)
	case apierrors.IsForbidden(err):
		return b.forbidden(operation, what, err, said)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return aboutOne(fail(backends.Invalid, "%s", said))
	case apierrors.IsTooManyRequests(err):
		return fail(backends.RateLimited, "the API server has too many requests")
	}
	return unclear(operation, status.Status(), said, effect)
}

// unanswered is a call without an answer.
func unanswered(operation string, err error, effect bool) error {
	var dial *net.OpError
	switch {
	case errors.Is(err, errForbiddenAddress):
		return invalid(operation, "%s", errForbiddenAddress.Error())
	case errors.As(err, &dial) && dial.Op == "dial":
		return backends.Errorf(backends.Unavailable, Name, operation, "the cluster's API server can't be reached: %s", plain(withoutURL(err).Error()))
	case !effect:
		return backends.Errorf(backends.Unavailable, Name, operation, "the cluster's API server did not answer: %s", plain(withoutURL(err).Error()))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return backends.Errorf(backends.Ambiguous, Name, operation, "the cluster's API server did not answer in time")
	}
	return backends.Errorf(backends.Ambiguous, Name, operation, "the cluster's API server did not answer: %s", plain(withoutURL(err).Error()))
}

func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// ofWhom begins what the API server says of an object.
var ofWhom = regexp.MustCompile(`^(pods|Pod|Pod\.core|networkpolicies\.networking\.k8s\.io)( "[^"]*")? is (forbidden|invalid): `)

// bare is what the API server says, without whom it says it of.
func bare(message string) string { return plain(ofWhom.ReplaceAllString(message, "")) }

// absent tells the pod that is not there from its namespace.
func (b *backend) absent(operation, said string) error {
	if operation == operationCreate || operation == operationList || operation == operationWatch {
		return backends.Errorf(backends.Unavailable, Name, operation, "%s: create the namespace %q, or change the provider's parameter namespace",
			said, b.options.Namespace)
	}
	return notFound(operation)
}

// forbidden tells a lack of rights from what admission refuses.
func (b *backend) forbidden(operation, what string, err error, said string) error {
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return aboutOne(backends.Errorf(backends.Unavailable, Name, operation, "the namespace %q is being deleted", b.options.Namespace))
	case strings.Contains(said, "exceeded quota"), strings.Contains(said, "failed quota"):
		return aboutOne(backends.Errorf(backends.QuotaExceeded, Name, operation, "the quota of namespace %q does not allow it: %s",
			b.options.Namespace, quota(said)))
	case strings.Contains(said, "cannot ") && strings.Contains(said, " resource "):
		return backends.Errorf(backends.Unauthorized, Name, operation, "%s", b.rightsMissing(what))
	case strings.Contains(said, "error looking up service account"):
		return aboutOne(backends.Errorf(backends.Unavailable, Name, operation, "%s", said))
	}
	return aboutOne(invalid(operation, "the cluster does not allow this pod: %s", said))
}

func (b *backend) rightsMissing(what string) string {
	return fmt.Sprintf("the operator may not use %s in namespace %q: kubectl create rolebinding sandbox-pods -n %s "+
		"--clusterrole=sandbox-operator-sandbox-pods --serviceaccount=sandbox-operator-system:sandbox-operator-controller-manager "+
		"(with a kubeconfig: give its user the same rights there)", what, b.options.Namespace, b.options.Namespace)
}

var used = regexp.MustCompile(`, used: [^,]*(,[^,:]*=[^,:]*)*, limited: `)

// quota is what a quota says, without how much of it is used at the moment.
func quota(said string) string { return used.ReplaceAllString(said, ", limited: ") }

// unclear is an answer that says nothing certain. What a webhook kept from happening has not happened.
func unclear(operation string, status metav1.Status, said string, effect bool) error {
	code := backends.Unavailable
	if effect && !strings.Contains(said, "failed calling webhook") {
		code = backends.Ambiguous
	}
	e := backends.Errorf(code, Name, operation, "the cluster's API server answered %d: %s", status.Code, said)
	if strings.Contains(said, "webhook") {
		return aboutOne(e)
	}
	return e
}
