#!/usr/bin/env bash
# Copyright The sandbox-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Runs a command at a fake E2B on this machine: starts the fake, a control plane and the manager, applies a provider, a Sandbox and a
# SandboxExec, shows the result, deletes all, and ends. `make demo-e2b` builds what is missing and calls this.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
[[ $(uname -s) == Linux && $(id -u) == 0 ]] || { echo "The fake E2B runs commands as root on Linux only: sudo make demo-e2b" >&2; exit 1; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/e2b-demo.XXXXXX")
kubectl=${KUBEBUILDER_ASSETS:?run this with make demo-e2b}/kubectl
pids=()

stop() {
	local pid
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	pids=()
}
fail() {
	trap - ERR
	echo "The demo failed: ${1:-see above}" >&2
	tail -n 3 "$dir"/*.log >&2 2>/dev/null || true
	stop
	exit 1
}
trap fail ERR
trap 'stop; exit 130' INT TERM

# until_true SECONDS NAME COMMAND... waits for a condition that a process brings about.
until_true() {
	local deadline=$((SECONDS + $1)) name=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[[ $SECONDS -lt $deadline ]] || fail "the $name did not start (log: $dir/$name.log)"
		sleep 0.1
	done
}

bin/fake-e2b >"$dir/fake.log" 2>&1 &
pids=($! "${pids[@]}")
until_true 10 fake grep -q '^key=' "$dir/fake.log"
url=$(sed -n 's/^url=//p' "$dir/fake.log") key=$(sed -n 's/^key=//p' "$dir/fake.log")
bin/controlplane-up --kubeconfig "$dir/kubeconfig" --dir "$dir/controlplane" >"$dir/controlplane.log" 2>&1 &
pids=($! "${pids[@]}")
until_true 60 controlplane test -f "$dir/kubeconfig"
export KUBECONFIG=$dir/kubeconfig
bin/manager --backends=e2b --health-probe-bind-address=127.0.0.1:0 --zap-devel=false >"$dir/manager.log" 2>&1 &
pids=($! "${pids[@]}")
until_true 30 manager grep -q 'Starting workers' "$dir/manager.log"
echo "A fake E2B, a control plane and the manager run on 127.0.0.1."

"$kubectl" get namespace sandbox-operator-system >/dev/null 2>&1 || "$kubectl" create namespace sandbox-operator-system
"$kubectl" create secret generic e2b --namespace sandbox-operator-system --from-literal=apiKey="$key"
"$kubectl" apply -f - <<END
apiVersion: sandboxes.run/v1alpha1
kind: ClusterSandboxProvider
metadata:
  name: e2b
  annotations:
    sandboxes.run/is-default-provider: "true"
spec:
  backend: e2b
  credentials:
    secretRef:
      name: e2b
  endpoint: $url
  parameters:
    sandboxURL: $url
    template: code-interpreter-v1
---
apiVersion: sandboxes.run/v1alpha1
kind: Sandbox
metadata:
  name: demo
spec:
  workingDir: /workspace
---
apiVersion: sandboxes.run/v1alpha1
kind: SandboxExec
metadata:
  name: command
spec:
  sandboxRef:
    name: demo
  command: [sh, -c, 'echo "hello from \$(id -un) in \$(pwd)"']
---
apiVersion: sandboxes.run/v1alpha1
kind: SandboxExec
metadata:
  name: code
spec:
  sandboxRef:
    name: demo
  code:
    engine: Native
    language: python
    source: print(sum(range(10)))
END
"$kubectl" wait --for=condition=Ready clustersandboxprovider/e2b sandboxes.sandboxes.run/demo --timeout=60s
"$kubectl" wait --for=condition=Finished sandboxexec/command sandboxexec/code --timeout=60s
"$kubectl" get clustersandboxproviders,sandboxes.sandboxes.run,sandboxexecs
for exec in command code; do
	printf '%s: ' "$exec"
	"$kubectl" get sandboxexec "$exec" -o 'jsonpath={.status.stdout.head}'
	outcome=$("$kubectl" get sandboxexec "$exec" -o jsonpath='{.status.outcome}')
	[[ $outcome == Succeeded ]] || fail "sandboxexec/$exec ended as $outcome"
done
"$kubectl" delete sandboxexecs,sandboxes.sandboxes.run --all --timeout=60s
left=$(curl -fsS -H "X-API-Key: $key" "$url/v2/sandboxes" 2>/dev/null || echo unknown)
[[ $left == "[]" || $left == unknown ]] || fail "sandboxes are left at E2B: $left"
echo "Sandboxes at the fake E2B: none are left"
stop
rm -rf "$dir"
