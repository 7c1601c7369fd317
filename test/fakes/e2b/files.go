// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sandbox-operator/sandbox-operator/internal/backends/e2b/envd"
)

// entry describes a file as envd does: of a link it tells the type and mode of what it leads to, and the target.
func (m *machine) entry(name string) (*envd.EntryInfo, error) {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fileError(connect.CodeNotFound, "file not found: %w", err)
	}
	if err != nil {
		return nil, fileError(connect.CodeInternal, "error getting file info: %w", err)
	}
	entry := &envd.EntryInfo{
		Name: info.Name(), Path: name, Size: info.Size(), Mode: uint32(info.Mode().Perm()), Type: typeOf(info.Mode()),
		Permissions: info.Mode().String(), ModifiedTime: timestamppb.New(info.ModTime()),
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		entry.Owner, entry.Group = m.nameOf(stat.Uid), strconv.Itoa(int(stat.Gid))
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return entry, nil
	}
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		target = name
	}
	entry.SymlinkTarget, entry.Type, entry.Mode = &target, envd.FileType_FILE_TYPE_UNSPECIFIED, 0
	if led, err := os.Stat(target); err == nil {
		entry.Type, entry.Mode = typeOf(led.Mode()), uint32(led.Mode().Perm())
	}
	return entry, nil
}

func typeOf(mode fs.FileMode) envd.FileType {
	switch {
	case mode.IsRegular():
		return envd.FileType_FILE_TYPE_FILE
	case mode.IsDir():
		return envd.FileType_FILE_TYPE_DIRECTORY
	}
	return envd.FileType_FILE_TYPE_UNSPECIFIED
}

// within runs a file operation in the sandbox, with a path resolved for the user of the call.
func within[Response any](
	ctx context.Context, name string, do func(m *machine, user account, name string) (*Response, error),
) (response *Response, err error) {
	m, err := machineOf(ctx)
	if err != nil {
		return nil, err
	}
	user := userOf(ctx)
	err = m.inside(func() error {
		response, err = do(m, user, user.resolve(name))
		return err
	})
	return response, err
}

func (c *Cloud) stat(ctx context.Context, request *envd.StatRequest) (*envd.StatResponse, error) {
	return within(ctx, request.GetPath(), func(m *machine, _ account, name string) (*envd.StatResponse, error) {
		entry, err := m.entry(name)
		return &envd.StatResponse{Entry: entry}, err
	})
}

func (c *Cloud) listDir(ctx context.Context, request *envd.ListDirRequest) (*envd.ListDirResponse, error) {
	depth := max(int(request.GetDepth()), 1)
	return within(ctx, request.GetPath(), func(m *machine, _ account, name string) (*envd.ListDirResponse, error) {
		resolved, err := filepath.EvalSymlinks(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fileError(connect.CodeNotFound, "path not found: %w", err)
		}
		if err != nil {
			return nil, fileError(connect.CodeInternal, "error resolving symlink: %w", err)
		}
		if info, err := os.Stat(resolved); err != nil || !info.IsDir() {
			return nil, fileError(connect.CodeInvalidArgument, "path is not a directory: %s", resolved)
		}
		list := &envd.ListDirResponse{}
		return list, m.walk(resolved, name, depth, list)
	})
}

// walk lists a directory, and those below it to some depth.
func (m *machine) walk(dir, shown string, depth int, list *envd.ListDirResponse) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fileError(connect.CodeInternal, "error reading directory %s: %w", dir, err)
	}
	for _, found := range entries {
		entry, err := m.entry(path.Join(dir, found.Name()))
		if err != nil {
			continue // it has vanished
		}
		entry.Path = path.Join(shown, found.Name())
		list.Entries = append(list.Entries, entry)
		if depth > 1 && found.IsDir() {
			if err := m.walk(path.Join(dir, found.Name()), entry.GetPath(), depth-1, list); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cloud) makeDir(ctx context.Context, request *envd.MakeDirRequest) (*envd.MakeDirResponse, error) {
	return within(ctx, request.GetPath(), func(m *machine, user account, name string) (*envd.MakeDirResponse, error) {
		info, err := os.Stat(name)
		switch {
		case err == nil && info.IsDir():
			return nil, fileError(connect.CodeAlreadyExists, "directory already exists: %s", name)
		case err == nil:
			return nil, fileError(connect.CodeInvalidArgument, "path already exists but it is not a directory: %s", name)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fileError(connect.CodeInternal, "error getting file info: %w", err)
		}
		if err := ensureDirs(name, user); err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
		entry, err := m.entry(name)
		return &envd.MakeDirResponse{Entry: entry}, err
	})
}

// ensureDirs makes a directory with its parents; those that it makes are the user's.
func ensureDirs(name string, user account) error {
	if name == "/" {
		return nil
	}
	if err := ensureDirs(path.Dir(name), user); err != nil {
		return err
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("path is a file: %s", name)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("failed to stat directory: %w", err)
	}
	if err := os.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("failed to create directory: %w", err)
	}
	// The process's umask is not envd's.
	return errors.Join(os.Chmod(name, 0o755), os.Chown(name, user.uid, user.gid)) //nolint:gosec // as envd makes them
}

func (c *Cloud) move(ctx context.Context, request *envd.MoveRequest) (*envd.MoveResponse, error) {
	return within(ctx, request.GetSource(), func(m *machine, user account, source string) (*envd.MoveResponse, error) {
		destination := user.resolve(request.GetDestination())
		if err := ensureDirs(path.Dir(destination), user); err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
		err := os.Rename(source, destination)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fileError(connect.CodeNotFound, "source file not found: %w", err)
		}
		if err != nil {
			return nil, fileError(connect.CodeInternal, "error renaming: %w", err)
		}
		entry, err := m.entry(destination)
		return &envd.MoveResponse{Entry: entry}, err
	})
}

