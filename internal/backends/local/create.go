// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// How a remote comes to be, so that the operator may be killed at any instruction:
//
//  1. The image is pulled into the cache. Nothing of the remote exists.
//  2. Its directory is made whole under tmp/, where it is nothing yet.
//  3. The starter is started: a process in a session of its own, which waits at a gate.
//  4. The directory is published by rename. From here on the remote exists, under its name, with its mark; if one of that
//     name was there, this fails and nothing has happened.
//  5. The gate opens. It opens by itself, too, when this process dies: the starter then looks whether the directory was
//     published in its name, and goes on or ends. So there is no moment in which a remote exists that nobody will start.
//  6. The starter runs runsc, and makes the file ready.
//
// A remote without that file is Creating while its starter lives, and Stopped after (the machine was switched off, or somebody
// killed the starter); either can be destroyed.

// startScript is the starter. Arguments: the remote's directory; the working directory to make in the sandbox, or ""; its
// owner; runsc; the remote's ID; the line that starts the keeper of its lease (see lease.go); and then the command that starts
// the sandbox.
const startScript = `read -r _ <&3
exec 3<&-
dir=$1 make=$2 owner=$3 program=$4 id=$5 keep=$6
shift 6
read -r starter <"$dir/starter.pid" && [ "$starter" = $$ ] || exit 0
start() {
	"$@" || return 1
	if [ -n "$make" ]; then
		"$program" --root="$dir/runsc" --log="$dir/start.log" --log-format=json exec "$id" \
			/bin/sh -c 'mkdir -p -- "$1" && chown -- "$2" "$1"' sh "$make" "$owner" </dev/null >/dev/null 2>&1 || return 2
	fi
	: >"$dir/ready"
}
start "$@"
code=$?
[ ! -e "$dir/lease" ] || eval "$keep"
exit "$code"`

// exitNoWorkDir is startScript's exit code for a working directory that can't be made.
const exitNoWorkDir = 2

// cleanupTime bounds what is done about a failed start after the caller's context has ended.
const cleanupTime = 30 * time.Second

// Create implements backends.Backend.
func (b *backend) Create(ctx context.Context, request backends.CreateRequest) (backends.Remote, error) {
	m, err := b.machine(ctx, operationCreate)
	if err != nil {
		return backends.Remote{}, err
	}
	if err := m.check(request); err != nil {
		return backends.Remote{}, err
	}
	d := m.store.remote(request.Name)
	if _, err := os.Lstat(string(d)); err == nil {
		return backends.Remote{}, alreadyExists()
	}
	from, err := m.rootfs(ctx, request.Source)
	if err != nil {
		return backends.Remote{}, err
	}
	rec, err := m.start(ctx, d, from, request, b.options)
	if err != nil {
		return backends.Remote{}, err
	}
	return m.describe(d, rec), nil
}

func alreadyExists() error {
	return backends.Errorf(backends.AlreadyExists, Name, operationCreate, "a sandbox of this name exists")
}

// check refuses what can't work, before anything is done.
func (m *machine) check(request backends.CreateRequest) error {
	invalid := func(format string, args ...any) error {
		return backends.Errorf(backends.Invalid, Name, operationCreate, format, args...)
	}
	if !validID.MatchString(request.Name) {
		return invalid("a name must be lower case letters, digits and dashes, at most 63")
	}
	if err := checkSupported(request); err != nil {
		return err
	}
	if err := checkLifetime(request.Lifetime); err != nil {
		return invalid("%w", err)
	}
	if dir := request.WorkingDir; dir != "" && !path.IsAbs(dir) {
		return invalid("the working directory must be an absolute path")
	}
	if err := checkResources(request.Resources); err != nil {
		return invalid("%w", err)
	}
	if needsCgroup(request.Resources) {
		if err := m.cgroups.check(); err != nil {
			return backends.Errorf(backends.Unavailable, Name, operationCreate, "limits can't be enforced on this machine: %w", err)
		}
	}
	return nil
}

