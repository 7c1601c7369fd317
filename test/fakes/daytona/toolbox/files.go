// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package toolbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// downloadBoundary parts the files of a bulk download.
const downloadBoundary = "DAYTONA-FILE-BOUNDARY"

// fileError answers with a status alone, as version 0.190 does; the newest say more.
func (t *toolbox) fileError(w http.ResponseWriter, r *http.Request, err error) {
	status, code := http.StatusBadRequest, "BAD_REQUEST"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		status, code = http.StatusNotFound, "FILE_NOT_FOUND"
	case errors.Is(err, fs.ErrPermission):
		status, code = http.StatusForbidden, "FILE_ACCESS_DENIED"
	case errors.Is(err, fs.ErrExist):
		status, code = http.StatusConflict, "CONFLICT"
	}
	if !t.newest {
		w.WriteHeader(status)
		return
	}
	reply(w, status, map[string]any{
		"statusCode": status, "message": err.Error(), "code": code, "source": "DAYTONA_DAEMON", "path": r.URL.Path, "method": r.Method,
	})
}

// given is the path that a request names. Relative ones begin at the service's working directory.
func given(r *http.Request, name string) string { return r.URL.Query().Get(name) }

// write makes a file in place, and its parents.
func write(name string, content io.Reader) (int64, error) {
	if name == "" {
		return 0, errors.New("path is required")
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return 0, err
	}
	file, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	written, err := io.Copy(file, content)
	return written, errors.Join(err, file.Close())
}

