// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// sandboxOptions are the parameters of a Sandbox.
type sandboxOptions struct {
	// Target is the region.
	Target string `json:"target"`
	// Public ports need no token.
	Public bool `json:"public"`
	// Volumes to mount, each as volume:/path or volume:/path:subpath. The provider must allow the volume.
	Volumes []string `json:"volumes"`
	// SignedURLSeconds gives each port a URL that lets in whoever has it for so long, and is replaced in time; 0 = none.
	SignedURLSeconds int `json:"signedURLSeconds"`
	// AutoArchiveMinutes is after how long as stopped its disk moves to slower storage; 0 = the server's default.
	AutoArchiveMinutes int `json:"autoArchiveMinutes"`
}

// createBody is what the server takes. It ignores fields that it does not know: those of newer servers may go to older ones.
type createBody struct {
	Name      string            `json:"name"`
	Snapshot  string            `json:"snapshot,omitempty"`
	BuildInfo *buildInfo        `json:"buildInfo,omitempty"`
	User      string            `json:"user,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
	Labels    map[string]string `json:"labels"`
	Public    bool              `json:"public"`
	Target    string            `json:"target,omitempty"`
	// CPU is cores, Memory and Disk GiB: whole numbers, only where an image is built.
	CPU     int64    `json:"cpu,omitempty"`
	Memory  int64    `json:"memory,omitempty"`
	Disk    int64    `json:"disk,omitempty"`
	GPU     int64    `json:"gpu,omitempty"`
	GPUType []string `json:"gpuType,omitempty"`
	// AutoPauseInterval and TTLMinutes are of newer servers.
	AutoStopInterval    int           `json:"autoStopInterval"`
	AutoPauseInterval   int           `json:"autoPauseInterval"`
	AutoArchiveInterval int           `json:"autoArchiveInterval,omitempty"`
	AutoDeleteInterval  int           `json:"autoDeleteInterval"`
	TTLMinutes          int           `json:"ttlMinutes,omitempty"`
	Volumes             []volumeMount `json:"volumes,omitempty"`
	NetworkBlockAll     *bool         `json:"networkBlockAll,omitempty"`
	NetworkAllowList    string        `json:"networkAllowList,omitempty"`
	DomainAllowList     string        `json:"domainAllowList,omitempty"`
}

type buildInfo struct {
	DockerfileContent string `json:"dockerfileContent"`
}

type volumeMount struct {
	VolumeID  string `json:"volumeId"`
	MountPath string `json:"mountPath"`
	Subpath   string `json:"subpath,omitempty"`
}

// Create implements backends.Backend. Of a snapshot the server answers when the sandbox runs, or after half a minute; an image is
// built after the answer.
func (b *backend) Create(ctx context.Context, r backends.CreateRequest) (backends.Remote, error) {
	for _, port := range r.Ports {
		if err := checkPort(operationCreate, port); err != nil {
			return backends.Remote{}, err
		}
	}
	body, err := b.createBody(r)
	if err != nil {
		return backends.Remote{}, backends.Errorf(backends.Invalid, Name, operationCreate, "%w", err)
	}
	var made sandbox
	call := request{operation: operationCreate, method: http.MethodPost, path: "/sandbox", body: body, effect: true}
	err = b.call(ctx, call, &made)
	if errors.Is(err, errFailedToStart) {
		return b.failed(ctx, r, err)
	}
	if err != nil {
		return backends.Remote{}, err
	}
	if made.ID == "" {
		return backends.Remote{}, backends.Errorf(backends.Ambiguous, Name, operationCreate, "the provider's answer is no sandbox")
	}
	b.places.remember(made)
	return made.remote(), nil
}

// failed returns the sandbox that was made and did not start, as one that was accepted: whoever looks at it next is told why it will never
// run, and that it takes quota until it is deleted. Made again, it would only fail again.
func (b *backend) failed(ctx context.Context, r backends.CreateRequest, why error) (backends.Remote, error) {
	found, err := b.read(ctx, operationCreate, r.Name)
	if err != nil || found.Name != r.Name || found.mark() != r.Mark {
		return backends.Remote{}, why
	}
	remote := found.remote()
	remote.State = backends.StateCreating
	return remote, nil
}

func (b *backend) createBody(r backends.CreateRequest) (createBody, error) {
	given, err := backends.DecodeParameters[sandboxOptions](r.Parameters)
	if err != nil {
		return createBody{}, err
	}
	body := createBody{
		Name: r.Name, User: r.User, Env: environment(r), Labels: labelsOf(r.Mark, r.Labels), Public: given.Public,
		Target: b.options.Target, AutoArchiveInterval: given.AutoArchiveMinutes,
	}
	if given.Target != "" {
		body.Target = given.Target
	}
	if given.AutoArchiveMinutes < 0 {
		return body, fmt.Errorf("parameter autoArchiveMinutes is %d: it must be 0 or more", given.AutoArchiveMinutes)
	}
	if err := body.signed(given.SignedURLSeconds); err != nil {
		return body, err
	}
	for _, add := range []func() error{
		func() error { return body.source(r.Source) },
		func() error { return body.resources(r) },
		func() error { return body.lifetime(r.Lifetime) },
		func() error { return body.network(r.Network) },
		func() error { return body.volumes(given.Volumes, b.options.Volumes) },
	} {
		if err := add(); err != nil {
			return body, err
		}
	}
	return body, nil
}

// workingDirVariable keeps the directory in which commands start that name none: Daytona has no such setting, and a sandbox's
// environment is what commands find again, whoever runs them.
const workingDirVariable = "SANDBOXES_RUN_WORKING_DIR"

func environment(r backends.CreateRequest) map[string]string {
	env := maps.Clone(r.Env)
	if r.WorkingDir != "" {
		if env == nil {
			env = map[string]string{}
		}
		env[workingDirVariable] = r.WorkingDir
	}
	return env
}

// labelsOf are the mark and the user's own, which never stand in for it.
func labelsOf(mark backends.Mark, own map[string]string) map[string]string {
	labels := map[string]string{}
	for key, value := range own {
		if !strings.HasPrefix(key, backends.MarkPrefix) {
			labels[key] = value
		}
	}
	if mark != (backends.Mark{}) {
		maps.Copy(labels, mark.Labels())
	}
	return labels
}

// signedLabel keeps what a sandbox's parameter said, for whoever asks for its ports later.
const signedLabel = backends.MarkPrefix + "signed-urls"

// The bounds of signed URLs in seconds: they are replaced half an hour before their end, and the server takes a day at most.
const leastSigned, mostSigned = 3600, 86400

func (c *createBody) signed(seconds int) error {
	switch {
	case seconds == 0:
		return nil
	case seconds < leastSigned || seconds > mostSigned:
		return fmt.Errorf("parameter signedURLSeconds is %d: it must be 0, or %d to %d", seconds, leastSigned, mostSigned)
	}
	c.Labels[signedLabel] = strconv.Itoa(seconds)
	return nil
}

// source: a template and a snapshot are both what Daytona calls a snapshot; an image is one that it builds.
func (c *createBody) source(s backends.Source) error {
	c.Snapshot = s.Template + s.Snapshot
	if s.Image == "" {
		return nil
	}
	if strings.ContainsFunc(s.Image, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("source.image %q is no image reference", backends.Bounded(s.Image, 128))
	}
	c.BuildInfo = &buildInfo{DockerfileContent: "FROM " + s.Image + "\n"}
	return nil
}

const gib = 1 << 30

// resources are whole cores and GiB, and belong to what is built: a snapshot has its own.
func (c *createBody) resources(r backends.CreateRequest) error {
	given := r.Resources
	if given == (backends.Resources{}) {
		return nil
	}
	if r.Source.Image == "" {
		return fmt.Errorf("resources belong to the snapshot: leave them out, or name an image in source.image")
	}
	switch {
	case given.MilliCPU%1000 != 0:
		return fmt.Errorf("resources.cpu is %dm: Daytona has whole cores only", given.MilliCPU)
	case given.MemoryBytes%gib != 0 || given.DiskBytes%gib != 0:
		return fmt.Errorf("resources.memory and resources.disk must be whole Gi")
	case given.GPUs > 1:
		return fmt.Errorf("resources.gpu.count is %d: Daytona has at most one", given.GPUs)
	}
	c.CPU, c.Memory, c.Disk, c.GPU = given.MilliCPU/1000, given.MemoryBytes/gib, given.DiskBytes/gib, given.GPUs
	if given.GPUModel != "" {
		c.GPUType = []string{given.GPUModel}
	}
	return nil
}

// lifetime has the sandbox end after the time: by the time to live where the server knows it, else by stopping, and with that being
// deleted, when nobody has used it for so long. Without one it neither stops nor goes by itself.
func (c *createBody) lifetime(lifetime time.Duration) error {
	c.AutoDeleteInterval = -1
	if lifetime == 0 {
		return nil
	}
	minutes, err := wholeMinutes(lifetime)
	if err != nil {
		return err
	}
	c.TTLMinutes, c.AutoStopInterval, c.AutoDeleteInterval = minutes, minutes, 0
	return nil
}

// wholeMinutes rounds up: nothing ends too early.
func wholeMinutes(lifetime time.Duration) (int, error) {
	minutes := int64(math.Ceil(lifetime.Minutes()))
	if lifetime < time.Minute || minutes > math.MaxInt32 {
		return 0, fmt.Errorf("a lifetime of %s is not possible: Daytona takes a minute or more", lifetime)
	}
	return int(minutes), nil
}

// mostAllowed is how many networks, and how many domains, the server takes.
const mostAllowed = 10

func (c *createBody) network(n backends.Network) error {
	switch n.Policy {
	case "":
		return nil
	case backends.NetworkAllow:
		c.NetworkBlockAll = new(false)
		return nil
	case backends.NetworkRestricted:
	default:
		c.NetworkBlockAll = new(true)
		return nil
	}
	if len(n.CIDRs) > mostAllowed || len(n.Hosts) > mostAllowed {
		return fmt.Errorf("network has more than %d hosts or cidrs: Daytona takes no more", mostAllowed)
	}
	for _, cidr := range n.CIDRs {
		if prefix, err := netip.ParsePrefix(cidr); err != nil || !prefix.Addr().Is4() {
			return fmt.Errorf("network.cidrs has %q: Daytona takes IPv4 networks such as 192.0.2.0/24 only", backends.Bounded(cidr, 64))
		}
	}
	c.NetworkAllowList, c.DomainAllowList = strings.Join(n.CIDRs, ","), strings.Join(n.Hosts, ",")
	// With nothing allowed there is nothing left.
	c.NetworkBlockAll = new(len(n.CIDRs)+len(n.Hosts) == 0)
	return nil
}

// volumes are those of the account that hold others' data too: the provider object says which may be mounted.
func (c *createBody) volumes(wanted, allowed []string) error {
	for _, text := range wanted {
		name, place, _ := strings.Cut(text, ":")
		place, subpath, _ := strings.Cut(place, ":")
		if name == "" || !path.IsAbs(place) {
			return fmt.Errorf("parameter volumes has %q: write volume:/path or volume:/path:subpath", backends.Bounded(text, 128))
		}
		if !slices.Contains(allowed, name) {
			return fmt.Errorf("volume %q may not be mounted: its name must stand in the provider's parameter volumes",
				backends.Bounded(name, 128))
		}
		c.Volumes = append(c.Volumes, volumeMount{VolumeID: name, MountPath: place, Subpath: subpath})
	}
	return nil
}
