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
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// streams are the three of a process.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// stream runs a program in the pod, and returns when it has ended and everybody has let go of its streams, or when ctx ends. Its exit code
// is in an error, unless it is 0.
func (b *backend) stream(ctx context.Context, pod string, argv []string, s streams) error {
	target := b.exec.Post().Resource("pods").Namespace(b.options.Namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: containerName, Command: argv, Stdin: true, Stdout: true, Stderr: true},
			scheme.ParameterCodec).URL()
	config, err := b.pinned(ctx)
	if err != nil {
		return err
	}
	if config != b.config {
		pinned, err := url.Parse(config.Host)
		if err != nil {
			return err
		}
		target.Host = pinned.Host
	}
	executor, err := newExecutor(config, target)
	if err != nil {
		return err
	}
	// What client-go would log of a connection that ends is in the error, or of no matter.
	return executor.StreamWithContext(klog.NewContext(ctx, logr.Discard()), remotecommand.StreamOptions{Stdin: s.in, Stdout: s.out, Stderr: s.err})
}

// newExecutor speaks WebSocket, and SPDY to servers and through proxies that don't. One serves for one call.
func newExecutor(config *rest.Config, target *url.URL) (remotecommand.Executor, error) {
	socket, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, target.String())
	if err != nil {
		return nil, err
	}
	spdy, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, target)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}

// pinned returns the configuration with the address that its host has now, after a check: the clients of streams have no dialer that could
// check it. The operator's own cluster needs none.
func (b *backend) pinned(ctx context.Context) (*rest.Config, error) {
	if b.reach == nil {
		return b.config, nil
	}
	server, err := url.Parse(b.config.Host)
	if err != nil {
		return nil, err
	}
	address, err := b.lookUp(ctx, server.Hostname())
	if err != nil {
		return nil, err
	}
	pinned := rest.CopyConfig(b.config)
	if pinned.ServerName == "" {
		pinned.ServerName = server.Hostname()
	}
	host := server.Host
	port := server.Port()
	if port == "" {
		port = "443"
	}
	server.Host = net.JoinHostPort(address, port)
	pinned.Host = server.String()
	pinned.Wrap(func(next http.RoundTripper) http.RoundTripper { return named{next, host} })
	return pinned, nil
}

// lookUp returns an address of the host that may be dialled.
func (b *backend) lookUp(ctx context.Context, host string) (string, error) {
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", &net.OpError{Op: "dial", Err: err}
	}
	for _, address := range addresses {
		if b.reach.HasAddress(host, address, []string{host}) {
			return address.Unmap().String(), nil
		}
	}
	return "", errForbiddenAddress
}

// named keeps the server's name on requests that are sent to its address.
type named struct {
	next http.RoundTripper
	host string
}

// WrappedRoundTripper lets client-go find the transport below.
func (n named) WrappedRoundTripper() http.RoundTripper { return n.next }

// RoundTrip implements http.RoundTripper. WebSocket clients take the name from the header, others from the request.
func (n named) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Host = n.host
	request.Header.Set("Host", n.host)
	return n.next.RoundTrip(request)
}

// neverBegan says that an exec failed before its program was started, as the API server, the kubelet or the runtime says. They have no
// types for it.
func neverBegan(err error) bool {
	if httpstream.IsUpgradeFailure(err) || apierrors.ReasonForError(err) != "" {
		return true
	}
	if _, exited := errors.AsType[interface {
		error
		ExitStatus() int
	}](err); exited {
		return false
	}
	text := err.Error()
	for _, sign := range []string{
		"OCI runtime exec failed", "failed to exec in container", "failed to create exec", "container not found", "container is not running",
		"is not in running state", "unable to upgrade connection", "executable file not found", "no such file or directory", "error dialing backend",
	} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// execTrouble says what an exec's error means in a pod that runs.
func (b *backend) execTrouble(err error) error {
	var dial *net.OpError
	switch {
	case err == nil:
		return ambiguous("the shell that watches the command ended without a word")
	case errors.Is(err, errForbiddenAddress), errors.As(err, &dial) && dial.Op == "dial":
		return unanswered(operationRun, err, true)
	case strings.Contains(err.Error(), "cannot ") && strings.Contains(err.Error(), "pods/exec"):
		return backends.Errorf(backends.Unauthorized, Name, operationRun, "%s", b.rightsMissing("pods/exec"))
	case apierrors.ReasonForError(err) != "":
		return b.trouble(operationRun, "pods/exec", err, false)
	case neverBegan(err):
		return aboutOne(backends.Errorf(backends.Unavailable, Name, operationRun, "the command could not be started: %s", plain(bareExec(err))))
	}
	return ambiguous("%s", sentence("the connection to the sandbox was lost", bareExec(err)))
}

func bareExec(err error) string {
	return strings.TrimPrefix(fmt.Sprint(err), "Internal error occurred: ")
}
