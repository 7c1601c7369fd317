// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// containerdConfig is of version 2, which containerd 1.6 and 2 both take. restrict_oom_score_adj: root of a virtual machine may
// lack CAP_SYS_RESOURCE, and no container would start.
const containerdConfig = `version = 2
root = "DIR/containerd"
state = "/run/NAME/containerd"
[grpc]
  address = "SOCKET"
[ttrpc]
  address = "SOCKET.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "DIR/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "PAUSE"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "CNI"
    conf_dir = "DIR/../cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "SNAPSHOTTER"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: IP
port: PORT
healthzPort: 0
tlsCertFile: PKI/NAME.crt
tlsPrivateKeyFile: PKI/NAME.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: PKI/ca.crt}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://SOCKET
cgroupDriver: cgroupfs
cgroupRoot: CGROUP
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: [none]
evictionHard: {memory.available: 64Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
maxPods: 100
resolvConf: DIR/resolv.conf
podLogsDir: DIR/logs
volumePluginDir: DIR/volume-plugins
makeIPTablesUtilChains: false
nodeStatusUpdateFrequency: 5s
nodeLeaseDurationSeconds: 20
`

// networkConfig gives each pod an address on a bridge, as any simple network plugin does. It enforces no NetworkPolicy.
const networkConfig = `{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [{
    "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
    "ipam": {
      "type": "host-local", "dataDir": "/run/cni-addresses",
      "ranges": [[{"subnet": "POD_RANGE"}]], "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`

// writeConfigs writes the configurations of all workers.
func (n *Node) writeConfigs() error {
	network := strings.ReplaceAll(networkConfig, "POD_RANGE", podRange)
	if err := writeFile(filepath.Join(n.Dir, "cni", "10-pods.conflist"), network); err != nil {
		return err
	}
	for i := range n.workers {
		w := &n.workers[i]
		values := strings.NewReplacer(
			"DIR", w.dir, "NAME", w.name, "SOCKET", w.socket(), "PAUSE", Pause, "CNI", n.programs.cni,
			"SNAPSHOTTER", snapshotter(n.Dir), "IP", w.ip, "PORT", fmt.Sprint(10250+10*w.number),
			"PKI", filepath.Join(n.Dir, "pki"), "CGROUP", "/"+n.cgroup+"/"+w.name,
		)
		for name, template := range map[string]string{
			"containerd.toml": containerdConfig, "kubelet.yaml": kubeletConfig, "resolv.conf": "",
		} {
			if err := writeFile(filepath.Join(w.dir, name), values.Replace(template)); err != nil {
				return err
			}
		}
	}
	return nil
}

// snapshotter keeps off overlayfs where the folder is on one itself, as in a container: they don't stack.
func snapshotter(dir string) string {
	const overlayfs = 0x794c7630
	var of syscall.Statfs_t
	if err := syscall.Statfs(dir, &of); err == nil && of.Type == overlayfs {
		return "native"
	}
	return "overlayfs"
}

func writeFile(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o600)
}
