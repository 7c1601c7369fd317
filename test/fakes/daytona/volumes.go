// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"net/http"
)

type volume struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"`
}

func (s *Server) findVolume(idOrName string) (volume, bool) {
	for _, one := range s.volumes {
		if one.ID == idOrName || one.Name == idOrName {
			return one, true
		}
	}
	return volume{}, false
}

// checkVolumes says which of them does not exist. Sandboxes are told that they have them; nothing is mounted.
func (s *Server) checkVolumes(wanted []sandboxVolume) string {
	for _, one := range wanted {
		if _, found := s.findVolume(one.VolumeID); !found {
			return "Volume with ID or name " + one.VolumeID + " not found"
		}
	}
	return ""
}

func (s *Server) listVolumes(w http.ResponseWriter, _ *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	all := []volume{}
	for _, one := range s.volumes {
		all = append(all, one)
	}
	reply(w, http.StatusOK, all)
}

func (s *Server) createVolume(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Name string `json:"name"`
	}
	if !decode(w, r, &request) {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	made := volume{ID: newID(), Name: request.Name, State: "ready"}
	s.volumes[made.ID] = made
	reply(w, http.StatusOK, made)
}

func (s *Server) getVolume(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if one, found := s.findVolume(r.PathValue("volume")); found {
		reply(w, http.StatusOK, one)
		return
	}
	refuse(w, r, http.StatusNotFound, "Volume not found")
}

func (s *Server) deleteVolume(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.volumes, r.PathValue("volume"))
	w.WriteHeader(http.StatusOK)
}

// Volume makes a volume, and returns its ID.
func (s *Server) Volume(name string) string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	made := volume{ID: newID(), Name: name, State: "ready"}
	s.volumes[made.ID] = made
	return made.ID
}
