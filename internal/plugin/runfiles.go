// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/archive"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/runs"
)

// mostFiles is how many files a run takes.
const mostFiles = 64

// inputsOf reads -f LOCAL[:PATH]: files, and directories with all that is below. dir is where relative paths are in the
// sandbox; empty = nobody knows.
func inputsOf(arguments []string, dir string, cargo *runs.Cargo) ([]v1alpha1.File, error) {
	var files []v1alpha1.File
	for _, argument := range arguments {
		local, remote := splitInput(argument)
		remote, err := remotePath(remote, dir, "-f "+local+":/PATH")
		if err != nil {
			return nil, err
		}
		root, err := archive.Root(local)
		if err != nil {
			return nil, unreadable(local, err)
		}
		err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			below, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			if len(files) == mostFiles {
				return cli.Fail("make an archive of them, or use kubectl sandbox cp", "-f names more than %d files", mostFiles)
			}
			file, err := inputOf(name, path.Join(remote, filepath.ToSlash(below)), cargo)
			files = append(files, file)
			return err
		})
		if err != nil {
			return nil, unreadable(local, err)
		}
	}
	return files, nil
}

func inputOf(local, remote string, cargo *runs.Cargo) (v1alpha1.File, error) {
	info, err := os.Stat(local)
	if err != nil {
		return v1alpha1.File{}, err
	}
	if !info.Mode().IsRegular() {
		return v1alpha1.File{}, cli.Fail("leave it out", "%s is no file", local)
	}
	if info.Size() > runs.MostCarried {
		_, err := cargo.Content(local, make([]byte, runs.MostCarried+1))
		return v1alpha1.File{}, err
	}
	content, err := os.ReadFile(local)
	if err != nil {
		return v1alpha1.File{}, err
	}
	inSandbox, err := cargo.Content(local, content)
	file := v1alpha1.File{Path: remote, Content: inSandbox}
	if runtime.GOOS != "windows" { // where files have no such mode
		file.Mode = new(int32(info.Mode().Perm()))
	}
	return file, err
}

func unreadable(local string, err error) error {
	if _, ok := errors.AsType[*cli.Failure](err); ok {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return cli.Fail("see ls", "there is no file %s on this machine", local)
	}
	return cli.Fail("", "reading %s: %v", local, err)
}

// splitInput splits LOCAL[:PATH]. A drive of Windows is none.
func splitInput(argument string) (local, remote string) {
	i := strings.LastIndexByte(argument, ':')
	if i <= 0 || i == 1 && runtime.GOOS == "windows" {
		return argument, filepath.Base(filepath.Clean(argument))
	}
	return argument[:i], argument[i+1:]
}

// remotePath makes a path in the sandbox absolute and clean.
func remotePath(name, dir, write string) (string, error) {
	switch {
	case strings.HasPrefix(name, "/"):
		return path.Clean(name), nil
	case dir == "":
		return "", cli.Fail("write "+write, "it is not known where %q is in this sandbox, which has no workingDir", name)
	}
	return path.Join(dir, name), nil
}

// result is a file that a run leaves, and where it goes.
type result struct {
	remote, local string
}

// resultsOf reads -o PATH[:LOCAL].
func resultsOf(arguments []string, dir string) ([]result, error) {
	var results []result
	for _, argument := range arguments {
		remote, local, ok := strings.Cut(argument, ":")
		if !ok || local == "" {
			local = path.Base(remote)
		}
		absolute, err := remotePath(remote, dir, "-o /PATH:"+local)
		if err != nil {
			return nil, err
		}
		if err := writable(local); err != nil {
			return nil, err
		}
		results = append(results, result{absolute, local})
	}
	return results, nil
}

// writable complains of a directory that is not there: better before the command has run than after.
func writable(local string) error {
	if local == "-" {
		return nil
	}
	if info, err := os.Stat(local); err == nil && info.IsDir() {
		return nil
	}
	dir := filepath.Dir(local)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return cli.Fail("make it, or name another place: -o PATH:LOCAL", "there is no directory %s on this machine to put a file into", dir)
	}
	return nil
}

// outputs are what the run is to keep of them.
func outputs(results []result, run string) []v1alpha1.ExecOutput {
	var kept []v1alpha1.ExecOutput
	for i, r := range results {
		kept = append(kept, v1alpha1.ExecOutput{
			Path: r.remote, Presence: v1alpha1.OutputRequired,
			To: &v1alpha1.OutputDestination{ConfigMap: &v1alpha1.DestinationKey{Name: fmt.Sprintf("%s-out-%d", run, i), Key: "content"}},
		})
	}
	return kept
}

// fetched is what became of the files that a run left.
type fetched struct {
	// missing is the first reason why there is none, and unwritten the first why one that there is could not be had or
	// written here: the run has the only copy of that.
	missing, unwritten error
}

// fetch writes the files that are there to this machine.
func fetch(ctx context.Context, runner *runs.Runner, exec *v1alpha1.SandboxExec, results []result, stdout io.Writer) fetched {
	var done fetched
	for _, r := range results {
		content, err := runner.Output(ctx, exec, r.remote)
		if err == nil {
			err = r.write(content, stdout)
		}
		switch {
		case err == nil:
		case errors.Is(err, runs.ErrNoOutput), errors.Is(err, syscall.EPIPE):
			done.missing = cmp.Or(done.missing, err)
		case done.unwritten == nil:
			done.unwritten = cli.Fail(whereKept(exec, r.remote), "%v", err)
		}
	}
	return done
}

// whereKept says where a file of the run is as long as the run is.
func whereKept(exec *v1alpha1.SandboxExec, remote string) string {
	where := fmt.Sprintf("kubectl get sandboxexec -n %s %s -o yaml", exec.Namespace, exec.Name)
	for i := range exec.Status.Outputs {
		if o := &exec.Status.Outputs[i]; o.Name == remote && o.StoredIn != nil && o.StoredIn.ConfigMap != "" {
			where = fmt.Sprintf("kubectl get configmap -n %s %s -o yaml", exec.Namespace, o.StoredIn.ConfigMap)
		}
	}
	return where + " has it, " + runs.KeptFor(exec)
}

func (r result) write(content []byte, stdout io.Writer) error {
	if r.local == "-" {
		if _, err := stdout.Write(content); err != nil {
			if errors.Is(err, syscall.EPIPE) {
				return &cli.Failure{Code: cli.CodeBrokenPipe, Cause: err}
			}
			return cli.Fail("", "printing %s: %v", r.remote, err)
		}
		return nil
	}
	local := r.local
	if info, err := os.Stat(local); err == nil && info.IsDir() {
		local = filepath.Join(local, path.Base(r.remote))
	}
	if err := os.WriteFile(local, content, 0o644); err != nil { //nolint:gosec // a file of the user's own, as cp makes it
		return cli.Fail("", "writing %s: %v", local, err)
	}
	return nil
}
