// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// request is the remote that is to be made, without name and mark.
func (p *sandboxPass) request(door *provider.Door) backends.CreateRequest {
	spec := &p.sandbox.Spec
	source, resources := spec.Source, spec.Resources
	if p.defaults != nil && spec.SandboxID == "" {
		if source == nil {
			source = p.defaults.Source
		}
		if resources == nil {
			resources = p.defaults.Resources
		}
	}
	request := backends.CreateRequest{
		Env: plainEnv(spec.Env), WorkingDir: spec.WorkingDir, User: spec.User, Labels: spec.RemoteLabels, Network: network(spec.Network),
		Resources: resourcesOf(resources), Lifetime: remoteLifetime(door.Lease(), seconds(p.life.TimeoutSeconds), door.Registration()),
	}
	if source != nil {
		request.Source = backends.Source{Image: source.Image, Template: source.Template, Snapshot: source.Snapshot}
	}
	for i := range spec.Ports {
		request.Ports = append(request.Ports, portOf(spec.Ports[i]))
	}
	if spec.Parameters != nil {
		request.Parameters = json.RawMessage(spec.Parameters.Raw)
	}
	return request
}

func network(n *v1alpha1.SandboxNetwork) backends.Network {
	if n == nil {
		return backends.Network{}
	}
	return backends.Network{Policy: backends.NetworkPolicy(n.Policy), Hosts: n.Hosts, CIDRs: n.CIDRs}
}

func resourcesOf(r *v1alpha1.SandboxResources) backends.Resources {
	var resources backends.Resources
	if r == nil {
		return resources
	}
	if r.CPU != nil {
		resources.MilliCPU = r.CPU.MilliValue()
	}
	if r.Memory != nil {
		resources.MemoryBytes = r.Memory.Value()
	}
	if r.Disk != nil {
		resources.DiskBytes = r.Disk.Value()
	}
	if r.GPU != nil {
		resources.GPUs, resources.GPUModel = int64(r.GPU.Count), r.GPU.Model
	}
	return resources
}

func portOf(port v1alpha1.SandboxPort) backends.Port {
	protocol := port.Protocol
	if protocol == "" {
		protocol = v1alpha1.PortHTTP
	}
	return backends.Port{Number: port.Port, Protocol: backends.Protocol(protocol)}
}

// fields are those of the spec that want a capability.
var fields = map[backends.Capability]string{
	backends.CapabilityImage: "source.image", backends.CapabilityTemplate: "source.template",
	backends.CapabilitySnapshot: "source.snapshot", backends.CapabilityResources: "resources",
	backends.CapabilityGPU: "resources.gpu", backends.CapabilityUser: "user", backends.CapabilityNetwork: "network",
	backends.CapabilityEndpoints: "ports", backends.CapabilityPause: "desiredState Paused or lifetime.onIdle Pause",
}

// check tells what of the spec this backend can't do, before anything is made.
func (p *sandboxPass) check(door *provider.Door) error {
	wanted := backends.Wants(p.request(door))
	if p.sandbox.Spec.DesiredState == v1alpha1.DesiredPaused || p.life.OnIdle == v1alpha1.OnIdlePause {
		wanted = append(wanted, backends.CapabilityPause)
	}
	r := door.Registration()
	for _, capability := range wanted {
		if !can(r, capability) {
			return backends.Errorf(backends.Unsupported, r.Name, operationCreate,
				"this backend does not support spec.%s; see %s", fields[capability], r.Setup.Docs)
		}
	}
	if p.sandbox.Spec.Parameters != nil && !r.HasSandboxParameters {
		return backends.Errorf(backends.Unsupported, r.Name, operationCreate,
			"this backend does not support spec.parameters; see %s", r.Setup.Docs)
	}
	return checkLifetime(p.life, r)
}

func can(registration backends.Registration, capability backends.Capability) bool {
	return slices.Contains(registration.Capabilities, capability)
}

// parametersDigest tells one set of parameters from another, in whatever order they are written; "" = there are none.
func parametersDigest(parameters *runtime.RawExtension) string {
	if parameters == nil || len(parameters.Raw) == 0 {
		return ""
	}
	var value any
	if json.Unmarshal(parameters.Raw, &value) != nil {
		return ""
	}
	canonical, _ := json.Marshal(value) //nolint:errchkjson // what was decoded encodes
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// parametersChanged says that the remote was made with other parameters than the spec has now.
func (p *sandboxPass) parametersChanged() bool {
	status := &p.sandbox.Status
	return status.SandboxID != "" && parametersDigest(p.sandbox.Spec.Parameters) != status.ParametersDigest
}
