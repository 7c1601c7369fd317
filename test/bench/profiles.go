// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
)

// profiledSeconds is how much of a load a profile covers.
const profiledSeconds = "3"

// profile takes CPU profiles of the program and of the API server, if they are wanted. The function that it returns waits for them.
func (p *play) profile(ctx context.Context, f Figures) func() error {
	if p.Profiles == "" || f.Name == "" {
		return func() error { return nil }
	}
	base := filepath.Join(p.Profiles, strings.NewReplacer(" ", "-", ",", "").Replace(f.Name)+"."+f.Program)
	var group sync.WaitGroup
	var ofServer, ofProgram error
	group.Go(func() {
		ofServer = save(ctx, p.clientset.Discovery().RESTClient().Get().AbsPath("/debug/pprof/profile"), base+".kube-apiserver.pprof")
	})
	if p.process.program != Floor {
		group.Go(func() {
			ofProgram = save(ctx, rest.NewRequestWithClient(p.process.profilesURL(), "", rest.ClientContentConfig{}, http.DefaultClient).
				Verb(http.MethodGet).AbsPath("/debug/pprof/profile"), base+".pprof")
		})
	}
	return func() error {
		group.Wait()
		return errors.Join(ofServer, ofProgram)
	}
}

func save(ctx context.Context, request *rest.Request, file string) error {
	text, err := request.Param("seconds", profiledSeconds).DoRaw(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