func (t *toolbox) upload(w http.ResponseWriter, r *http.Request) {
	file, _, err := r.FormFile("file")
	if err != nil {
		t.fileError(w, r, err)
		return
	}
	defer func() { _ = file.Close() }()
	if _, err := write(given(r, "path"), file); err != nil {
		t.fileError(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// uploadNewest takes the content as it is, too.
func (t *toolbox) uploadNewest(w http.ResponseWriter, r *http.Request) {
	switch {
	case !t.newest:
		http.NotFound(w, r)
	case strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/"):
		t.upload(w, r)
	default:
		if _, err := write(given(r, "path"), r.Body); err != nil {
			t.fileError(w, r, err)
		}
	}
}

type uploaded struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

var uploadField = regexp.MustCompile(`^files\[(\d+)\]\.(path|file)$`)

// bulkUpload writes each file as it comes. The path of each comes before it.
func (t *toolbox) bulkUpload(w http.ResponseWriter, r *http.Request) {
	parts, err := r.MultipartReader()
	if err != nil {
		badRequest(w, r, err.Error())
		return
	}
	files, problems := []uploaded{}, []string{}
	paths := map[string]string{}
	for {
		part, err := parts.NextPart()
		if err != nil {
			break
		}
		field := uploadField.FindStringSubmatch(part.FormName())
		switch {
		case field == nil:
		case field[2] == "path":
			content, _ := io.ReadAll(part)
			paths[field[1]] = string(content)
		case paths[field[1]] == "":
			problems = append(problems, "missing path for file "+field[1])
		default:
			written, err := write(paths[field[1]], part)
			if err != nil {
				problems = append(problems, err.Error())
				continue
			}
			files = append(files, uploaded{paths[field[1]], written})
		}
	}
	if len(problems) > 0 {
		reply(w, http.StatusBadRequest, map[string]any{"errors": problems, "files": files})
		return
	}
	reply(w, http.StatusOK, map[string]any{"files": files})
}

// open opens a regular file.
func open(name string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		return nil, nil, errors.New("path is a directory")
	}
	file, err := os.Open(name)
	return file, info, err
}

func (t *toolbox) download(w http.ResponseWriter, r *http.Request) {
	file, info, err := open(given(r, "path"))
	if err != nil {
		t.fileError(w, r, err)
		return
	}
	defer func() { _ = file.Close() }()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", info.ModTime(), file)
}

func (t *toolbox) bulkDownload(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Paths []string `json:"paths"`
	}
	if !decode(w, r, &request) {
		return
	}
	if len(request.Paths) == 0 {
		badRequest(w, r, "no paths")
		return
	}
	w.Header().Set("Content-Type", "multipart/form-data; boundary="+downloadBoundary)
	parts := multipart.NewWriter(w)
	_ = parts.SetBoundary(downloadBoundary)
	for _, name := range request.Paths {
		writePart(parts, name)
	}
	_ = parts.Close()
}

func writePart(parts *multipart.Writer, name string) {
	part := func(field, kind string, size int64, content io.Reader) {
		header := textproto.MIMEHeader{}
		header.Set("Content-Disposition", fmt.Sprintf("form-data; name=%q; filename=%q", field, name))
		header.Set("Content-Type", kind)
		header.Set("Content-Length", strconv.FormatInt(size, 10))
		if to, err := parts.CreatePart(header); err == nil {
			_, _ = io.Copy(to, content)
		}
	}
	file, info, err := open(name)
	if err != nil {
		status, code := http.StatusBadRequest, "INVALID_FILE_PATH"
		if errors.Is(err, fs.ErrNotExist) {
			status, code = http.StatusNotFound, "FILE_NOT_FOUND"
		}
		text := fmt.Appendf(nil, `{"message":%q,"statusCode":%d,"code":%q}`, err.Error(), status, code)
		part("error", "application/json", int64(len(text)), bytes.NewReader(text))
		return
	}
	defer func() { _ = file.Close() }()
	part("file", "application/octet-stream", info.Size(), file)
}

type fileAnswer struct {
	Name        string `json:"name"`
	Size        int64  `json:"size"`
	Mode        string `json:"mode"`
	ModTime     string `json:"modTime"`
	ModifiedAt  string `json:"modifiedAt"`
	IsDir       bool   `json:"isDir"`
	Owner       string `json:"owner"`
	Group       string `json:"group"`
	Permissions string `json:"permissions"`
}

func describe(info fs.FileInfo) fileAnswer {
	answer := fileAnswer{
		Name: info.Name(), Size: info.Size(), Mode: info.Mode().String(), IsDir: info.IsDir(),
		ModTime: info.ModTime().String(), ModifiedAt: info.ModTime().UTC().Format(time.RFC3339),
		Permissions: fmt.Sprintf("%04o", info.Mode().Perm()),
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		answer.Owner, answer.Group = strconv.Itoa(int(stat.Uid)), strconv.Itoa(int(stat.Gid))
	}
	return answer
}

// listFiles follows links, and skips those that lead nowhere.
func (t *toolbox) listFiles(w http.ResponseWriter, r *http.Request) {
	name := given(r, "path")
	if name == "" {
		name = "."
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		t.fileError(w, r, err)
		return
	}
	found := []fileAnswer{}
	for _, entry := range entries {
		if info, err := os.Stat(filepath.Join(name, entry.Name())); err == nil {
			found = append(found, describe(info))
		}
	}
	reply(w, http.StatusOK, found)
}

func (t *toolbox) fileInfo(w http.ResponseWriter, r *http.Request) {
	info, err := os.Stat(given(r, "path"))
	if err != nil {
		t.fileError(w, r, err)
		return
	}
	reply(w, http.StatusOK, describe(info))
}

func (t *toolbox) makeFolder(w http.ResponseWriter, r *http.Request) {
	mode, err := strconv.ParseUint(given(r, "mode"), 8, 32)
	if err == nil {
		err = os.MkdirAll(given(r, "path"), fs.FileMode(mode))
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (t *toolbox) move(w http.ResponseWriter, r *http.Request) {
	source, destination := given(r, "source"), given(r, "destination")
	if _, err := os.Lstat(destination); err == nil {
		t.fileError(w, r, fs.ErrExist)
		return
	}
	if err := os.Rename(source, destination); err != nil {
		t.fileError(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (t *toolbox) remove(w http.ResponseWriter, r *http.Request) {
	name := given(r, "path")
	info, err := os.Lstat(name)
	if err == nil && info.IsDir() && given(r, "recursive") != "true" {
		err = errors.New("cannot delete a directory without recursive")
	}
	if err == nil {
		err = os.RemoveAll(name)
	}
	if err != nil {
		t.fileError(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (t *toolbox) permissions(w http.ResponseWriter, r *http.Request) {
	name := given(r, "path")
	_, err := os.Stat(name)
	if text := given(r, "mode"); err == nil && text != "" {
		mode, parseErr := strconv.ParseUint(text, 8, 32)
		if err = parseErr; err == nil {
			err = os.Chmod(name, fs.FileMode(mode))
		}
	}
	if err != nil {
		t.fileError(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// walk calls found for each file below a directory.
func walk(root string, found func(name string)) error {
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && name != root {
			found(name)
		}
		if err != nil && name == root {
			return err
		}
		return nil
	})
}

func (t *toolbox) searchFiles(w http.ResponseWriter, r *http.Request) {
	files := []string{}
	err := walk(given(r, "path"), func(name string) {
		if matched, _ := filepath.Match(given(r, "pattern"), filepath.Base(name)); matched {
			files = append(files, name)
		}
	})
	if err != nil {
		t.fileError(w, r, err)
		return
	}
	slices.Sort(files)
	reply(w, http.StatusOK, map[string]any{"files": files})
}

func (t *toolbox) findInFiles(w http.ResponseWriter, r *http.Request) {
	type match struct {
		File    string `json:"file"`
		Line    int    `json:"line"`
		Content string `json:"content"`
	}
	matches := []match{}
	err := walk(given(r, "path"), func(name string) {
		content, _ := os.ReadFile(name)
		for i, line := range strings.Split(string(content), "\n") {
			if strings.Contains(line, given(r, "pattern")) {
				matches = append(matches, match{name, i + 1, line})
			}
		}
	})
	if err != nil {
		t.fileError(w, r, err)
		return
	}
	reply(w, http.StatusOK, matches)
}
