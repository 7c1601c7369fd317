// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
)

const (
	// progressPeriod is how often the status of a run is written at most that shows what it prints, and how often such a run is
	// looked at at least.
	progressPeriod = 2 * time.Second
	// progressBytes is how much of each stream it shows.
	progressBytes = 4 << 10
)

// showProgress writes what the command printed last, where that changed and the last time is long enough ago.
func (p *execPass) showProgress(ctx context.Context, progress *execution.Progress, refs *references) error {
	status := &p.exec.Status
	if printed(status.Stdout) == progress.Stdout.Bytes && printed(status.Stderr) == progress.Stderr.Bytes {
		return nil
	}
	if !p.shows.due(p.exec.UID, p.clock.Now()) {
		return nil
	}
	secrets, err := p.secrets(ctx, refs)
	if err != nil {
		return err
	}
	e := ending{redaction: secrets.redaction(), withheld: !secrets.are(progress.SecretsDigest, progress.FilesDigest)}
	status.Stdout, status.Stderr = e.soFar(progress.Stdout), e.soFar(progress.Stderr)
	return p.record(ctx)
}

func printed(stream *v1alpha1.StreamStatus) int64 {
	if stream == nil || stream.Bytes == nil {
		return 0
	}
	return *stream.Bytes
}

// shows remembers when the progress of a run was last written. Forgetting it, in a restart, costs one write.
type shows struct {
	mutex sync.Mutex
	last  map[types.UID]time.Time
}

func newShows() *shows { return &shows{last: map[types.UID]time.Time{}} }

// due says that progress may be written now, and takes it for written.
func (s *shows) due(uid types.UID, now time.Time) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if last, ok := s.last[uid]; ok && now.Sub(last) < progressPeriod {
		return false
	}
	s.last[uid] = now
	return true
}

// clear forgets a run that is over.
func (s *shows) clear(uid types.UID) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.last, uid)
}
