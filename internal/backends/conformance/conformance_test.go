// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/conformance"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
)

// broken is a backend that is spoilt on purpose. Nil functions leave an operation whole.
type broken struct {
	backends.Backend
	create  func(ctx context.Context, b backends.Backend, request backends.CreateRequest) (backends.Remote, error)
	get     func(ctx context.Context, b backends.Backend, id string) (backends.Remote, error)
	list    func(ctx context.Context, b backends.Backend, filter backends.Filter) ([]backends.Remote, error)
	destroy func(ctx context.Context, b backends.Backend, id string) error
	run     func(ctx context.Context, b backends.Backend, id string, c backends.Command) (backends.Result, error)
}

func (b broken) Create(ctx context.Context, request backends.CreateRequest) (backends.Remote, error) {
	if b.create != nil {
		return b.create(ctx, b.Backend, request)
	}
	return b.Backend.Create(ctx, request)
}

func (b broken) Get(ctx context.Context, id string) (backends.Remote, error) {
	if b.get != nil {
		return b.get(ctx, b.Backend, id)
	}
	return b.Backend.Get(ctx, id)
}

func (b broken) List(ctx context.Context, filter backends.Filter) ([]backends.Remote, error) {
	if b.list != nil {
		return b.list(ctx, b.Backend, filter)
	}
	return b.Backend.List(ctx, filter)
}

func (b broken) Destroy(ctx context.Context, id string) error {
	if b.destroy != nil {
		return b.destroy(ctx, b.Backend, id)
	}
	return b.Backend.Destroy(ctx, id)
}

func (b broken) RunCommand(ctx context.Context, id string, c backends.Command) (backends.Result, error) {
	if b.run != nil {
		return b.run(ctx, b.Backend, id, c)
	}
	return b.Backend.RunCommand(ctx, id, c)
}

// results spoils what commands give.
func results(spoil func(c backends.Command, r *backends.Result)) broken {
	return broken{run: func(
		ctx context.Context, b backends.Backend, id string, c backends.Command,
	) (backends.Result, error) {
		result, err := b.RunCommand(ctx, id, c)
		spoil(c, &result)
		return result, err
	}}
}

// requests spoils what commands are given.
func requests(spoil func(c *backends.Command)) broken {
	return broken{run: func(
		ctx context.Context, b backends.Backend, id string, c backends.Command,
	) (backends.Result, error) {
		spoil(&c)
		return b.RunCommand(ctx, id, c)
	}}
}

// remotes spoils what is said of remotes.
func remotes(spoil func(r *backends.Remote)) broken {
	return broken{
		get: func(ctx context.Context, b backends.Backend, id string) (backends.Remote, error) {
			remote, err := b.Get(ctx, id)
			spoil(&remote)
			return remote, err
		},
		list: func(ctx context.Context, b backends.Backend, filter backends.Filter) ([]backends.Remote, error) {
			all, err := b.List(ctx, filter)
			for i := range all {
				spoil(&all[i])
			}
			return all, err
		},
	}
}

// wrap puts a command behind others.
func wrap(c *backends.Command, before ...string) { c.Argv = append(before, c.Argv...) }

