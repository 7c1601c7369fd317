// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"context"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona/toolbox"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/machine"
)

// The states of a sandbox.
const (
	stateCreating  = "creating"
	stateBuilding  = "building_snapshot"
	stateStarting  = "starting"
	stateStarted   = "started"
	stateStopping  = "stopping"
	stateStopped   = "stopped"
	statePausing   = "pausing"
	statePaused    = "paused"
	stateResuming  = "resuming"
	stateArchiving = "archiving"
	stateArchived  = "archived"
	stateRestoring = "restoring"
	stateError     = "error"
	stateGoing     = "destroying"
	stateGone      = "destroyed"
)

// sandbox is one sandbox, as the API shows it, and what it runs on.
type sandbox struct {
	ID                  string            `json:"id"`
	OrganizationID      string            `json:"organizationId"`
	Name                string            `json:"name"`
	Snapshot            string            `json:"snapshot,omitempty"`
	User                string            `json:"user"`
	Env                 map[string]string `json:"env"`
	Labels              map[string]string `json:"labels"`
	Public              bool              `json:"public"`
	NetworkBlockAll     bool              `json:"networkBlockAll"`
	NetworkAllowList    string            `json:"networkAllowList,omitempty"`
	DomainAllowList     string            `json:"domainAllowList,omitempty"`
	Target              string            `json:"target"`
	CPU                 float64           `json:"cpu"`
	GPU                 float64           `json:"gpu"`
	GPUType             []string          `json:"gpuType,omitempty"`
	Memory              float64           `json:"memory"`
	Disk                float64           `json:"disk"`
	State               string            `json:"state"`
	DesiredState        string            `json:"desiredState"`
	ErrorReason         string            `json:"errorReason,omitempty"`
	Recoverable         bool              `json:"recoverable,omitempty"`
	BackupState         string            `json:"backupState"`
	AutoStopInterval    int               `json:"autoStopInterval"`
	AutoArchiveInterval int               `json:"autoArchiveInterval"`
	AutoDeleteInterval  int               `json:"autoDeleteInterval"`
	AutoPauseInterval   int               `json:"autoPauseInterval,omitempty"`
	AutoDestroyAt       *time.Time        `json:"autoDestroyAt,omitempty"`
	Volumes             []sandboxVolume   `json:"volumes"`
	BuildInfo           *buildInfo        `json:"buildInfo,omitempty"`
	CreatedAt           time.Time         `json:"createdAt"`
	UpdatedAt           time.Time         `json:"updatedAt"`
	LastActivityAt      time.Time         `json:"lastActivityAt"`
	SandboxClass        string            `json:"sandboxClass"`
	DaemonVersion       string            `json:"daemonVersion"`
	ToolboxProxyURL     string            `json:"toolboxProxyUrl"`

	disk   string
	newest bool
	// plan are the states that it will have, in order of time.
	plan []step
	// open counts requests that are under way to its toolbox or ports.
	open int
	// token opens its previews until it is started again.
	token    string
	previews map[string]*preview

	running   *machine.Machine
	transport *http.Transport
}

// step is a state that begins at a time.
type step struct {
	at    time.Time
	state string
}

type sandboxVolume struct {
	VolumeID  string `json:"volumeId"`
	MountPath string `json:"mountPath"`
	Subpath   string `json:"subpath,omitempty"`
}

type buildInfo struct {
	DockerfileContent string   `json:"dockerfileContent"`
	ContextHashes     []string `json:"contextHashes,omitempty"`
}

// find returns the sandbox of this ID or name. The lock is held.
func (s *Server) find(idOrName string) *sandbox {
	if b := s.sandboxes[idOrName]; b != nil {
		return b
	}
	for _, b := range s.sandboxes {
		if b.Name == idOrName {
			return b
		}
	}
	return nil
}

// begin has the sandbox pass through states, each so long after the one before, and takes that for activity.
func (b *sandbox) begin(now time.Time, steps ...step) {
	b.plan = steps
	b.LastActivityAt, b.UpdatedAt = now, now
}

// after makes a plan of states and how long each lasts before the next.
func after(now time.Time, states ...any) []step {
	var plan []step
	for i := 0; i < len(states); i += 2 {
		state, _ := states[i].(string)
		plan = append(plan, step{now, state})
		if i+1 < len(states) {
			lasts, _ := states[i+1].(time.Duration)
			now = now.Add(lasts)
		}
	}
	return plan
}

// inTransition says that it is on its way from one state to another.
func (b *sandbox) inTransition() bool { return len(b.plan) > 0 }

// reached returns the way to what the sandbox runs on, which is started when it is first used.
func (b *sandbox) reached() (*http.Transport, error) {
	if b.running != nil {
		return b.transport, nil
	}
	env := maps.Clone(b.Env)
	if env == nil {
		env = map[string]string{}
	}
	env["DAYTONA_SANDBOX_ID"] = b.ID
	if b.newest {
		env[toolbox.NewestVariable] = "1"
	}
	started, err := machine.Start(machine.Options{Service: toolbox.Service, Disk: b.disk, Hostname: b.ID, User: b.User, Env: env})
	if err != nil {
		return nil, err
	}
	b.running = started
	b.transport = &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return started.Dial(ctx, portOf(address))
		},
	}
	return b.transport, nil
}

// halt ends all processes of the sandbox. Its disk stays.
func (b *sandbox) halt() {
	if b.running != nil {
		_ = b.running.Stop()
		b.transport.CloseIdleConnections()
		b.running = nil
	}
}

// shown is a sandbox as an answer has it.
func (b *sandbox) shown() sandbox {
	shown := *b
	shown.Labels, shown.Env, shown.Volumes = maps.Clone(b.Labels), maps.Clone(b.Env), slices.Clone(b.Volumes)
	return shown
}

func (s *Server) diskOf(id string) string { return filepath.Join(s.dir, id) }