func (c *Cloud) remove(ctx context.Context, request *envd.RemoveRequest) (*envd.RemoveResponse, error) {
	return within(ctx, request.GetPath(), func(_ *machine, _ account, name string) (*envd.RemoveResponse, error) {
		if err := os.RemoveAll(name); err != nil {
			return nil, fileError(connect.CodeInternal, "error removing file or directory: %w", err)
		}
		return &envd.RemoveResponse{}, nil
	})
}

// fileCall checks what downloads and uploads have in common.
func (c *Cloud) fileCall(w http.ResponseWriter, r *http.Request, operation string) (*machine, account, bool) {
	s := sandboxOf(r.Context())
	if !s.signed(r, operation) {
		writeError(w, http.StatusUnauthorized, "invalid signature")
		return nil, account{}, false
	}
	m, err := s.running()
	if err != nil {
		writeError(w, http.StatusInternalServerError, err.Error())
		return nil, account{}, false
	}
	name := r.URL.Query().Get("username")
	if name == "" {
		name = usualUser
	}
	c.log(r.Method + " /files " + r.URL.Query().Get("path"))
	user, err := m.user(name)
	if err != nil {
		writeError(w, http.StatusUnauthorized, fmt.Sprintf("error looking up user '%s': %v", name, err))
		return nil, account{}, false
	}
	return m, user, true
}

func (c *Cloud) download(w http.ResponseWriter, r *http.Request) {
	m, user, ok := c.fileCall(w, r, "read")
	if !ok {
		return
	}
	name := user.resolve(r.URL.Query().Get("path"))
	var file *os.File
	var info fs.FileInfo
	err := m.inside(func() (err error) {
		if info, err = os.Stat(name); err == nil && !info.IsDir() {
			file, err = os.Open(name)
		}
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		writeError(w, http.StatusNotFound, fmt.Sprintf("path '%s' does not exist", name))
	case err != nil:
		writeError(w, http.StatusInternalServerError, fmt.Sprintf("error checking if path exists '%s': %v", name, err))
	case file == nil:
		writeError(w, http.StatusBadRequest, fmt.Sprintf("path '%s' is a directory", name))
	default:
		defer func() { _ = file.Close() }()
		w.Header().Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": path.Base(name)}))
		http.ServeContent(w, r, name, info.ModTime(), file)
	}
}

// uploaded is what the answer to an upload says of each file.
type uploaded struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Type string `json:"type"`
}

func (c *Cloud) upload(w http.ResponseWriter, r *http.Request) {
	m, user, ok := c.fileCall(w, r, "write")
	if !ok {
		return
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var written []uploaded
	var status int
	var err error
	name := r.URL.Query().Get("path")
	switch {
	case kind == "application/octet-stream" && name == "":
		status, err = http.StatusBadRequest, errors.New("path query parameter is required for raw body upload")
	case kind == "application/octet-stream":
		written, status, err = m.writeFile(written, user, name, r.Body)
	case strings.HasPrefix(kind, "multipart/"):
		written, status, err = m.saveParts(user, name, r)
	default:
		status, err = http.StatusBadRequest, fmt.Errorf("unsupported content type: %s", kind)
	}
	if err != nil {
		writeError(w, status, err.Error())
		return
	}
	// envd writes JSON without saying so.
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	lines := make([]string, 0, len(written))
	for _, u := range written {
		lines = append(lines, fmt.Sprintf(`{"name":%q,"path":%q,"type":%q}`, u.Name, u.Path, u.Type))
	}
	_, _ = io.WriteString(w, "["+strings.Join(lines, ",")+"]")
}

func (m *machine) saveParts(user account, name string, r *http.Request) (written []uploaded, status int, err error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, http.StatusInternalServerError, err
	}
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return written, http.StatusOK, nil
		}
		if err != nil {
			return nil, http.StatusInternalServerError, err
		}
		if part.FormName() != "file" {
			continue
		}
		to := name
		if to == "" {
			// Part.FileName would leave out the directory.
			_, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
			to = params["filename"]
		}
		if written, status, err = m.writeFile(written, user, to, part); err != nil {
			return nil, status, err
		}
	}
}

// writeFile writes one file in place, as envd does, and adds it to those that were written.
func (m *machine) writeFile(before []uploaded, user account, name string, content io.Reader) ([]uploaded, int, error) {
	name = user.resolve(name)
	var file *os.File
	status := http.StatusInternalServerError
	err := m.inside(func() (err error) {
		if err := ensureDirs(path.Dir(name), user); err != nil {
			return fmt.Errorf("error ensuring directories: %w", err)
		}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			status = http.StatusBadRequest
			return fmt.Errorf("path is a directory: %s", name)
		}
		if file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); err != nil { //nolint:gosec // as envd makes them
			return fmt.Errorf("error opening file: %w", err)
		}
		return file.Chown(user.uid, user.gid)
	})
	if err != nil {
		return before, status, err
	}
	_, err = io.Copy(file, content)
	if err = errors.Join(err, file.Close()); errors.Is(err, syscall.ENOSPC) {
		return before, http.StatusInsufficientStorage, errors.New("not enough disk space available")
	}
	if err != nil {
		return before, http.StatusInternalServerError, fmt.Errorf("error writing file: %w", err)
	}
	return slices.Concat(before, []uploaded{{Name: path.Base(name), Path: name, Type: "file"}}), http.StatusOK, nil
}