// newSuite returns a suite for a spoilt in-memory backend.
func newSuite(t *testing.T, options memory.Options, spoil func(backends.Backend) backends.Backend) *conformance.Suite {
	t.Helper()
	provider := memory.NewProvider(options)
	t.Cleanup(func() {
		if err := provider.Close(); err != nil {
			t.Error(err)
		}
	})
	registration := provider.Registration("memory")
	one, err := registration.New(t.Context(), backends.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return conformance.NewSuite(conformance.Subject{
		Registration: registration, Backend: spoil(one), Another: spoil(one),
		Scratch:  func(id string) string { return filepath.Join(provider.Dir(id), "scratch") },
		Patience: 300 * time.Millisecond, Overhead: 2 * time.Second,
		MakeError: func(code backends.Code, _ string) (func(), bool) {
			return provider.Inject(memory.Fault{Err: memory.Error(code, 0)}), true
		},
	})
}

// find returns the check whose name contains the words.
func find(t *testing.T, words string) conformance.Check {
	t.Helper()
	checks := conformance.Checks()
	i := slices.IndexFunc(checks, func(c conformance.Check) bool { return strings.Contains(c.Name, words) })
	if i < 0 {
		t.Fatalf("no check is called %q", words)
	}
	return checks[i]
}

// Each case breaks one promise, and names the check that must notice, and a part of what it must say.
func TestChecksNoticeWhatTheyAreFor(t *testing.T) {
	for _, c := range []struct {
		fault        string
		spoilt       broken
		check, words string
	}{
		{"the last byte of stdout is lost", results(func(_ backends.Command, r *backends.Result) {
			r.Stdout = r.Stdout[:max(0, len(r.Stdout)-1)]
		}), "without a final newline", "stdout: 0 bytes arrived of 1"},
		{"the last byte of 5 MiB is lost", results(func(_ backends.Command, r *backends.Result) {
			r.Stdout = r.Stdout[:min(len(r.Stdout), 5<<20-1)]
		}), "5 MiB", "differ from byte 5242879"},
		{"streams are merged", results(func(_ backends.Command, r *backends.Result) {
			r.Stdout, r.Stderr = append(r.Stdout, r.Stderr...), nil
		}), "unchanged and apart", "the other stream"},
		{"output is converted", results(func(_ backends.Command, r *backends.Result) {
			r.Stdout = bytes.ToValidUTF8(r.Stdout, []byte("?"))
		}), "unchanged and apart", "binary stdout"},
		{"lines of the streams change places", results(func(_ backends.Command, r *backends.Result) {
			lines := bytes.SplitAfter(r.Stdout, []byte("\n"))
			if len(lines) > 100 {
				lines[10], lines[20] = lines[20], lines[10]
			}
			r.Stdout = bytes.Join(lines, nil)
		}), "written in turns", "stdout"},
		{"127 is swallowed", results(func(_ backends.Command, r *backends.Result) {
			if r.ExitCode == 127 {
				r.ExitCode = 1
			}
		}), "127", "it must be 127"},
		{"a missing program says nothing", results(func(_ backends.Command, r *backends.Result) {
			r.Stderr = nil
		}), "127", "says nothing"},
		{"exit codes are cut to success and failure", results(func(_ backends.Command, r *backends.Result) {
			r.ExitCode = min(r.ExitCode, 1)
		}), "exit codes", "exits with 42"},
		{"signals are -1", results(func(_ backends.Command, r *backends.Result) {
			if r.ExitCode > 128 {
				r.ExitCode = -1
			}
		}), "128 + n", "not 137"},
		{"cut output is not called so", results(func(_ backends.Command, r *backends.Result) {
			r.StdoutTruncated = false
		}), "cuts each stream", "truncated=false"},
		{"limits are ignored", requests(func(c *backends.Command) { c.OutputLimit = 0 }), "cuts each stream", "over the limit"},
		{"a command over the limit is killed", results(func(_ backends.Command, r *backends.Result) {
			if r.StdoutTruncated {
				r.ExitCode = 141
			}
		}), "cuts each stream", "it was disturbed"},
		{"output of the limit is called cut", results(func(c backends.Command, r *backends.Result) {
			r.StdoutTruncated = c.OutputLimit > 0
		}), "just as long", "truncated=true"},
		{"input is text", requests(func(c *backends.Command) { c.Stdin = bytes.TrimRight(c.Stdin, "\n") }),
			"to the last byte", "standard input"},
		{"input is cut", requests(func(c *backends.Command) { c.Stdin = c.Stdin[:min(len(c.Stdin), 64<<10)] }),
			"to the last byte", "65536 bytes arrived of 1048576"},
		{"the end of the input never comes", requests(func(c *backends.Command) {
			if len(c.Stdin) == 0 {
				wrap(c, "sh", "-c", `sleep 60 | "$@"`, "sh")
			}
		}), "end of file at once", "timed out: true"},
		{"unread input fails the command", results(func(c backends.Command, r *backends.Result) {
			if len(c.Stdin) > 0 {
				r.ExitCode = 1
			}
		}), "does not read its input", "not 5"},
		{"arguments are joined to a line", requests(func(c *backends.Command) {
			c.Argv = []string{"sh", "-c", strings.Join(c.Argv, " ")}
		}), "arguments", "must succeed"},
		{"empty arguments are dropped", requests(func(c *backends.Command) {
			c.Argv = slices.DeleteFunc(slices.Clone(c.Argv), func(word string) bool { return word == "" })
		}), "arguments", "arrive as"},
		{"the operator's environment leaks", requests(func(c *backends.Command) {
			for _, entry := range os.Environ() {
				name, value, _ := strings.Cut(entry, "=")
				if _, ok := c.Env[name]; !ok && c.Env != nil {
					c.Env[name] = value
				}
			}
		}), "environment as it is", "all its secrets"},
		{"empty variables are dropped", requests(func(c *backends.Command) {
			for name, value := range c.Env {
				if value == "" {
					delete(c.Env, name)
				}
			}
		}), "environment as it is", "arrives as"},
		{"the directory is ignored", requests(func(c *backends.Command) { c.WorkingDir = "" }),
			"directory that they name", "as its directory"},
		{"a missing directory is ignored", requests(func(c *backends.Command) {
			if strings.HasSuffix(c.WorkingDir, "absent") {
				c.WorkingDir = ""
			}
		}), "directory is missing", "somewhere else"},
		{"the user is ignored", requests(func(c *backends.Command) { c.User = "" }), "another user", "as somebody else"},
		{"an empty command succeeds", requests(func(c *backends.Command) {
			if len(c.Argv) == 0 {
				c.Argv = []string{"true"}
			}
		}), "empty command", "succeeded"},
		{"the deadline ends the call alone", broken{run: onlyTheCallEnds}, "whole tree", "survive its deadline"},
		{"the deadline kills the first process alone", broken{run: onlyTheFirstDies}, "whole tree", "survive its deadline"},
		{"the deadline is ignored", requests(func(c *backends.Command) {
			if c.Timeout == time.Second {
				c.Timeout = 4 * time.Second
			}
		}), "whole tree", "took 4"},
		{"the deadline loses the output", results(func(_ backends.Command, r *backends.Result) {
			if r.TimedOut {
				r.Stdout = nil
			}
		}), "whole tree", "output before the deadline"},
		{"the deadline is not told", results(func(_ backends.Command, r *backends.Result) { r.TimedOut = false }),
			"whole tree", "not called timed out"},
		{"every command with a deadline timed out", results(func(c backends.Command, r *backends.Result) {
			r.TimedOut = c.Timeout > 0
		}), "ends before its deadline", "gives"},
		{"the deadline kills all", broken{run: killsAll}, "leaves other commands alone", "killed the processes of another"},
		{"the caller can't give up", broken{run: func(
			ctx context.Context, b backends.Backend, id string, c backends.Command,
		) (backends.Result, error) {
			return b.RunCommand(context.WithoutCancel(ctx), id, c)
		}}, "caller gave up", "goes on for more than"},
		{"what was given up is called absent", broken{run: func(
			ctx context.Context, b backends.Backend, id string, c backends.Command,
		) (backends.Result, error) {
			result, err := b.RunCommand(ctx, id, c)
			if ctx.Err() != nil {
				err = memory.Error(backends.NotFound, 0)
			}
			return result, err
		}}, "caller gave up", "must be Ambiguous"},
		{"the background is waited for", requests(func(c *backends.Command) {
			wrap(c, "sh", "-c", `"$@" | cat`, "sh")
		}), "in the background", "timed out: true"},
		{"the background is killed", broken{run: killsTheBackground}, "in the background", "does not live on"},
		{"lists ignore the filter", broken{list: func(
			ctx context.Context, b backends.Backend, _ backends.Filter,
		) ([]backends.Remote, error) {
			return b.List(ctx, backends.Filter{})
		}}, "filter selects", "has a remote with mark"},
		{"lists have the first page alone", broken{list: func(
			ctx context.Context, b backends.Backend, filter backends.Filter,
		) ([]backends.Remote, error) {
			all, err := b.List(ctx, filter)
			return all[:min(1, len(all))], err
		}}, "filter selects", "does not have all remotes"},
		{"destroying does nothing", broken{destroy: func(context.Context, backends.Backend, string) error { return nil }},
			"from each source", "still finds a destroyed remote"},
		{"destroying twice is fine", broken{destroy: func(ctx context.Context, b backends.Backend, id string) error {
			if err := b.Destroy(ctx, id); !errors.Is(err, backends.NotFound) {
				return err
			}
			return nil
		}}, "of a destroyed remote", "Destroy of a remote that does not exist succeeded"},
		{"an absent remote is an outage", broken{get: func(
			ctx context.Context, b backends.Backend, id string,
		) (backends.Remote, error) {
			remote, err := b.Get(ctx, id)
			if err != nil {
				err = memory.Error(backends.Unavailable, 0)
			}
			return remote, err
		}}, "never was", "it must be NotFound"},
		{"errors have no type", broken{run: func(
			ctx context.Context, b backends.Backend, id string, c backends.Command,
		) (backends.Result, error) {
			result, err := b.RunCommand(ctx, id, c)
			if err != nil {
				err = backends.CodeOf(err)
			}
			return result, err
		}}, "never was", "no *backends.Error"},
		{"the mark loses its namespace", remotes(func(r *backends.Remote) { r.Mark.Namespace = "" }),
			"every field of a mark", "the mark is"},
		{"labels are cut", remotes(func(r *backends.Remote) {
			for key, value := range r.Labels {
				r.Labels[key] = value[:min(len(value), 60)]
			}
		}), "every field of a mark", "the labels are"},
		{"labels forge marks", broken{create: func(
			ctx context.Context, b backends.Backend, request backends.CreateRequest,
		) (backends.Remote, error) {
			if uid := request.Labels[backends.MarkUID]; uid != "" {
				request.Mark.UID = uid
			}
			return b.Create(ctx, request)
		}}, "forge", "somebody else's"},
		{"the environment of a create is lost", broken{create: func(
			ctx context.Context, b backends.Backend, request backends.CreateRequest,
		) (backends.Remote, error) {
			request.Env = nil
			return b.Create(ctx, request)
		}}, "remote's own environment", "the environment is"},
		{"codes are mixed up", broken{list: func(
			ctx context.Context, b backends.Backend, filter backends.Filter,
		) ([]backends.Remote, error) {
			all, err := b.List(ctx, filter)
			return all, rename(err)
		}, create: func(ctx context.Context, b backends.Backend, r backends.CreateRequest) (backends.Remote, error) {
			remote, err := b.Create(ctx, r)
			return remote, rename(err)
		}, get: func(ctx context.Context, b backends.Backend, id string) (backends.Remote, error) {
			remote, err := b.Get(ctx, id)
			return remote, rename(err)
		}, run: func(ctx context.Context, b backends.Backend, id string, c backends.Command) (backends.Result, error) {
			result, err := b.RunCommand(ctx, id, c)
			return result, rename(err)
		}, destroy: func(ctx context.Context, b backends.Backend, id string) error { return rename(b.Destroy(ctx, id)) }},
			"provider as RateLimited", "no operation says so"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			suite := newSuite(t, memory.Options{WithoutFiles: true}, func(b backends.Backend) backends.Backend {
				spoilt := c.spoilt
				spoilt.Backend = b
				return spoilt
			})
			wantNoticed(t, suite, c.check, c.words)
		})
	}
}

