// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// logFiles keeps a log file a program, and copies all of them to one writer where one is wanted.
type logFiles struct {
	dir   string
	files map[string]*os.File
	copy  io.Writer
}

func openLogs(dir string, also io.Writer) (*logFiles, error) {
	logs := &logFiles{dir: dir, files: map[string]*os.File{}}
	if also != nil {
		logs.copy = &oneAtATime{writer: also}
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager"} {
		file, err := os.OpenFile(logs.path(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening a log file: %w", err), logs.Close())
		}
		logs.files[name] = file
	}
	return logs, nil
}

// writer returns where a program's output goes. It is the file itself where that is all: the program then writes to it
// with no goroutine of ours between.
func (l *logFiles) writer(name string) io.Writer {
	if l.copy == nil {
		return l.files[name]
	}
	return io.MultiWriter(l.files[name], l.copy)
}

// tail returns the last lines of a program's log as an error, to stand before the one that says what failed.
func (l *logFiles) tail(name string) error {
	const lines = 12
	content, err := os.ReadFile(l.path(name))
	if err != nil {
		return fmt.Errorf("reading the log of %s: %w", name, err)
	}
	if len(content) == 0 {
		return nil
	}
	all := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	last := all[max(0, len(all)-lines):]
	return fmt.Errorf("last lines of %s:\n%s", name, bytes.Join(last, []byte("\n")))
}

// Close closes the files.
func (l *logFiles) Close() error {
	var failures []error
	for _, file := range l.files {
		failures = append(failures, file.Close())
	}
	return errors.Join(failures...)
}

func (l *logFiles) path(name string) string {
	return filepath.Join(l.dir, name+".log")
}

// oneAtATime keeps the programs' writes to one writer apart.
type oneAtATime struct {
	mu     sync.Mutex
	writer io.Writer
}

// Write implements io.Writer.
func (w *oneAtATime) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writer.Write(p)
}
