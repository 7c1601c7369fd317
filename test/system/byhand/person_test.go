// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package byhand_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// person types commands, in a namespace, with a kubeconfig of his own.
type person struct{ kubeconfig, namespace string }

// newPerson is who this configuration is for.
func newPerson(of *rest.Config) person {
	GinkgoHelper()
	config := api.NewConfig()
	config.Clusters["test"] = &api.Cluster{Server: of.Host, CertificateAuthorityData: of.CAData}
	config.AuthInfos["test"] = &api.AuthInfo{
		ClientCertificateData: of.CertData, ClientKeyData: of.KeyData, Token: of.BearerToken,
	}
	config.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	file, err := os.CreateTemp(folder, "kubeconfig-*")
	Expect(err).NotTo(HaveOccurred())
	Expect(file.Close()).To(Succeed())
	Expect(clientcmd.WriteToFile(*config, file.Name())).To(Succeed())
	return person{kubeconfig: file.Name(), namespace: "default"}
}

// in is the same person in another namespace.
func (p person) in(namespace string) person {
	p.namespace = namespace
	return p
}

// answer is what a command printed, and its exit code.
type answer struct {
	out, err string
	code     int
}

// types runs a command of the plugin, and returns what came.
func (p person) types(ctx context.Context, arguments ...string) answer {
	return p.feeds(ctx, nil, arguments...)
}

// feeds does so with content on standard input.
func (p person) feeds(ctx context.Context, stdin []byte, arguments ...string) answer {
	GinkgoHelper()
	command, out, said := p.command(ctx, arguments...)
	command.Stdin = bytes.NewReader(stdin)
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		Expect(err).NotTo(HaveOccurred())
	}
	return answer{out.String(), said.String(), command.ProcessState.ExitCode()}
}

func (p person) command(ctx context.Context, arguments ...string) (command *exec.Cmd, out, said *bytes.Buffer) {
	out, said = &bytes.Buffer{}, &bytes.Buffer{}
	command = exec.CommandContext(ctx, filepath.Join(folder, "kubectl-sandbox"), append([]string{"-n", p.namespace}, arguments...)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig, "HOME="+folder)
	command.Stdout, command.Stderr = out, said
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command, out, said
}

// does runs a command that must succeed and say nothing on standard error, and returns what it prints.
func (p person) does(ctx context.Context, arguments ...string) string {
	GinkgoHelper()
	a := p.types(ctx, arguments...)
	Expect(a.err).To(BeEmpty(), "%v", arguments)
	Expect(a.code).To(BeZero(), "%v", arguments)
	return a.out
}

// isTold runs a command that must fail with this exit code and one line.
func (p person) isTold(ctx context.Context, code int, arguments ...string) string {
	GinkgoHelper()
	a := p.types(ctx, arguments...)
	Expect(a.code).To(Equal(code), "%v: %s", arguments, a.err)
	Expect(a.out).To(BeEmpty(), "%v", arguments)
	line, rest, _ := strings.Cut(a.err, "\n")
	Expect(rest).To(BeEmpty(), "%v", arguments)
	Expect(line).To(HavePrefix("error: "), "%v", arguments)
	return line
}
