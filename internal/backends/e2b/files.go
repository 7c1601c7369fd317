// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"syscall"

	"connectrpc.com/connect"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/e2b/envd"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

// envd handles files as root, and gives those that it makes to the sandbox's user.

const (
	operationRead    = "read file"
	operationWrite   = "write file"
	operationMakeDir = "make directory"
	operationReadDir = "read directory"
	operationStat    = "stat"
	operationRemove  = "remove"
)

// fileCall is a call of envd's file system.
func fileCall[Request, Response any](
	ctx context.Context, b *backend, p place, operation, method string, effect bool, message *Request,
) (*Response, error) {
	return invoke[Request, Response](ctx, b, p,
		invocation{operation: operation, procedure: "/filesystem.Filesystem/" + method, user: p.user, effect: effect}, message)
}

func pathError(operation, name string, err error) error {
	return &fs.PathError{Op: operation, Path: name, Err: err}
}

// fileError tells what is wrong with a file from what is wrong with the call. Envd has a code for some of it, and for the rest the
// words of the system call.
func fileError(operation, name string, err, below error) error {
	e, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return err
	}
	switch words := e.Message(); {
	case e.Code() == connect.CodeNotFound:
		return pathError(operation, name, fs.ErrNotExist)
	case strings.Contains(words, "path is not a directory"):
		return pathError(operation, name, syscall.ENOTDIR)
	case strings.Contains(words, "it is not a directory"), strings.Contains(words, "path is a file"):
		return pathError(operation, name, fs.ErrExist)
	case strings.HasSuffix(words, "not a directory"):
		return pathError(operation, name, below)
	case strings.HasSuffix(words, "permission denied"), strings.HasSuffix(words, "read-only file system"),
		strings.HasSuffix(words, "operation not permitted"):
		return pathError(operation, name, fs.ErrPermission)
	}
	return err
}

// Stat implements backends.Stater.
func (b *backend) Stat(ctx context.Context, id, name string) (backends.FileInfo, error) {
	return enter(ctx, b, operationStat, id, func(p place) (backends.FileInfo, error) {
		entry, err := b.entry(ctx, p, operationStat, name)
		if err != nil {
			return backends.FileInfo{}, err
		}
		return infoOf(entry), nil
	})
}

func (b *backend) entry(ctx context.Context, p place, operation, name string) (*envd.EntryInfo, error) {
	answer, err := fileCall[envd.StatRequest, envd.StatResponse](ctx, b, p, operation, "Stat", false, &envd.StatRequest{Path: name})
	if err != nil {
		return nil, fileError(operation, name, err, fs.ErrNotExist)
	}
	return answer.GetEntry(), nil
}

// infoOf describes a file. Of a link envd tells the type and mode of what it leads to, beside the target.
func infoOf(entry *envd.EntryInfo) backends.FileInfo {
	info := backends.FileInfo{
		Name: entry.GetName(), Size: entry.GetSize(), Mode: fs.FileMode(entry.GetMode()) & fs.ModePerm,
		ModTime: entry.GetModifiedTime().AsTime(),
	}
	switch {
	case entry.SymlinkTarget != nil:
		info.Mode = fs.ModeSymlink | fs.ModePerm
	case entry.GetType() == envd.FileType_FILE_TYPE_DIRECTORY:
		info.Mode |= fs.ModeDir
		info.Size = 0
	case entry.GetType() != envd.FileType_FILE_TYPE_FILE:
		info.Mode |= irregular(entry.GetPermissions())
	}
	return info
}

// irregular reads the type out of the text of a mode, which Go's fs.FileMode made.
func irregular(permissions string) fs.FileMode {
	for letter, mode := range map[string]fs.FileMode{
		"p": fs.ModeNamedPipe, "S": fs.ModeSocket, "Dc": fs.ModeDevice | fs.ModeCharDevice,
	} {
		if strings.HasPrefix(permissions, letter) {
			return mode
		}
	}
	if strings.HasPrefix(permissions, "D") {
		return fs.ModeDevice
	}
	return fs.ModeIrregular
}

// ReadDir implements backends.DirReader.
func (b *backend) ReadDir(ctx context.Context, id, name string) ([]backends.FileInfo, error) {
	return enter(ctx, b, operationReadDir, id, func(p place) ([]backends.FileInfo, error) {
		answer, err := fileCall[envd.ListDirRequest, envd.ListDirResponse](
			ctx, b, p, operationReadDir, "ListDir", false, &envd.ListDirRequest{Path: name, Depth: 1})
		if err != nil {
			return nil, fileError(operationReadDir, name, err, fs.ErrNotExist)
		}
		var infos []backends.FileInfo
		for _, entry := range answer.GetEntries() {
			infos = append(infos, infoOf(entry))
		}
		slices.SortFunc(infos, func(a, b backends.FileInfo) int { return strings.Compare(a.Name, b.Name) })
		return infos, nil
	})
}

