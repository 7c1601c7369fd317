#!/usr/bin/env bash
# Copyright The sandbox-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Runs code in a sandbox that Kubernetes manages, on this machine: starts a control plane and the manager, applies
# config/samples, shows the results, deletes all, and proves that nothing is left. `make demo` builds what is missing
# and calls this. `make demo-daytona` does the same with sandboxes of a fake Daytona on this machine: demo.sh daytona.
#
#   KEEP=1       leaves everything running, and says how to go on by hand
#   KUBECONFIG   uses this cluster instead of starting a control plane; the CRDs are installed there
# -E: a failure within a function is told, too.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# Sockets of runsc live below this; their paths may have about a hundred characters.
dir=$(mktemp -d "${TMPDIR:-/tmp}/sbx-demo.XXXXXX")
kubectl=${KUBEBUILDER_ASSETS:?run this with make demo}/kubectl
[[ -x $kubectl ]] || kubectl=kubectl
own_cluster=${KUBECONFIG:-}
backend=${1:-local}
pids=()
step=starting
if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

now() { date +%s%N; }
since() { printf '%d.%d' $(((($(now) - $1) / 100000000) / 10)) $(((($(now) - $1) / 100000000) % 10)); }
demo_began=$(now)
step_began=$demo_began

# begin NAME starts a step, done_with ends it with its time.
begin() {
	step=$1 step_began=$(now)
	printf '\n%s== %s%s\n' "$bold" "$step" "$plain"
}
took() { printf '   (%s s)\n' "$(since "$step_began")"; }
show() {
	printf '%s$ %s%s\n' "$bold" "${*//$kubectl/kubectl}" "$plain"
	"$@"
}

# fail says, last of all, what went wrong.
fail() {
	local code=$?
	trap - ERR
	[[ $code -ne 0 ]] || code=1
	{
		printf '\n'
		if [[ -s $dir/manager.log ]]; then
			printf 'The end of the log of the manager (%s):\n' "$dir/manager.log"
			grep -v '"level":"info"' "$dir/manager.log" | tail -n 3 | cut -c 1-600 || true
		fi
		printf '\nThe demo failed at the step "%s": %s\n' "$step" "${1:-see above}"
	} >&2
	stop
	exit "$code"
}
trap fail ERR

stop() {
	local pid
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}
trap 'stop; exit 130' INT TERM

# until_true SECONDS PID NAME COMMAND... waits for a condition that the process brings about. Where it ends instead, the last
# line of its log says why.
until_true() {
	local deadline=$((SECONDS + $1)) pid=$2 name=$3
	shift 3
	until "$@" >/dev/null 2>&1; do
		if [[ $SECONDS -ge $deadline ]] || ! kill -0 "$pid" 2>/dev/null; then
			fail "the $name did not start (log: $dir/$name.log): $(tail -n 1 "$dir/$name.log")"
		fi
		sleep 0.1
	done
}

check_machine() {
	[[ $(uname -s) == Linux ]] || fail "sandboxes on this machine need Linux; this is $(uname -s)"
	[[ $(id -u) == 0 ]] || fail "sandboxes on this machine need root: sudo make demo"
	command -v python3 >/dev/null && [[ -x /usr/bin/python3 ]] && return
	if command -v apt-get >/dev/null; then
		echo "One of the samples is Python code, and this machine has no /usr/bin/python3: installing the package python3-minimal."
		{ apt-get update && apt-get install -y --no-install-recommends python3-minimal; } >"$dir/apt.log" 2>&1 ||
			fail "installing python3-minimal failed (log: $dir/apt.log); install python3 and try again"
	else
		fail "one of the samples is Python code: install python3 (to /usr/bin) and try again"
	fi
}

start_control_plane() {
	if [[ -n $own_cluster ]]; then
		"$kubectl" get --raw /readyz >/dev/null 2>&1 ||
			fail "the cluster of KUBECONFIG=$own_cluster can't be reached; unset KUBECONFIG to have the demo start one of its own"
		[[ -z $("$kubectl" get sandbox-operator --all-namespaces --output name 2>/dev/null) ]] ||
			fail "the cluster of KUBECONFIG=$own_cluster has objects of the operator already; unset KUBECONFIG to have the demo start one of its own"
		echo "Using the cluster of KUBECONFIG=$own_cluster"
		"$kubectl" apply --server-side -f config/crd/bases
		return
	fi
	bin/controlplane-up --kubeconfig "$dir/kubeconfig" --dir "$dir/controlplane" >"$dir/controlplane.log" 2>&1 &
	pids+=($!)
	until_true 60 "${pids[-1]}" controlplane test -f "$dir/kubeconfig"
	export KUBECONFIG=$dir/kubeconfig
	echo "kube-apiserver, etcd and kube-controller-manager run on 127.0.0.1."
}

# start_provider starts what the backend needs beside this machine, and sets what the manager is told about it.
start_provider() {
	manager_arguments=(--backends="$backend")
	case $backend in
	local) manager_arguments+=(--local-root="$dir/local" --local-runsc="$SANDBOX_RUNSC") ;;
	daytona)
		bin/fake-daytona --dir "$dir/daytona" >"$dir/daytona.url" 2>"$dir/daytona.log" &
		pids=($! "${pids[@]}")
		until_true 30 "${pids[0]}" daytona test -s "$dir/daytona.url"
		echo "A fake Daytona runs at $(<"$dir/daytona.url")."
		;;
	*) fail "there is no demo of a backend $backend" ;;
	esac
}