// checkSupported refuses what this backend does not have.
func checkSupported(request backends.CreateRequest) error {
	unsupported := func(message string) error {
		return backends.Errorf(backends.Unsupported, Name, operationCreate, "%s", message)
	}
	for _, capability := range backends.Wants(request) {
		if !slices.Contains(capabilitiesOfBackend(), capability) {
			return unsupported("this backend lacks the capability " + string(capability) +
				"; as source it has images, or the machine's own /usr where none is named")
		}
	}
	if policy := request.Network.Policy; policy != "" && policy != backends.NetworkDeny {
		return unsupported("sandboxes of this backend have no network: the network policy can be Deny only, not " + string(policy))
	}
	return nil
}

func (m *machine) rootfs(ctx context.Context, source backends.Source) (rootfs, error) {
	if source.Image != "" {
		return m.image(ctx, source.Image)
	}
	from, err := m.store.base("/")
	if err != nil {
		return rootfs{}, unavailable("the root filesystem can't be made: %w", err)
	}
	return from, nil
}

// unavailable is an error without effect. The paths in its causes, which are not the same twice, are left out.
func unavailable(format string, args ...any) error {
	for i, arg := range args {
		if err, ok := arg.(error); ok {
			args[i] = withoutPath(err)
		}
	}
	return backends.Errorf(backends.Unavailable, Name, operationCreate, format, args...)
}

func withoutPath(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return fmt.Errorf("%s: %w", path.Op, path.Err)
	case errors.As(err, &link):
		return fmt.Errorf("%s: %w", link.Op, link.Err)
	}
	return err
}

// start does steps 2 to 6.
func (m *machine) start(
	ctx context.Context, d remoteDir, from rootfs, request backends.CreateRequest, o options,
) (record, error) {
	staged, err := m.store.newStage()
	if err != nil {
		return record{}, unavailable("the sandbox's directory can't be made: %w", err)
	}
	rec, makeDir, err := m.fill(remoteDir(staged.path), d, from, request)
	if err != nil {
		_ = staged.discard()
		if errors.Is(err, errUnknownUser) {
			return record{}, backends.Errorf(backends.Invalid, Name, operationCreate, "%w", err)
		}
		return record{}, unavailable("the sandbox's directory can't be filled: %w", err)
	}
	s, err := m.newStarter(ctx, d, rec, makeDir, m.runsc.startArguments(d, rec, o.Platform, request.Resources.DiskBytes))
	if err != nil {
		_ = staged.discard()
		return record{}, unavailable("the sandbox's starter can't be started: %w", err)
	}
	if err := s.publish(staged, d); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return record{}, alreadyExists()
		}
		return record{}, unavailable("the sandbox's directory can't be published: %w", err)
	}
	if err := s.wait(ctx); err != nil {
		return record{}, m.abandon(ctx, d, rec, s, err)
	}
	if needsCgroup(request.Resources) {
		if err := m.cgroups.verify(sandboxProcess(d, d.sentry()), rec.Cgroup, request.Resources); err != nil {
			return record{}, m.abandon(ctx, d, rec, s, fmt.Errorf("its limits are not in force: %w", err))
		}
	}
	return rec, nil
}

// fill writes all that is known beforehand into the staged directory; d is where it will be. It also returns the working
// directory that must be made in the sandbox, or "".
func (m *machine) fill(staged, d remoteDir, from rootfs, request backends.CreateRequest) (record, string, error) {
	files, err := openTree(from.dir)
	if err != nil {
		return record{}, "", err
	}
	defer func() { _ = files.Close() }()
	if request.User != "" {
		if from.user, err = findUser(files, request.User); err != nil {
			return record{}, "", err
		}
	}
	rec := newRecord(request, from, files)
	rec.CreatedAt = time.Now().UTC()
	if request.Lifetime > 0 {
		if err := staged.writeLease(rec.CreatedAt.Add(request.Lifetime)); err != nil {
			return record{}, "", err
		}
	}
	if needsCgroup(request.Resources) {
		rec.Cgroup = cgroupPath(m.store, request.Name)
	}
	makeDir := ""
	if !rec.WorkMounted && !isDir(files, rec.WorkingDir) {
		makeDir = rec.WorkingDir
	}
	if err := errors.Join(os.Mkdir(staged.state(), 0o700), makeOpenDir(staged.work()),
		os.Chown(staged.work(), int(rec.User.UID), int(rec.User.GID))); err != nil {
		return record{}, "", err
	}
	bundle, err := json.Marshal(newBundle(d, rec, from, request.Resources))
	if err != nil {
		return record{}, "", err
	}
	return rec, makeDir, errors.Join(os.WriteFile(staged.bundleSpec(), bundle, 0o600), writeJSON(staged.record(), rec))
}

