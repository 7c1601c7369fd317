// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// connect returns how the API server is reached. Timeouts are the callers', and so are rates.
func connect(config backends.Config) (*rest.Config, error) {
	raw := config.Credentials[keyKubeconfig]
	if len(raw) == 0 {
		if config.Cluster == nil {
			return nil, errors.New("the operator's own cluster can't be reached: name another in the Secret's key " + keyKubeconfig)
		}
		return tuned(rest.CopyConfig(config.Cluster)), nil
	}
	connection, err := readKubeconfig(raw)
	if err != nil {
		return nil, fmt.Errorf("the Secret's key %s: %w", keyKubeconfig, err)
	}
	server, err := url.Parse(connection.Host)
	if err != nil || server.Hostname() == "" {
		return nil, fmt.Errorf("the Secret's key %s: the cluster's server is no URL", keyKubeconfig)
	}
	if !config.Reach.HasName(server.Hostname(), nil) {
		return nil, fmt.Errorf("the Secret's key %s: host %q is none that a SandboxProvider may name; use a ClusterSandboxProvider, or let "+
			"the administrator allow it with --provider-hosts", keyKubeconfig, backends.Bounded(server.Hostname(), 128))
	}
	connection.Dial = checkedDialer(config.Reach, server.Hostname()).DialContext
	// A proxy of the operator's environment would resolve names where nobody checks them.
	connection.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } //nolint:nilnil // = no proxy
	return tuned(connection), nil
}

// tuned leaves rates and retries to the operator, and speaks protobuf, which is less to read.
func tuned(connection *rest.Config) *rest.Config {
	connection.QPS, connection.Timeout = -1, 0
	connection.UserAgent = "sandbox-operator"
	connection.ContentType, connection.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	connection.WarningHandler = rest.NoWarnings{}
	connection.Wrap(func(next http.RoundTripper) http.RoundTripper { return patient{next} })
	return connection
}

var errForbiddenAddress = errors.New("the operator may not connect to this address: it is not public; the administrator can allow it " +
	"with --provider-hosts")

// checkedDialer dials what the configuration may reach, after names are resolved.
func checkedDialer(reach backends.Reach, host string) *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		resolved, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !reach.HasAddress(host, resolved.Addr(), []string{host}) {
			return errForbiddenAddress
		}
		return nil
	}}
}

// readKubeconfig takes a kubeconfig that has all in it. One that runs programs or reads files would do so as the operator.
func readKubeconfig(raw []byte) (*rest.Config, error) {
	parsed, err := clientcmd.Load(raw)
	if err != nil {
		return nil, errors.New("it is no kubeconfig")
	}
	context := parsed.Contexts[parsed.CurrentContext]
	if context == nil {
		return nil, errors.New("it has no current-context")
	}
	cluster, user := parsed.Clusters[context.Cluster], parsed.AuthInfos[context.AuthInfo]
	if cluster == nil || user == nil {
		return nil, errors.New("its current-context names a cluster or user that is not there")
	}
	if err := checkKubeconfig(cluster, user); err != nil {
		return nil, err
	}
	connection, err := clientcmd.NewNonInteractiveClientConfig(*parsed, parsed.CurrentContext, nil, nil).ClientConfig()
	if err != nil {
		return nil, errors.New("it can't be used: a certificate, key or server in it is wrong")
	}
	return connection, nil
}

const flatten = "; kubectl config view --minify --flatten --raw writes one with everything in it"

func checkKubeconfig(cluster *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) error {
	for _, one := range []struct {
		found bool
		words string
	}{
		{user.Exec != nil, "the user's exec plugin would run in the operator: use a token, such as that of a service account"},
		{user.AuthProvider != nil, "the user's auth-provider would run in the operator: use a token, such as that of a service account"},
		{user.TokenFile != "", "the user's tokenFile names a file of the operator's: put the token itself in" + flatten},
		{user.ClientCertificate != "", "the user's client-certificate names a file of the operator's" + flatten},
		{user.ClientKey != "", "the user's client-key names a file of the operator's" + flatten},
		{cluster.CertificateAuthority != "", "the cluster's certificate-authority names a file of the operator's" + flatten},
		{cluster.InsecureSkipTLSVerify, "insecure-skip-tls-verify would give the credentials to anybody: put in certificate-authority-data"},
		{cluster.ProxyURL != "", "proxy-url is not supported"},
	} {
		if one.found {
			return errors.New(one.words)
		}
	}
	return nil
}
