// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// machine is where the commands of one sandbox run: a mount and PID namespace. Its root directory shows this machine's files;
// what is changed goes to memory, and vanishes with it. Home, root's home, /tmp and /run begin empty.
type machine struct {
	// init is the first process. It ends when its input does, which is also when this process is killed.
	init  *exec.Cmd
	input io.WriteCloser
	dir   string
	// mounts and pids are the namespaces.
	mounts, pids *os.File
}

// initScript makes the namespace's root directory at $DIR/root. What a snapshot saves is in $DIR/state.
const initScript = `set -e
umask 022
mount --make-rprivate /
mount -t tmpfs -o mode=755 sandbox "$DIR"
cd "$DIR"
mkdir work root
if [ -n "$FROM" ]; then
	cp -a "$FROM" state
else
	mkdir -p state/upper/home/user state/upper/root state/upper/run state/upper/tmp
	chmod 1777 state/upper/tmp
	chmod 700 state/upper/root
	chown 1000:1000 state/upper/home/user
	mkdir state/upper/etc
	{ echo 'user:x:1000:1000::/home/user:/bin/bash'; grep -v '^user:' /etc/passwd; } >state/upper/etc/passwd
	{ echo 'user:x:1000:'; grep -v '^user:' /etc/group; } >state/upper/etc/group
fi
echo ready
read -r _
mount -t overlay overlay -o "lowerdir=/,upperdir=$DIR/state/upper,workdir=$DIR/work" root
mount --rbind /dev root/dev
mount --rbind /sys root/sys
mount -t proc proc root/proc
echo ready
exec >/dev/null
while read -r _; do :; done`

// empty are the directories that show nothing of this machine's.
var empty = []string{"home", "root", "run", "tmp"}

// newMachine starts one, with the files of a snapshot where one is given.
func newMachine(snapshot string) (m *machine, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the fake E2B runs commands as root only: it needs mount and PID namespaces")
	}
	m = &machine{}
	if m.dir, err = os.MkdirTemp("", "e2b-machine-"); err != nil {
		return nil, err
	}
	m.init = exec.Command("/bin/sh", "-c", initScript) //nolint:noctx // close ends it
	m.init.Env = []string{"PATH=" + usualPath, "DIR=" + m.dir, "FROM=" + snapshot}
	m.init.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Setsid: true}
	var said bytes.Buffer
	m.init.Stderr = &said
	output, outputErr := m.init.StdoutPipe()
	input, inputErr := m.init.StdinPipe()
	m.input = input
	if err := errors.Join(outputErr, inputErr, m.init.Start()); err != nil {
		return nil, errors.Join(err, os.Remove(m.dir))
	}
	if err := m.mount(bufio.NewReader(output)); err != nil {
		_ = m.init.Process.Kill()
		_ = m.init.Wait()
		return nil, errors.Join(fmt.Errorf("making a sandbox: %w: %s", err, said.String()), os.Remove(m.dir))
	}
	own := fmt.Sprintf("/proc/%d/ns/", m.init.Process.Pid)
	var mountsErr, pidsErr error
	m.mounts, mountsErr = os.Open(own + "mnt")
	m.pids, pidsErr = os.Open(own + "pid")
	if err := errors.Join(mountsErr, pidsErr); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// mount lets the first process go on, once the directories are marked that nothing of this machine's shall show through.
