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
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sys/unix"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// An unpacked image is images/DIGEST/ with the directory rootfs/ and this beside it.
type imageRecord struct {
	Env        []string `json:"env,omitempty"`
	WorkingDir string   `json:"workingDir,omitempty"`
	User       identity `json:"user"`
}

const (
	imageRecordFile = "image.json"
	imageRootfs     = "rootfs"
	// pullPoll is how often one that waits for another's pull of the same image looks.
	pullPoll = 50 * time.Millisecond
)

// errUnfit marks what is wrong with an image itself: no retry will change it.
var errUnfit = errors.New("")

func unfit(format string, args ...any) error {
	return fmt.Errorf("%w"+format, append([]any{errUnfit}, args...)...)
}

// image returns the root filesystem of an OCI image, which it pulls and unpacks where it is not there yet. A reference with a
// digest that is there needs no network; a tag is looked up each time. Nobody's credentials are used: what a sandbox's
// author may see must not depend on what the operator's own login may.
func (m *machine) image(ctx context.Context, reference string) (rootfs, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return rootfs{}, backends.Errorf(backends.Invalid, Name, operationCreate,
			"%q is no image reference: write it as registry/repository:tag or registry/repository@digest", backends.Bounded(reference, 256))
	}
	client := m.newPuller(ref.Context().RegistryStr())
	defer client.close()
	resolved, err := client.resolve(ctx, ref)
	if err != nil {
		return rootfs{}, pullError(ctx, reference, err)
	}
	found, err := m.store.unpacked(ctx, client, resolved)
	if err != nil {
		return rootfs{}, pullError(ctx, reference, err)
	}
	return found, nil
}

// unpacked returns the image from the store. Those who want the same image at the same time, in this process or others, wait
// for the first to unpack it.
func (s store) unpacked(ctx context.Context, client *puller, ref name.Digest) (rootfs, error) {
	place := filepath.Join(s.root, imagesDir, strings.ReplaceAll(ref.DigestStr(), ":", "-"))
	if found, err := loadImage(place, ref); !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	lock, err := lockFile(ctx, place+".lock")
	if err != nil {
		return rootfs{}, err
	}
	defer func() { _ = lock.Close() }()
	if found, err := loadImage(place, ref); !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	if err := s.unpackTo(ctx, client, ref, place); err != nil {
		return rootfs{}, err
	}
	return loadImage(place, ref)
}

func loadImage(place string, ref name.Digest) (rootfs, error) {
	data, err := os.ReadFile(filepath.Join(place, imageRecordFile))
	if err != nil {
		return rootfs{}, err
	}
	var r imageRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return rootfs{}, err
	}
	return rootfs{
		dir: filepath.Join(place, imageRootfs), image: ref.String(),
		env: r.Env, workingDir: r.WorkingDir, user: r.User,
	}, nil
}

// lockFile takes the lock that excludes other processes and other calls of this one; closing it gives it up.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	ticker := time.NewTicker(pullPoll)
	defer ticker.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(err, file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-ticker.C:
		}
	}
}

func (s store) unpackTo(ctx context.Context, client *puller, ref name.Digest, place string) error {
	staged, err := s.newStage()
	if err != nil {
		return err
	}
	if err := unpackStaged(ctx, client, ref, staged.path); err != nil {
		return errors.Join(err, staged.discard())
	}
	if err := staged.publish(place); err != nil {
		return errors.Join(err, staged.discard())
	}
	return nil
}

func unpackStaged(ctx context.Context, client *puller, ref name.Digest, dir string) error {
	image, err := remote.Image(ref, client.options(ctx)...)
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	if config.OS != "" && config.OS != "linux" || config.Architecture != "" && config.Architecture != runtime.GOARCH {
		return unfit("it is for %s/%s, and this machine needs linux/%s", config.OS, config.Architecture, runtime.GOARCH)
	}
	root := filepath.Join(dir, imageRootfs)
	if err := makeOpenDir(root); err != nil {
		return err
	}
	files, err := openTree(root)
	if err != nil {
		return err
	}
	defer func() { _ = files.Close() }()
	if err := unpackLayers(ctx, image, files); err != nil {
		return err
	}
	described, err := describeImage(files, config.Config)
	if err != nil {
		return err
	}
	if err := files.prepare(); err != nil {
		return unfit("its root filesystem lacks what a sandbox needs: %w", err)
	}
	if err := writeJSON(filepath.Join(dir, imageRecordFile), described); err != nil {
		return err
	}
	return syncFilesystem(root)
}

// describeImage takes from the image's configuration what commands need, and checks that they can run in it at all.
func describeImage(files tree, config v1.Config) (imageRecord, error) {
	if !files.isExecutable(sandboxShell) {
		return imageRecord{}, unfit("it has no %s, which the sandbox's first process and the file operations need; "+
			"use an image with a shell", sandboxShell)
	}
	described := imageRecord{Env: config.Env, WorkingDir: config.WorkingDir}
	if config.User == "" {
		return described, nil
	}
	var err error
	described.User, err = findUser(files, config.User)
	switch {
	case err != nil && !errors.Is(err, errUnknownUser):
		return imageRecord{}, err
	case err != nil:
		return imageRecord{}, unfit("its configured user can't be used: %w", err)
	}
	return described, nil
}

// syncFilesystem brings everything to disk before the image is published: a power cut must not leave a whole-looking image
// with empty files.
func syncFilesystem(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close())
}
