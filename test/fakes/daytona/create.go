// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/fakes/machine"
)

type createRequest struct {
	Name                string            `json:"name"`
	Snapshot            string            `json:"snapshot"`
	BuildInfo           *buildInfo        `json:"buildInfo"`
	User                string            `json:"user"`
	Env                 map[string]string `json:"env"`
	Labels              map[string]string `json:"labels"`
	Public              bool              `json:"public"`
	Target              string            `json:"target"`
	CPU                 *float64          `json:"cpu"`
	Memory              *float64          `json:"memory"`
	Disk                *float64          `json:"disk"`
	GPU                 *float64          `json:"gpu"`
	GPUType             []string          `json:"gpuType"`
	AutoStopInterval    *int              `json:"autoStopInterval"`
	AutoArchiveInterval *int              `json:"autoArchiveInterval"`
	AutoDeleteInterval  *int              `json:"autoDeleteInterval"`
	AutoPauseInterval   *int              `json:"autoPauseInterval"`
	TTLMinutes          *int              `json:"ttlMinutes"`
	Volumes             []sandboxVolume   `json:"volumes"`
	NetworkBlockAll     bool              `json:"networkBlockAll"`
	NetworkAllowList    string            `json:"networkAllowList"`
	DomainAllowList     string            `json:"domainAllowList"`
}

// create inserts the sandbox first and then, where it is made of a snapshot, waits for it to run.
func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var request createRequest
	if !decode(w, r, &request) {
		return
	}
	b, status, message := s.insert(request)
	if b == nil {
		refuse(w, r, status, message)
		return
	}
	if request.BuildInfo != nil {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		reply(w, http.StatusOK, b.shown())
		return
	}
	s.await(w, r, b)
}