func (m *machine) mount(output *bufio.Reader) error {
	if line, err := output.ReadString('\n'); line != "ready\n" {
		return err
	}
	for _, name := range empty {
		if err := unix.Setxattr(filepath.Join(m.state(), "upper", name), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(m.input, "\n"); err != nil {
		return err
	}
	line, err := output.ReadString('\n')
	if line == "ready\n" {
		return nil
	}
	return err
}

// state is where what was changed is found from outside.
func (m *machine) state() string {
	return fmt.Sprintf("/proc/%d/root%s/state", m.init.Process.Pid, m.dir)
}

// close kills all processes, and with them goes what they wrote.
func (m *machine) close() {
	_ = m.init.Process.Kill()
	_ = m.init.Wait()
	for _, file := range []io.Closer{m.input, m.mounts, m.pids} {
		_ = file.Close()
	}
	_ = os.Remove(m.dir)
}

// inside does something in the sandbox's mount namespace.
func (m *machine) inside(do func() error) error { return m.enter(false, do) }

// start starts a command as one of the sandbox's processes.
func (m *machine) start(cmd *exec.Cmd) error { return m.enter(true, cmd.Start) }

// enter has a thread join the sandbox for the time. It comes back, and does not end: whatever it started before with a signal
// for its own death would be killed.
func (m *machine) enter(processes bool, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := outside()
		if err != nil {
			done <- err
			return
		}
		if err = m.join(processes); err == nil {
			err = do()
		} else {
			err = fmt.Errorf("entering the sandbox: %w", err)
		}
		if home.comeBack() == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// home is where a thread was.
type home struct {
	mounts, pids *os.File
	dir          string
}

func outside() (h home, err error) {
	mounts, mountsErr := os.Open("/proc/thread-self/ns/mnt")
	pids, pidsErr := os.Open("/proc/thread-self/ns/pid")
	dir, dirErr := os.Getwd()
	return home{mounts, pids, dir}, errors.Join(mountsErr, pidsErr, dirErr)
}

func (h home) comeBack() error {
	return errors.Join(
		unix.Setns(int(h.mounts.Fd()), unix.CLONE_NEWNS), unix.Setns(int(h.pids.Fd()), unix.CLONE_NEWPID), unix.Chdir(h.dir),
		h.mounts.Close(), h.pids.Close())
}

func (m *machine) join(processes bool) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Setns(int(m.mounts.Fd()), unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := errors.Join(unix.Chroot(filepath.Join(m.dir, "root")), unix.Chdir("/")); err != nil {
		return err
	}
	if !processes {
		return nil
	}
	return unix.Setns(int(m.pids.Fd()), unix.CLONE_NEWPID)
}

// runAs makes a command the user's, in a session of its own.
func (m *machine) runAs(cmd *exec.Cmd, user account) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true, Credential: &syscall.Credential{Uid: uint32(user.uid), Gid: uint32(user.gid), Groups: []uint32{uint32(user.gid)}},
	}
}

// workingDir resolves the directory of a command, and says if there is none.
func (m *machine) workingDir(user account, dir string) (string, error) {
	dir = user.resolve(dir)
	err := m.inside(func() error {
		_, err := os.Stat(dir)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cwd '%s' does not exist", dir)
	}
	return dir, nil
}

// user finds an account in the sandbox's own list.
func (m *machine) user(name string) (account, error) {
	return m.account(func(a account) bool { return a.name == name })
}

// nameOf is the name of a user ID. It is called inside.
func (m *machine) nameOf(uid uint32) string {
	if a, err := findAccount(func(a account) bool { return a.uid == int(uid) }); err == nil {
		return a.name
	}
	return strconv.Itoa(int(uid))
}

func (m *machine) account(wanted func(account) bool) (found account, err error) {
	err = m.inside(func() (err error) {
		found, err = findAccount(wanted)
		return err
	})
	return found, err
}

func findAccount(wanted func(account) bool) (account, error) {
	content, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return account{}, err
	}
	for line := range strings.Lines(string(content)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 7 {
			continue
		}
		uid, uidErr := strconv.Atoi(fields[2])
		gid, gidErr := strconv.Atoi(fields[3])
		if a := (account{fields[0], uid, gid, fields[5]}); uidErr == nil && gidErr == nil && wanted(a) {
			return a, nil
		}
	}
	return account{}, errors.New("unknown user")
}

// save copies all that was changed.
func (m *machine) save(to string) error {
	if output, err := exec.Command("cp", "-a", m.state(), to).CombinedOutput(); err != nil { //nolint:noctx // it is short
		return fmt.Errorf("saving a snapshot: %w: %s", err, output)
	}
	return nil
}

func (m *machine) freeze() { m.signal(syscall.SIGSTOP) }

func (m *machine) thaw() { m.signal(syscall.SIGCONT) }

// signal signals all processes but the first, until there are no new ones.
func (m *machine) signal(signal syscall.Signal) {
	own, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", m.pids.Fd()))
	if err != nil {
		return
	}
	seen := map[int]bool{m.init.Process.Pid: true}
	for found := true; found; {
		found = false
		links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
		for _, link := range links {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			if of, err := os.Readlink(link); err == nil && of == own && !seen[pid] {
				seen[pid], found = true, true
				_ = syscall.Kill(pid, signal)
			}
		}
	}
}