func wantNoticed(t *testing.T, suite *conformance.Suite, check, words string) {
	t.Helper()
	err := suite.Run(t.Context(), find(t, check))
	switch {
	case err == nil || conformance.Skipped(err):
		t.Errorf("the check %q did not notice (%v)", check, err)
	case !strings.Contains(err.Error(), words):
		t.Errorf("the check %q complains, but not of what is broken (%q):\n%v", check, words, err)
	}
}

func rename(err error) error {
	if err == nil {
		return nil
	}
	return memory.Error(backends.Unavailable, 0)
}

func onlyTheCallEnds(ctx context.Context, b backends.Backend, id string, c backends.Command) (backends.Result, error) {
	if c.Timeout == 0 {
		return b.RunCommand(ctx, id, c)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	c.Timeout = 0
	result, err := b.RunCommand(ctx, id, c)
	if ctx.Err() != nil {
		return backends.Result{TimedOut: true, Stdout: []byte("before\n"), Stderr: []byte("words\n")}, nil
	}
	return result, err
}

func onlyTheFirstDies(ctx context.Context, b backends.Backend, id string, c backends.Command) (backends.Result, error) {
	timeout := c.Timeout
	if timeout > 0 {
		wrap(&c, "timeout", "-s", "KILL", fmt.Sprint(timeout.Seconds()))
		c.Timeout = 0
	}
	result, err := b.RunCommand(ctx, id, c)
	result.TimedOut = timeout > 0
	return result, err
}

func killsAll(ctx context.Context, b backends.Backend, id string, c backends.Command) (backends.Result, error) {
	result, err := b.RunCommand(ctx, id, c)
	if result.TimedOut {
		kill := backends.KillTreeFunction + `kill_tree KILL "SANDBOXES_MEMORY_REMOTE=$SANDBOXES_MEMORY_REMOTE" ""`
		_, killErr := b.RunCommand(ctx, id, backends.Command{Argv: []string{"sh", "-c", kill}})
		err = errors.Join(err, killErr)
	}
	return result, err
}

func killsTheBackground(ctx context.Context, b backends.Backend, id string, c backends.Command) (backends.Result, error) {
	result, err := b.RunCommand(ctx, id, c)
	for name, value := range c.Env {
		kill := []string{"sh", "-c", backends.KillTreeFunction + `kill_tree KILL "$1" ""`, "sh", name + "=" + value}
		_, killErr := b.RunCommand(ctx, id, backends.Command{Argv: kill})
		err = errors.Join(err, killErr)
	}
	return result, err
}

func TestAnotherInstanceMustNotHaveAStateOfItsOwn(t *testing.T) {
	suite := newSuite(t, memory.Options{}, func(b backends.Backend) backends.Backend { return b })
	suite.Another = newSuite(t, memory.Options{}, func(b backends.Backend) backends.Backend { return b }).Backend
	wantNoticed(t, suite, "nothing in the process", "does not have all remotes")
}

// notUnique finds by name, but lets several have the same.
type notUnique struct{ broken }

func (n notUnique) FindByName(ctx context.Context, name string) (backends.Remote, error) {
	all, err := n.Backend.List(ctx, backends.Filter{})
	for _, remote := range all {
		if remote.Name == name {
			return remote, nil
		}
	}
	return backends.Remote{}, errors.Join(err, memory.Error(backends.NotFound, 0))
}

func TestNamesMustBeUnique(t *testing.T) {
	suite := newSuite(t, memory.Options{}, func(b backends.Backend) backends.Backend {
		return notUnique{broken{Backend: b}}
	})
	wantNoticed(t, suite, "same name", "two remotes have the name")
}

func TestMissingCapabilitiesMustBeRefused(t *testing.T) {
	suite := newSuite(t, memory.Options{}, func(b backends.Backend) backends.Backend { return b })
	suite.Registration.Capabilities = nil
	wantNoticed(t, suite, "capabilities don't have", "succeeded; it must fail with Unsupported")
}

// brokenFiles spoils file operations. Nil functions leave an operation to RunCommand.
type brokenFiles struct {
	backends.Backend
	read    func(b backends.Backend, id, path string, limit int64) ([]byte, error)
	write   func(b backends.Backend, id, path string, content []byte, mode fs.FileMode) error
	readDir func(b backends.Backend, id, path string) ([]backends.FileInfo, error)
	stat    func(b backends.Backend, id, path string) (backends.FileInfo, error)
	remove  func(b backends.Backend, id, path string) error
}

func (f brokenFiles) ReadFile(ctx context.Context, id, path string, limit int64) ([]byte, error) {
	if f.read != nil {
		return f.read(f.Backend, id, path, limit)
	}
	return backends.ReadFileByCommand(ctx, f.Backend, id, path, limit)
}

func (f brokenFiles) WriteFile(ctx context.Context, id, path string, content []byte, mode fs.FileMode) error {
	if f.write != nil {
		return f.write(f.Backend, id, path, content, mode)
	}
	return backends.WriteFileByCommand(ctx, f.Backend, id, path, content, mode)
}

func (f brokenFiles) ReadDir(ctx context.Context, id, path string) ([]backends.FileInfo, error) {
	if f.readDir != nil {
		return f.readDir(f.Backend, id, path)
	}
	return backends.ReadDirByCommand(ctx, f.Backend, id, path)
}

func (f brokenFiles) Stat(ctx context.Context, id, path string) (backends.FileInfo, error) {
	if f.stat != nil {
		return f.stat(f.Backend, id, path)
	}
	return backends.StatByCommand(ctx, f.Backend, id, path)
}

func (f brokenFiles) Remove(ctx context.Context, id, path string) error {
	if f.remove != nil {
		return f.remove(f.Backend, id, path)
	}
	return backends.RemoveByCommand(ctx, f.Backend, id, path)
}

// hidden is a file that is only on the operator's machine, as far as the checks can see.
const hidden = "a file of the operator's machine"

func TestChecksOfFilesNoticeWhatTheyAreFor(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct {
		fault        string
		spoilt       brokenFiles
		check, words string
	}{
		{"content is text", brokenFiles{read: func(b backends.Backend, id, path string, limit int64) ([]byte, error) {
			content, err := backends.ReadFileByCommand(ctx, b, id, path, limit)
			return bytes.ToValidUTF8(content, []byte("?")), err
		}}, "any name and content", "a binary file"},
		{"odd names are skipped", brokenFiles{readDir: func(b backends.Backend, id, path string) ([]backends.FileInfo, error) {
			entries, err := backends.ReadDirByCommand(ctx, b, id, path)
			return slices.DeleteFunc(entries, func(e backends.FileInfo) bool { return strings.Contains(e.Name, "\n") }), err
		}}, "any name and content", "are listed as"},
		{"listings are not sorted", brokenFiles{readDir: func(b backends.Backend, id, path string) ([]backends.FileInfo, error) {
			entries, err := backends.ReadDirByCommand(ctx, b, id, path)
			slices.Reverse(entries)
			return entries, err
		}}, "sorted", "the listing is"},
		{"files go elsewhere than commands look", brokenFiles{
			write: func(b backends.Backend, id, path string, content []byte, mode fs.FileMode) error {
				return backends.WriteFileByCommand(ctx, b, id, strings.ReplaceAll(path, "-ours", "-elsewhere"), content, mode)
			},
		}, "reads what commands wrote", "must succeed"},
		{"limits are ignored", brokenFiles{read: func(b backends.Backend, id, path string, _ int64) ([]byte, error) {
			return backends.ReadFileByCommand(ctx, b, id, path, 0)
		}}, "larger than allowed", "one byte more than the limit"},
		{"a missing file is a missing remote", brokenFiles{read: func(b backends.Backend, id, path string, limit int64) ([]byte, error) {
			content, err := backends.ReadFileByCommand(ctx, b, id, path, limit)
			if err != nil {
				err = memory.Error(backends.NotFound, 0)
			}
			return content, err
		}}, "says what is not there", "reading absent gives"},
		{"the mode is ignored", brokenFiles{write: func(b backends.Backend, id, path string, content []byte, _ fs.FileMode) error {
			return backends.WriteFileByCommand(ctx, b, id, path, content, 0o644)
		}}, "gives a file its mode", "written with mode -rwxr-xr-x"},
		{"files are written in place", brokenFiles{write: func(b backends.Backend, id, path string, content []byte, _ fs.FileMode) error {
			_, err := b.RunCommand(ctx, id, backends.Command{
				Argv: []string{"sh", "-c", `mkdir -p "$1" && cat > "$2"`, "sh", filepath.Dir(path), path}, Stdin: content,
			})
			return err
		}}, "replaces files and links", "written in place"},
		{"stat follows links", brokenFiles{stat: func(b backends.Backend, id, path string) (backends.FileInfo, error) {
			info, err := backends.StatByCommand(ctx, b, id, path)
			info.Mode &^= fs.ModeSymlink
			return info, err
		}}, "describes links themselves", "stat of"},
		{"removal follows links", brokenFiles{remove: func(b backends.Backend, id, path string) error {
			_, err := b.RunCommand(ctx, id, backends.Command{Argv: []string{"sh", "-c", `rm -rf "$1"/* "$1"`, "sh", path}})
			return err
		}}, "but not what links lead to", "after removal"},
		{"links lead out of the remote", brokenFiles{read: func(b backends.Backend, id, path string, limit int64) ([]byte, error) {
			if strings.HasSuffix(path, "/absolute") {
				return []byte(hidden), nil
			}
			return backends.ReadFileByCommand(ctx, b, id, path, limit)
		}}, "out of the remote", hidden},
		{"links are written through", brokenFiles{write: func(_ backends.Backend, _, path string, _ []byte, _ fs.FileMode) error {
			if strings.Contains(path, "/root/") {
				return nil // somewhere else, that is
			}
			return errors.ErrUnsupported
		}}, "out of the remote", "the remote has no such file"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			suite := newSuite(t, memory.Options{WithoutFiles: true}, func(b backends.Backend) backends.Backend {
				spoilt := c.spoilt
				spoilt.Backend = b
				return spoilt
			})
			wantNoticed(t, suite, c.check, c.words)
		})
	}
}

func TestASuiteLeavesNothingBehind(t *testing.T) {
	suite := newSuite(t, memory.Options{}, func(b backends.Backend) backends.Backend { return b })
	for _, name := range []string{"exit codes", "filter selects", "same time", "forge"} {
		if err := suite.Run(t.Context(), find(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := suite.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := suite.Backend.List(t.Context(), backends.Filter{}); err != nil || len(left) > 0 {
		t.Errorf("remotes are left behind: %v, %v", left, err)
	}
}

func TestChecksHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, check := range conformance.Checks() {
		if seen[check.Name] {
			t.Errorf("two checks are called %q", check.Name)
		}
		seen[check.Name] = true
	}
}