// MakeDir implements backends.DirMaker.
func (b *backend) MakeDir(ctx context.Context, id, name string) error {
	_, err := enter(ctx, b, operationMakeDir, id, func(p place) (struct{}, error) {
		_, err := fileCall[envd.MakeDirRequest, envd.MakeDirResponse](
			ctx, b, p, operationMakeDir, "MakeDir", true, &envd.MakeDirRequest{Path: name})
		if e, ok := errors.AsType[*connect.Error](err); ok && e.Code() == connect.CodeAlreadyExists {
			return struct{}{}, nil
		}
		return struct{}{}, fileError(operationMakeDir, name, err, fs.ErrExist)
	})
	return err
}

// Remove implements backends.Remover. Envd removes what does not exist without a word, so it is looked for before.
func (b *backend) Remove(ctx context.Context, id, name string) error {
	_, err := enter(ctx, b, operationRemove, id, func(p place) (struct{}, error) {
		if _, err := b.entry(ctx, p, operationRemove, name); err != nil {
			return struct{}{}, err
		}
		_, err := fileCall[envd.RemoveRequest, envd.RemoveResponse](
			ctx, b, p, operationRemove, "Remove", true, &envd.RemoveRequest{Path: name})
		return struct{}{}, fileError(operationRemove, name, err, fs.ErrNotExist)
	})
	return err
}

// ReadFile implements backends.FileReader. What it is is asked for first: opening a FIFO would never end.
func (b *backend) ReadFile(ctx context.Context, id, name string, limit int64) ([]byte, error) {
	if limit <= 0 {
		limit = backends.DefaultOutputLimit
	}
	content, err := enter(ctx, b, operationRead, id, func(p place) ([]byte, error) {
		entry, err := b.entry(ctx, p, operationRead, name)
		if err != nil {
			return nil, err
		}
		link := entry.SymlinkTarget != nil
		switch {
		case entry.GetType() == envd.FileType_FILE_TYPE_DIRECTORY:
			return nil, pathError(operationRead, name, syscall.EISDIR)
		case entry.GetType() != envd.FileType_FILE_TYPE_FILE && link:
			// It leads nowhere, or to what is no file: a shell finds out which.
			return nil, errByCommand
		case entry.GetType() != envd.FileType_FILE_TYPE_FILE:
			return nil, pathError(operationRead, name, fs.ErrInvalid)
		case !link && entry.GetSize() > limit:
			return nil, pathError(operationRead, name, backends.ErrTooLarge)
		case !link && entry.GetSize() == 0:
			// Empty, or one of the kernel's, whose size is 0 whatever it has; envd then sends nothing.
			return nil, errByCommand
		}
		return b.download(ctx, p, name, limit)
	})
	if errors.Is(err, errByCommand) {
		return backends.ReadFileByCommand(ctx, b, id, name, limit)
	}
	return content, err
}

var errByCommand = errors.New("a shell must do it")

func (b *backend) filesURL(p place, name string) string {
	query := url.Values{"path": {name}}
	if p.user != "" {
		query.Set("username", p.user)
	}
	return b.options.daemon(p.id, p.domain) + "/files?" + query.Encode()
}

func (b *backend) download(ctx context.Context, p place, name string, limit int64) ([]byte, error) {
	header := p.header(daemonPort, "")
	header.Set("Accept-Encoding", "identity")
	answer, err := b.client.Call(ctx, web.Call{
		Operation: operationRead, Method: http.MethodGet, URL: b.filesURL(p, name), Header: header, Limit: max(limit, mostError),
	})
	switch {
	case err != nil && int64(len(answer.Body)) > limit:
		return nil, pathError(operationRead, name, backends.ErrTooLarge)
	case err != nil:
		return nil, err
	case !answer.OK():
		return nil, filesError(operationRead, name, answer, false)
	case int64(len(answer.Body)) > limit:
		return nil, pathError(operationRead, name, backends.ErrTooLarge)
	case len(answer.Body) == 0:
		// A link to one of the kernel's files.
		return nil, errByCommand
	}
	return answer.Body, nil
}