func isDir(files tree, name string) bool {
	info, err := files.stat(name)
	return err == nil && info.IsDir()
}

// starter is the process of steps 3 to 6.
type starter struct {
	cmd  *exec.Cmd
	gate *os.File
	// done is closed when it has ended; err is set by then.
	done chan struct{}
	err  error
}

func (m *machine) newStarter(
	ctx context.Context, d remoteDir, rec record, makeDir string, start []string,
) (*starter, error) {
	gateReader, gate, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = gateReader.Close() }()
	// The sandbox's first process holds both ends of this pipe as its input and output, and so can read for ever without
	// anything outside being open.
	in, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, gate.Close())
	}
	defer func() { _, _ = in.Close(), out.Close() }()
	args := append([]string{"-c", startScript, "starter", string(d), makeDir,
		fmt.Sprintf("%d:%d", rec.User.UID, rec.User.GID), m.runsc.program, d.id(), m.keepLine(d, rec)}, start...)
	// No context ends it: it must outlive this process.
	cmd := newCommand(context.WithoutCancel(ctx), hostShell, args...)
	cmd.Stdin, cmd.Stdout = in, out
	cmd.ExtraFiles = []*os.File{gateReader}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, gate.Close())
	}
	if err := raiseLoopback(cmd.Process.Pid); err != nil {
		// It finds nothing in its name, and ends.
		return nil, errors.Join(fmt.Errorf("making its network: %w", err), gate.Close(), cmd.Wait())
	}
	s := &starter{cmd: cmd, gate: gate, done: make(chan struct{})}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

// publish does steps 4 and 5. When it fails, the starter finds nothing in its name, and ends.
func (s *starter) publish(staged *stage, d remoteDir) error {
	pid := []byte(strconv.Itoa(s.cmd.Process.Pid) + "\n")
	err := os.WriteFile(remoteDir(staged.path).starter(), pid, 0o600)
	if err == nil {
		err = staged.publish(string(d))
	}
	closeErr := s.gate.Close()
	if err != nil {
		<-s.done
		return errors.Join(err, staged.discard())
	}
	return closeErr
}

// wait returns when the starter has ended, or kills it when ctx ends first.
func (s *starter) wait(ctx context.Context) error {
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.done
		return ctx.Err()
	}
}

// abandon removes a remote that did not start, and says why it did not.
func (m *machine) abandon(ctx context.Context, d remoteDir, rec record, s *starter, cause error) error {
	reason := m.startError(d, rec, s, cause)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err := m.destroy(ctx, d); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return backends.Errorf(backends.Ambiguous, Name, operationCreate, "%w; removing what was made of it failed, too: %w", reason, err)
	}
	return reason
}

func (m *machine) startError(d remoteDir, rec record, s *starter, cause error) error {
	if errors.Is(cause, context.DeadlineExceeded) || errors.Is(cause, context.Canceled) {
		return unavailable("the sandbox did not start in time: %w", cause)
	}
	if s.cmd.ProcessState.ExitCode() == exitNoWorkDir {
		return backends.Errorf(backends.Invalid, Name, operationCreate,
			"the working directory %q can't be made in this root filesystem; choose another", rec.WorkingDir)
	}
	log, _ := os.ReadFile(d.startLog())
	said := d.redact(lastLogged(log))
	switch {
	case strings.Contains(said, "failed to load /bin/sh"):
		return backends.Errorf(backends.Invalid, Name, operationCreate,
			"/bin/sh of the image can't be started: its loader or a library is missing, or it is made for another kind of processor")
	case said == "":
		return ofRequest(unavailable("the sandbox did not start: %w", cause))
	case rec.Cgroup != "" && strings.Contains(said, "cgroup"):
		return unavailable("the sandbox did not start, for its limits can't be enforced on this machine (%s); "+
			"give the operator write access to %s, or leave out cpu and memory in the sandbox's resources", said, cgroupMount)
	}
	return ofRequest(unavailable("the sandbox did not start: %s", said))
}

// ofRequest marks an error that says nothing about other sandboxes.
func ofRequest(err error) error {
	if e, ok := errors.AsType[*backends.Error](err); ok {
		e.OfRequest = true
	}
	return err
}
