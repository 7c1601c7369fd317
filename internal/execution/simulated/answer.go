// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package simulated

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/execution"
)

// stream is what a program printed so far.
type stream struct {
	mutex   sync.Mutex
	content []byte
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.content = append(s.content, p...)
	return len(p), nil
}

func (s *stream) bytes() []byte {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return bytes.Clone(s.content)
}

// keeps are the words at the end of each call: how much of each stream to bring back, at the end and while it runs.
type keeps struct{ outHead, outTail, errHead, errTail, progress int }

func parseKeeps(words []string) (k keeps, err error) {
	if len(words) < 5 {
		return k, errors.New("the call of the runner is too short")
	}
	for i, to := range []*int{&k.outHead, &k.outTail, &k.errHead, &k.errTail, &k.progress} {
		if *to, err = strconv.Atoi(words[i]); err != nil {
			return k, fmt.Errorf("reading the call of the runner: %w", err)
		}
	}
	return k, nil
}

// answer says how the run of that fence is.
func (r *Runner) answer(fence key, root string, words []string) ([]byte, error) {
	keep, err := parseKeeps(words)
	if err != nil {
		return nil, err
	}
	found := r.find(fence)
	switch {
	case found == nil:
		return state(execution.StateAbsent), nil
	case found.kill == nil:
		return state(execution.StateNever), nil
	}
	files, err := os.ReadFile(filepath.Join(root, execution.FilesDigest))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the digest of files: %w", err)
	}
	digest := strings.TrimSpace(string(files))
	select {
	case <-found.ended:
		return found.conclusion(digest, keep), nil
	default:
		return found.progress(digest, keep), nil
	}
}

const protocol = "sandboxes.run/1\n"

func state(s execution.State) []byte { return fmt.Appendf(nil, "%sstate %s\n\n", protocol, s) }

// progress is the answer while the program runs.
func (r *run) progress(files string, keep keeps) []byte {
	if keep.progress == 0 {
		return state(execution.StateRunning)
	}
	stdout, stderr := r.stdout.bytes(), r.stderr.bytes()
	answer := fmt.Appendf(nil, "%sstate running\nsecrets %s\nfiles %s\nstdout %d\nstderr %d\n\n",
		protocol, r.digest, files, len(stdout), len(stderr))
	answer = append(answer, cut(stdout, 0, keep.progress)...)
	return append(answer, cut(stderr, 0, keep.progress)...)
}

// conclusion is the answer after its end. Times are hundredths of a second.
func (r *run) conclusion(files string, keep keeps) []byte {
	stdout, stderr := r.stdout.bytes(), r.stderr.bytes()
	hundredths := func(d time.Duration) int64 { return int64(d / (10 * time.Millisecond)) }
	answer := fmt.Appendf(nil, "%sstate exited\nend %d %s 0 %d %d ok\nsecrets %s\nfiles %s\nstdout %s\nstderr %s\n\n",
		protocol, r.exitCode, r.cause, hundredths(r.at.Sub(r.began)), hundredths(time.Since(r.began)), r.digest, files,
		size(stdout, keep.outHead+keep.outTail), size(stderr, keep.errHead+keep.errTail))
	answer = append(answer, cut(stdout, keep.outHead, keep.outTail)...)
	return append(answer, cut(stderr, keep.errHead, keep.errTail)...)
}

// size is the length of a stream, and its digest where not all of it follows.
func size(content []byte, kept int) string {
	if len(content) <= kept {
		return strconv.Itoa(len(content))
	}
	return fmt.Sprintf("%d %x", len(content), sha256.Sum256(content))
}

// cut is beginning and end of what is longer than both.
func cut(content []byte, head, tail int) []byte {
	if len(content) <= head+tail {
		return content
	}
	return append(bytes.Clone(content[:head]), content[len(content)-tail:]...)
}
