// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"net/http"
	"os/exec"
	"time"
)

// The classes of sandboxes.
const (
	classContainer = "container"
	classVM        = "linux-vm"
)

// The snapshots that there are from the beginning.
const (
	// DefaultSnapshot is what sandboxes are made of that name none.
	DefaultSnapshot = "daytonaio/sandbox:0.6.0"
	// VMSnapshot makes virtual machines, which can be paused.
	VMSnapshot = "linux-vm"
	// FailingSnapshot makes sandboxes that fail to start, StuckSnapshot some that never get any further, and InactiveSnapshot none.
	FailingSnapshot  = "failing"
	StuckSnapshot    = "stuck"
	InactiveSnapshot = "inactive"
)

const snapshotActive = "active"

type snapshot struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	ImageName string    `json:"imageName,omitempty"`
	State     string    `json:"state"`
	Class     string    `json:"sandboxClass"`
	General   bool      `json:"general"`
	CPU       float64   `json:"cpu"`
	GPU       float64   `json:"gpu"`
	Memory    float64   `json:"mem"`
	Disk      float64   `json:"disk"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`

	disk           string
	failing, stuck bool
}

func newSnapshot(name, class string) *snapshot {
	now := time.Now().UTC()
	return &snapshot{
		ID: newID(), Name: name, State: snapshotActive, Class: class, CPU: 1, Memory: 1, Disk: 3, CreatedAt: now, UpdatedAt: now,
	}
}

func firstSnapshots() map[string]*snapshot {
	failing, stuck := newSnapshot(FailingSnapshot, classContainer), newSnapshot(StuckSnapshot, classContainer)
	failing.failing, stuck.stuck = true, true
	inactive := newSnapshot(InactiveSnapshot, classContainer)
	inactive.State = "inactive"
	all := map[string]*snapshot{}
	for _, one := range []*snapshot{
		newSnapshot(DefaultSnapshot, classContainer), newSnapshot(VMSnapshot, classVM), failing, stuck, inactive,
	} {
		all[one.Name] = one
	}
	return all
}

func (s *Server) listSnapshots(w http.ResponseWriter, _ *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	items := []*snapshot{}
	for _, one := range s.snapshots {
		items = append(items, one)
	}
	reply(w, http.StatusOK, map[string]any{"items": items, "total": len(items), "page": 1, "totalPages": 1})
}

func (s *Server) getSnapshot(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if one := s.findSnapshot(r.PathValue("snapshot")); one != nil {
		reply(w, http.StatusOK, one)
		return
	}
	refuse(w, r, http.StatusNotFound, "Snapshot not found")
}

func (s *Server) findSnapshot(idOrName string) *snapshot {
	for _, one := range s.snapshots {
		if one.ID == idOrName || one.Name == idOrName {
			return one
		}
	}
	return nil
}

func (s *Server) createSnapshot(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Name      string `json:"name"`
		ImageName string `json:"imageName"`
	}
	if !decode(w, r, &request) {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.snapshots[request.Name] != nil {
		refuse(w, r, http.StatusConflict, "Snapshot with this name already exists")
		return
	}
	made := newSnapshot(request.Name, classContainer)
	made.ImageName = request.ImageName
	s.snapshots[made.Name] = made
	reply(w, http.StatusOK, made)
}

func (s *Server) deleteSnapshot(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	one := s.findSnapshot(r.PathValue("snapshot"))
	if one == nil {
		refuse(w, r, http.StatusNotFound, "Snapshot not found")
		return
	}
	delete(s.snapshots, one.Name)
	w.WriteHeader(http.StatusOK)
}

// snapshotSandbox saves what a sandbox has on its disk.
func (s *Server) snapshotSandbox(w http.ResponseWriter, r *http.Request, b *sandbox) {
	var request struct {
		Name string `json:"name"`
	}
	if !decode(w, r, &request) {
		return
	}
	if b.inTransition() || request.Name == "" || s.snapshots[request.Name] != nil {
		refuse(w, r, http.StatusConflict, "The snapshot can't be made")
		return
	}
	made := newSnapshot(request.Name, b.SandboxClass)
	made.disk = s.diskOf("snapshot-" + made.ID)
	if err := copyDisk(b.disk, made.disk); err != nil {
		refuse(w, r, http.StatusInternalServerError, err.Error())
		return
	}
	s.snapshots[made.Name] = made
	reply(w, http.StatusOK, b.shown())
}

// copyDisk copies all files of a disk, as they are.
func copyDisk(from, to string) error {
	return exec.Command("cp", "-a", from, to).Run() //nolint:noctx // it is a small disk
}