// await answers when the sandbox runs, has failed, or has been waited for long enough.
func (s *Server) await(w http.ResponseWriter, r *http.Request, b *sandbox) {
	for deadline := time.Now().Add(startWait); ; {
		s.mutex.Lock()
		s.settle()
		shown, settled := b.shown(), !b.inTransition()
		s.mutex.Unlock()
		switch {
		case shown.State == stateError:
			refuse(w, r, http.StatusBadRequest, "Sandbox failed to start: "+shown.ErrorReason)
			return
		case settled || time.Now().After(deadline):
			reply(w, http.StatusOK, shown)
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// insert checks a request and makes the sandbox, or says why not.
func (s *Server) insert(request createRequest) (made *sandbox, status int, message string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.settle()
	source := s.snapshots[request.Snapshot]
	if request.Snapshot == "" && request.BuildInfo == nil {
		source = s.snapshots[DefaultSnapshot]
	}
	if message := checkCreate(request, source); message != "" {
		return nil, http.StatusBadRequest, message
	}
	if message := s.checkVolumes(request.Volumes); message != "" {
		return nil, http.StatusNotFound, message
	}
	if request.Name != "" && s.find(request.Name) != nil {
		return nil, http.StatusConflict, fmt.Sprintf("Sandbox with name %s already exists", request.Name)
	}
	if most := s.options.MostSandboxes; most > 0 && len(s.sandboxes) >= most {
		return nil, http.StatusBadRequest, fmt.Sprintf("Total CPU limit exceeded. Maximum allowed: %d.", most)
	}
	now := s.Clock.Now()
	b := s.newSandbox(request, source, now)
	b.start(s.options, source, now)
	s.sandboxes[b.ID] = b
	s.settle()
	return b, 0, ""
}

var badName = regexp.MustCompile(`<[^>]*>|[a-z]+://|www\.|[[:cntrl:]]`)

// checkCreate says what is wrong with a request, or nothing.
func checkCreate(r createRequest, source *snapshot) string {
	if message := checkSource(r, source); message != "" {
		return message
	}
	switch {
	case badName.MatchString(r.Name):
		return "name contains forbidden characters"
	case or(r.CPU, 1) > 4, or(r.Memory, 1) > 8, or(r.Disk, 3) > 10:
		return "CPU, memory or disk request exceeds maximum allowed per sandbox"
	case or(r.GPU, 0) > 0:
		return "No available runners"
	case or(r.AutoStopInterval, 15) > 0 && or(r.AutoPauseInterval, 0) > 0:
		return "Only one of autoStopInterval and autoPauseInterval may be non-zero"
	}
	return checkNetwork(r)
}

// checkSource says what is wrong with what a sandbox is to be made of.
func checkSource(r createRequest, source *snapshot) string {
	resources := r.CPU != nil || r.Memory != nil || r.Disk != nil || r.GPU != nil
	switch {
	case r.BuildInfo != nil && r.Snapshot != "":
		return "Cannot specify both a snapshot and a build info entry"
	case r.BuildInfo == nil && source == nil:
		return fmt.Sprintf("Snapshot %s not found. Did you add it through the Daytona Dashboard?", r.Snapshot)
	case r.BuildInfo == nil && source.State != snapshotActive:
		return fmt.Sprintf("Snapshot %s is %s", r.Snapshot, source.State)
	case r.BuildInfo == nil && resources:
		return "Cannot specify Sandbox resources when using a snapshot"
	}
	return ""
}

// checkNetwork says what is wrong with what a sandbox may reach.
func checkNetwork(r createRequest) string {
	cidrs, domains := splitList(r.NetworkAllowList), splitList(r.DomainAllowList)
	if len(cidrs) > 10 || len(domains) > 10 {
		return "Network allow list cannot contain more than 10 entries"
	}
	for _, cidr := range cidrs {
		if prefix, err := netip.ParsePrefix(cidr); err != nil || !prefix.Addr().Is4() {
			return fmt.Sprintf("Invalid network: %q. Must be a valid IPv4 CIDR", cidr)
		}
	}
	return ""
}

func splitList(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == ',' })
}

func or[T any](given *T, otherwise T) T {
	if given == nil {
		return otherwise
	}
	return *given
}

func (s *Server) newSandbox(r createRequest, source *snapshot, now time.Time) *sandbox {
	id := newID()
	b := &sandbox{
		ID: id, OrganizationID: "11111111-2222-4333-8444-555555555555", Name: r.Name, User: r.User, Env: maps.Clone(r.Env),
		Labels: maps.Clone(r.Labels), Public: r.Public, NetworkBlockAll: r.NetworkBlockAll, NetworkAllowList: r.NetworkAllowList,
		DomainAllowList: r.DomainAllowList, Target: r.Target, CPU: or(r.CPU, 1), Memory: or(r.Memory, 1), Disk: or(r.Disk, 3),
		GPU: or(r.GPU, 0), GPUType: r.GPUType, State: stateCreating, BackupState: "None", Volumes: r.Volumes, BuildInfo: r.BuildInfo,
		AutoStopInterval: or(r.AutoStopInterval, 15), AutoArchiveInterval: or(r.AutoArchiveInterval, 10080),
		AutoDeleteInterval: or(r.AutoDeleteInterval, -1), CreatedAt: now, UpdatedAt: now, LastActivityAt: now,
		SandboxClass: classContainer, DaemonVersion: "0.190.0", ToolboxProxyURL: s.web.URL + "/toolbox",
		disk: s.diskOf(id), newest: s.options.Newest, previews: map[string]*preview{},
	}
	if b.Name == "" {
		b.Name = id
	}
	if b.User == "" {
		b.User = "daytona"
	}
	if b.Target == "" {
		b.Target = "us"
	}
	if b.Labels == nil {
		b.Labels = map[string]string{}
	}
	if source != nil {
		b.Snapshot, b.SandboxClass = source.Name, source.Class
	}
	if minutes := or(r.TTLMinutes, 0); s.options.Newest && minutes > 0 {
		b.AutoDestroyAt = new(now.Add(time.Duration(minutes) * time.Minute))
	}
	if s.options.Newest {
		b.AutoPauseInterval = or(r.AutoPauseInterval, 0)
	}
	return b
}

// start plans the first start.
func (b *sandbox) start(o Options, source *snapshot, now time.Time) {
	b.DesiredState, b.token = stateStarted, newID()
	switch {
	case b.BuildInfo != nil && strings.Contains(b.BuildInfo.DockerfileContent, "no-such-image"):
		b.ErrorReason = "failed to pull the base image: not found"
		b.begin(now, after(now, stateBuilding, o.BuildDelay, "build_failed")...)
	case b.BuildInfo != nil:
		b.begin(now, after(now, stateBuilding, o.BuildDelay, stateStarting, o.StartDelay, stateStarted)...)
	case !machine.KnowsUser(b.User):
		b.ErrorReason = "unable to find user " + b.User
		b.begin(now, after(now, stateCreating, o.StartDelay, stateError)...)
	case source.failing:
		b.ErrorReason = "the entrypoint of the snapshot exited"
		b.begin(now, after(now, stateCreating, o.StartDelay, stateError)...)
	case source.stuck:
		b.begin(now, after(now, stateCreating, time.Duration(0), stateStarting, 1000*time.Hour, stateStarted)...)
	default:
		if source.disk != "" {
			_ = copyDisk(source.disk, b.disk)
		}
		b.begin(now, after(now, stateCreating, o.StartDelay/2, stateStarting, o.StartDelay-o.StartDelay/2, stateStarted)...)
	}
}
