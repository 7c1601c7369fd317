// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// validity of every certificate: longer than a node for tests is kept.
const validity = 7 * 24 * time.Hour

// authority signs the cluster's certificates.
type authority struct {
	dir         string
	key         crypto.Signer
	certificate *x509.Certificate
	pem         []byte
	serial      int64
}

// newAuthority makes an authority, and writes its certificate to ca.crt in the folder.
func newAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "node-ca"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(validity),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	a := &authority{dir: dir, key: key, pem: encode("CERTIFICATE", der), serial: 1}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return a, os.WriteFile(a.path("ca.crt"), a.pem, 0o600)
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// issue signs a certificate for a user and groups, or for a server at those hosts.
func (a *authority) issue(user string, groups []string, hosts ...string) (certificate, key []byte, err error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: user, Organization: groups},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(validity),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, signer.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("signing the certificate of %s: %w", user, err)
	}
	// This form is also read as a public key, which kube-apiserver wants for service accounts.
	private, err := x509.MarshalECPrivateKey(signer)
	return encode("CERTIFICATE", der), encode("EC PRIVATE KEY", private), err
}

// write issues a certificate into NAME.crt and NAME.key.
func (a *authority) write(name, user string, groups []string, hosts ...string) error {
	certificate, key, err := a.issue(user, groups, hosts...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(a.path(name+".crt"), certificate, 0o600); err != nil {
		return err
	}
	return os.WriteFile(a.path(name+".key"), key, 0o600)
}

// kubeconfig is one for a user and groups, at a server's URL.
func (a *authority) kubeconfig(server, user string, groups ...string) ([]byte, error) {
	certificate, key, err := a.issue(user, groups)
	if err != nil {
		return nil, err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["node"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: a.pem}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts["node"] = &clientcmdapi.Context{Cluster: "node", AuthInfo: user}
	config.CurrentContext = "node"
	return clientcmd.Write(*config)
}

// writeKubeconfig writes one for a program inside the node to NAME.kubeconfig, and returns that path.
func (a *authority) writeKubeconfig(name, user string, groups ...string) error {
	content, err := a.kubeconfig("https://127.0.0.1:6443", user, groups...)
	if err != nil {
		return err
	}
	return os.WriteFile(a.path(name+".kubeconfig"), content, 0o600)
}

// writeAll makes what the cluster's programs need of it.
func (a *authority) writeAll(workers []worker) error {
	if err := a.write("kube-apiserver", "kube-apiserver", nil, "127.0.0.1", serverIP, serviceIP, "kubernetes",
		"kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"); err != nil {
		return err
	}
	if err := a.write("kubelet-client", "kube-apiserver-kubelet-client", []string{"system:masters"}); err != nil {
		return err
	}
	if err := a.write("service-accounts", "service-accounts", nil); err != nil {
		return err
	}
	for _, name := range []string{"kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		if err := a.writeKubeconfig(name, "system:"+name); err != nil {
			return err
		}
	}
	for _, w := range workers {
		if err := a.writeKubeconfig(w.name, "system:node:"+w.name, "system:nodes"); err != nil {
			return err
		}
		if err := a.write(w.name, "system:node:"+w.name, []string{"system:nodes"}, w.name, w.ip); err != nil {
			return err
		}
	}
	return nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