start_manager() {
	bin/manager "${manager_arguments[@]}" --health-probe-bind-address=127.0.0.1:0 --zap-devel=false >"$dir/manager.log" 2>&1 &
	# The manager ends before the control plane does.
	pids=($! "${pids[@]}")
	until_true 30 "${pids[0]}" manager grep -q 'Starting workers' "$dir/manager.log"
	echo "The manager runs, with the backend $backend."
}

# prepare_samples sets samples to the manifests: for another backend than local, copies with its provider and without what is the other's.
prepare_samples() {
	samples=config/samples
	[[ $backend != local ]] || return 0
	samples=$dir/samples
	mkdir "$samples"
	cp config/samples/*.yaml "$samples"
	"$kubectl" create namespace sandbox-operator-system --dry-run=client -o yaml | "$kubectl" apply --server-side -f - >/dev/null
	cat >"$samples/provider.yaml" <<END
apiVersion: v1
kind: Secret
metadata:
  name: $backend
  namespace: sandbox-operator-system
stringData:
  apiKey: dtn_00000000000000000000000000000000000000000000000000000000fake
---
apiVersion: sandboxes.run/v1alpha1
kind: ClusterSandboxProvider
metadata:
  name: $backend
  annotations:
    sandboxes.run/is-default-provider: "true"
spec:
  backend: $backend
  endpoint: $(<"$dir/daytona.url")
  credentials:
    secretRef:
      name: $backend
END
	cat >"$samples/kustomization.yaml" <<END
resources:
- provider.yaml
- configmap_orders.yaml
- sandbox.yaml
- sandboxexec_pipeline.yaml
- sandboxexec_python.yaml
patches:
- target:
    kind: Sandbox
  patch: |
    - op: remove
      path: /spec/resources
    - op: replace
      path: /spec/workingDir
      value: /home/daytona/work
    - op: replace
      path: /spec/files/0/path
      value: /home/daytona/work/orders.csv
END
}

# sandbox_processes prints the PIDs of the processes of this demo's sandboxes.
sandbox_processes() {
	local file words
	for file in /proc/[0-9]*/cmdline; do
		{ mapfile -d '' -t words <"$file"; } 2>/dev/null || continue
		case " ${words[*]} " in
		*" --root=$dir/local"* | *" --root $dir/local"* | " sandbox-machine-"*" $dir/$backend/"*)
			echo "$(basename "$(dirname "$file")")"
			;;
		esac
	done
}

# sandboxes_left prints what the provider has.
sandboxes_left() {
	local at=$dir/$backend
	[[ $backend != local ]] || at+=/sandboxes
	find "$at" -mindepth 1 -maxdepth 1 2>/dev/null || true
}

# nothing_left: nothing of ours is on the API server, no sandbox is at the provider, and no process of one is left.
nothing_left() {
	local left
	left=$("$kubectl" get sandbox-operator --all-namespaces --output name 2>&1 | grep -v '^No resources found' || true)
	[[ -z $left ]] || fail "objects are left: $left"
	echo "objects of the operator:       none"
	left=$(sandboxes_left)
	[[ -z $left ]] || fail "sandboxes are left at the provider: $left"
	echo "sandboxes at the provider:     none"
	left=$(sandbox_processes)
	[[ -z $left ]] || fail "processes of sandboxes are left: $left"
	echo "processes of sandboxes:        none"
}

begin "Start a control plane and the manager"
check_machine
start_control_plane
start_provider
start_manager
prepare_samples
took

begin "Apply the samples: a provider, a Sandbox with a data file, a shell pipeline, Python code"
show "$kubectl" apply -k "$samples"
took

begin "Wait for the results"
show "$kubectl" wait --for=condition=Ready clustersandboxprovider/"$backend" sandboxes.sandboxes.run/demo --timeout=60s ||
	fail "$("$kubectl" get csbxp,sbx -o jsonpath='{range .items[*]}{.kind} {.metadata.name}: {.status.conditions[?(@.type=="Ready")].message}{"\n"}{end}')"
show "$kubectl" wait --for=condition=Finished sandboxexec/pipeline sandboxexec/python --timeout=60s ||
	fail "$("$kubectl" get sbxe -o jsonpath='{range .items[*]}{.kind} {.metadata.name}: {.status.conditions[?(@.type=="Ready")].message}{"\n"}{end}')"
took

begin "Look at them"
show "$kubectl" get clustersandboxproviders,sandboxes.sandboxes.run,sandboxexecs
for exec in pipeline python; do
	printf '\n'
	show "$kubectl" get sandboxexec "$exec" -o 'jsonpath={.status.stdout.head}'
	outcome=$("$kubectl" get sandboxexec "$exec" -o jsonpath='{.status.outcome}')
	[[ $outcome == Succeeded ]] || fail "sandboxexec/$exec ended as $outcome: $("$kubectl" get sandboxexec "$exec" -o jsonpath='{.status.stderr.head}')"
done
took

if [[ ${KEEP:-} == 1 ]]; then
	cat <<END

Everything is left running. Go on with:

  export KUBECONFIG=$KUBECONFIG
  alias kubectl=$kubectl
  kubectl get sandbox-operator
  kubectl describe sbx demo
  kubectl explain sandboxexec.spec

End it with:

  kubectl delete sbxe,sbx --all --all-namespaces && kubectl delete csbxp --all && kubectl delete sbxp --all --all-namespaces
  kill ${pids[*]}; rm -rf $dir; unset KUBECONFIG
END
	trap - ERR INT TERM
	disown -a
	exit 0
fi

begin "Delete all"
# What the check below counts is there now.
[[ -n $(sandbox_processes) ]] || fail "the sandbox has no processes"
show "$kubectl" delete -k "$samples" --timeout=60s
nothing_left
took

stop
rm -rf "$dir"
printf '\n%sDone in %s s.%s\n' "$bold" "$(since "$demo_began")" "$plain"