// filesError says what a failed download or upload means.
func filesError(operation, name string, answer web.Answer, effect bool) error {
	var said struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Sandbox string `json:"sandboxId"`
	}
	_ = json.Unmarshal(answer.Body, &said)
	words := said.Message
	switch {
	case said.Sandbox != "" || words == "":
	case answer.Status == http.StatusNotFound && strings.Contains(words, "does not exist"):
		return pathError(operation, name, fs.ErrNotExist)
	case answer.Status == http.StatusBadRequest && strings.HasSuffix(words, "is a directory"):
		return pathError(operation, name, syscall.EISDIR)
	case strings.Contains(words, "path is a directory"), strings.Contains(words, "path is a file"):
		return pathError(operation, name, fs.ErrExist)
	case strings.HasSuffix(words, "not a directory"):
		return pathError(operation, name, map[bool]error{true: fs.ErrExist, false: fs.ErrNotExist}[effect])
	case answer.Status == http.StatusInsufficientStorage:
		e := backends.Errorf(backends.Unavailable, Name, operation, "the sandbox's disk is full")
		e.OfRequest = true
		return e
	case answer.Status == http.StatusUnauthorized && strings.Contains(words, "looking up user"):
		return invalid(operation, "the sandbox has no such user")
	case answer.Status == http.StatusInternalServerError:
		e := backends.Errorf(backends.Unavailable, Name, operation, "%s", words)
		e.OfRequest = true
		return e
	}
	return hostError(operation, answer.Status, answer.Header, answer.Body, effect)
}

// finishScript puts a file in its place: TEMPORARY PATH MODE. With STREAM 1 its content comes on standard input, for what
// others in the sandbox must not read meanwhile.
const finishScript = `
fail() { code=$?; rm -f "$1"; exit "$code"; }
if [ "$4" = 1 ]; then
	chmod 0600 "$1" && cat >"$1" && [ "$(wc -c <"$1")" -eq "$5" ] || fail "$@"
fi
[ ! -d "$2" ] || { rm -f "$1"; exit 82; }
chmod "$3" "$1" && mv -f "$1" "$2" || fail "$@"`

const exitExist = 82

// WriteFile implements backends.FileWriter. Envd writes files in place, follows links, and gives all the same mode: so it writes
// beside, where it makes missing directories, and a shell moves the file into place. The content of a file that others may not
// read goes by way of the shell, to a file that is made before.
func (b *backend) WriteFile(ctx context.Context, id, name string, content []byte, mode fs.FileMode) error {
	if name == "/" {
		return pathError(operationWrite, name, fs.ErrExist)
	}
	_, err := enter(ctx, b, operationWrite, id, func(p place) (struct{}, error) {
		return struct{}{}, b.write(ctx, p, name, content, mode.Perm())
	})
	return err
}

func (b *backend) write(ctx context.Context, p place, name string, content []byte, mode fs.FileMode) error {
	temporary := path.Join(path.Dir(name), ".sandboxes.run-"+rand.Text())
	private := mode&0o077 == 0
	first, then, stream := content, []byte(nil), "0"
	if private {
		first, then, stream = nil, content, "1"
	}
	if err := b.upload(ctx, p, temporary, name, first); err != nil {
		return err
	}
	script := backends.Command{
		Argv: []string{"/bin/sh", "-c", finishScript, "sh", temporary, name, fmt.Sprintf("%04o", mode), stream, fmt.Sprint(len(then))},
		// Not the user's own directory, which may be missing.
		WorkingDir: "/", Stdin: then,
	}
	result, err := b.runAs(ctx, p, operationWrite, superuser, script)
	switch {
	case err != nil:
		return err
	case result.ExitCode == exitExist:
		return pathError(operationWrite, name, fs.ErrExist)
	case result.ExitCode != 0:
		e := backends.Errorf(backends.Unavailable, Name, operationWrite, "the file can't be put in its place: %s",
			backends.Bounded(string(result.Stderr), 200))
		e.OfRequest = true
		return e
	}
	return nil
}

// upload writes a file; errors name the one that it shall become.
func (b *backend) upload(ctx context.Context, p place, temporary, name string, content []byte) error {
	header := p.header(daemonPort, "")
	header.Set("Content-Type", "application/octet-stream")
	answer, err := b.client.Call(ctx, web.Call{
		Operation: operationWrite, Method: http.MethodPost, URL: b.filesURL(p, temporary), Header: header,
		Body: bytes.NewReader(content), Effect: true,
	})
	if err != nil {
		return err
	}
	if !answer.OK() {
		return filesError(operationWrite, name, answer, true)
	}
	return nil
}
