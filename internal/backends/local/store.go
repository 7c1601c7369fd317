// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

// store is the state directory:
//
//	sandboxes/ID/   one remote each (see remoteDir)
//	images/DIGEST/  unpacked images, shared by remotes and never changed
//	bases/KEY/      root filesystems for remotes without an image, shared and never changed
//	tmp/            what is being made or removed
//
// Everything is made under tmp/ and appears by rename, and goes by rename into tmp/ before it is removed. So whatever
// stands outside tmp/ is whole, and what a killed process left inside it is rubbish, which the next one sweeps.
type store struct {
	// root is absolute and free of symbolic links: two operators that spell it differently must agree on which processes
	// belong to it.
	root string
}

const (
	sandboxesDir = "sandboxes"
	imagesDir    = "images"
	basesDir     = "bases"
	tmpDir       = "tmp"
	// sweepAge is how old a thing under tmp/ must be before it counts as left behind: the lock that its maker holds is taken
	// a moment after it appears.
	sweepAge = time.Minute
)

// validID matches what CreateRequest.Name may be. IDs come from users too (adoption), and become file names.
var validID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func openStore(root string) (store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return store{}, err
	}
	for _, dir := range []string{root, filepath.Join(root, sandboxesDir), filepath.Join(root, imagesDir),
		filepath.Join(root, basesDir), filepath.Join(root, tmpDir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return store{}, err
		}
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return store{}, err
	}
	st := store{root: root}
	return st, st.sweep()
}

// remote returns the directory of a remote, which may not exist.
func (s store) remote(id string) remoteDir {
	return remoteDir(filepath.Join(s.root, sandboxesDir, id))
}

// tmp is where things are while they are made or removed.
func (s store) tmp() string { return filepath.Join(s.root, tmpDir) }

// check fails when the store itself is not there.
func (s store) check() error {
	_, err := os.Stat(filepath.Join(s.root, sandboxesDir))
	return err
}

// ids returns the IDs of all remotes.
func (s store) ids() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.root, sandboxesDir))
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(entries))
	for _, entry := range entries {
		if entry.IsDir() && validID.MatchString(entry.Name()) {
			ids = append(ids, entry.Name())
		}
	}
	return ids, nil
}

// stage is a directory under tmp/ whose lock keeps sweepers of other processes away.
type stage struct {
	path string
	lock *os.File
}

func (s store) newStage() (*stage, error) {
	path := filepath.Join(s.root, tmpDir, rand.Text())
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, err
	}
	return lockStage(path)
}

func lockStage(path string) (*stage, error) {
	lock, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return &stage{path: path, lock: lock}, nil
}

// discard removes the directory, where it still is, and gives up the lock. os.RemoveAll follows no links.
func (s *stage) discard() error {
	err := os.RemoveAll(s.path)
	return errors.Join(err, s.lock.Close())
}

// publish moves the staged directory to its place and gives up the lock; fs.ErrExist when something is there already.
func (s *stage) publish(place string) error {
	err := unix.Renameat2(unix.AT_FDCWD, s.path, unix.AT_FDCWD, place, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// Some file systems don't know the flag. A rename onto a directory that is not empty fails all the same.
		err = os.Rename(s.path, place)
	}
	if errors.Is(err, unix.ENOTEMPTY) {
		err = fs.ErrExist
	}
	if err != nil {
		return fmt.Errorf("putting it in place: %w", err)
	}
	// It is there now, whatever follows: an error would say that it is not. What a power cut may take away has no process either.
	_ = syncDir(filepath.Dir(place))
	_ = s.lock.Close()
	return nil
}

// retire makes a published directory disappear at once, and then removes it, with what others left to be removed. Where that
// fails the rest is rubbish for the next sweep.
func (s store) retire(place string) error {
	grave := filepath.Join(s.root, tmpDir, rand.Text())
	if err := os.Rename(place, grave); err != nil {
		return err
	}
	if dead, err := lockStage(grave); err == nil {
		_ = dead.discard()
	}
	_ = s.sweep()
	return nil
}

// sweep removes what processes that were killed left under tmp/.
func (s store) sweep() error {
	entries, err := os.ReadDir(filepath.Join(s.root, tmpDir))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) < sweepAge || !entry.IsDir() {
			continue
		}
		left, err := lockStage(filepath.Join(s.root, tmpDir, entry.Name()))
		if err != nil {
			continue // another process is at work on it, or has removed it
		}
		if err := left.discard(); err != nil {
			return err
		}
	}
	return nil
}

// makeOpenDir makes a directory that everyone in a sandbox may enter, whatever the umask is. On the machine the directories
// above it keep others out.
func makeOpenDir(path string) error {
	return errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, 0o755)) //nolint:gosec // see above
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// remoteDir is the directory of one remote. It is published with its record, bundle and starter's PID; the other files come
// while it starts.
type remoteDir string

func (d remoteDir) path(name string) string { return filepath.Join(string(d), name) }

// record is a recordFile: what this backend knows about the remote.
func (d remoteDir) record() string { return d.path("sandbox.json") }

// bundleSpec is the OCI runtime configuration.
func (d remoteDir) bundleSpec() string { return d.path("config.json") }

// work is the work directory, where it is kept on the machine.
func (d remoteDir) work() string { return d.path("work") }

// state is runsc's own state directory. Each remote has one of its own: runsc reads the whole directory in every call.
func (d remoteDir) state() string { return d.path("runsc") }

// starter has the PID of the process that starts the sandbox.
func (d remoteDir) starter() string { return d.path("starter.pid") }

// sentry has the PID of the sandbox's kernel, written by runsc.
func (d remoteDir) sentry() string { return d.path("sentry.pid") }

// ready appears when the sandbox has started.
func (d remoteDir) ready() string { return d.path("ready") }

// startLog has runsc's error messages from the start.
func (d remoteDir) startLog() string { return d.path("start.log") }

// lease has the time at which the keeper ends the remote; expired takes its place when the keeper begins with that.
func (d remoteDir) lease() string   { return d.path("lease") }
func (d remoteDir) expired() string { return d.path("expired") }

// keeper has the PID of the process that ends the remote when its lease is past.
func (d remoteDir) keeper() string { return d.path("keeper.pid") }

// ports has the ports of the machine on which relays listen for ports of the sandbox.
func (d remoteDir) ports() string { return d.path("ports.json") }

func (d remoteDir) id() string { return filepath.Base(string(d)) }

// record is what a remote's directory says about it, as JSON. Fields are only ever added.
type record struct {
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels,omitempty"`
	CreatedAt time.Time         `json:"createdAt"`
	// Image is the resolved reference; empty for the machine's own /usr.
	Image string `json:"image,omitempty"`
	// Env is what every command gets: the image's and the request's.
	Env        []string `json:"env,omitempty"`
	WorkingDir string   `json:"workingDir"`
	// WorkMounted says that WorkingDir is the directory work/ of the machine; otherwise it is part of the root filesystem.
	WorkMounted bool     `json:"workMounted"`
	User        identity `json:"user"`
	// Cgroup is the sandbox's path under each cgroup hierarchy; empty without limits.
	Cgroup string `json:"cgroup,omitempty"`
}

// writeJSON makes a file that is on disk when it returns: a remote must not be published with a record that a power cut could
// still empty.
func writeJSON(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// replaceFile puts a file in the place of another, whole or not at all. The directory must exist.
func replaceFile(path string, content []byte) error {
	temporary := path + "." + rand.Text()
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
	}
	return err
}

func readRecord(d remoteDir) (record, error) {
	var r record
	data, err := os.ReadFile(d.record())
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}
