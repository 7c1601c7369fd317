// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// A lease is the file of that name, with a time in it, and a keeper: a small process of the machine that outlives the operator,
// sleeps until that time, looks whether it was moved meanwhile, and otherwise ends the remote and removes all of it. A process
// outside of the sandbox can do that also while the sandbox is paused. Without a lease there is no keeper.
//
// Several keepers of one remote do no harm: who renames the lease ends the remote. One that was killed is replaced when
// somebody renews the lease, or looks at the remote after it.

// keeperScript is the keeper. Arguments: the flag by which processes of the remote are known; its directory; runsc; its ID;
// where directories go that are being removed; and the cgroup mount with the remote's path below it, which may be "".
const keeperScript = `flag=$1 dir=$2 program=$3 id=$4 tmp=$5 mount=$6 cgroup=$7
trap 'kill -s KILL "$!" 2>/dev/null; exit 0' TERM
while read -r end <"$dir/lease"; do
	now=$(date +%s)
	left=$((end - now))
	if [ "$left" -le 0 ]; then
		mv "$dir/lease" "$dir/expired" || sleep 1
		read -r end <"$dir/expired" || continue
		[ "$end" -gt "$now" ] || break
		# Renewed in the very moment.
		mv "$dir/expired" "$dir/lease"
		continue
	fi
	# The machine's clock may be set meanwhile.
	[ "$left" -lt 600 ] || left=600
	sleep "$left" &
	wait "$!"
done
trap 'exit 0' TERM
[ -e "$dir/expired" ] || exit 0
for _ in 1 2 3 4 5 6 7 8 9 10; do
	"$program" "$flag" delete -force "$id" && break
	sleep 1
done
for stat in $(grep -laF -e "$flag" /proc/[0-9]*/cmdline); do
	pid=${stat#/proc/}
	pid=${pid%/cmdline}
	[ "$pid" = $$ ] || kill -9 "$pid"
done
if [ -n "$cgroup" ]; then
	for _ in 1 2 3 4 5; do
		rmdir "$mount/$cgroup" "$mount"/*/"$cgroup"
		[ -n "$(find "$mount/$cgroup" "$mount"/*/"$cgroup" -prune)" ] || break
		sleep 1
	done
fi
mv "$dir" "$tmp/expired-$id-$$" && rm -rf "$tmp/expired-$id-$$"`

// keepLine is a line of shell that starts a keeper and does not wait for it.
func (m *machine) keepLine(d remoteDir, rec record) string {
	words := []string{
		hostShell, "-c", keeperScript, "keeper", stateFlag(d), string(d), m.runsc.program, d.id(), m.store.tmp(), m.cgroups.mount,
		strings.TrimPrefix(rec.Cgroup, "/"),
	}
	for i, word := range words {
		words[i] = backends.Quote(word)
	}
	return strings.Join(words, " ") + ` </dev/null >/dev/null 2>&1 & echo "$!" >` + backends.Quote(d.keeper())
}

// startKeeper starts a keeper, which is no child of this process.
func (m *machine) startKeeper(ctx context.Context, d remoteDir, rec record) error {
	cmd := newCommand(ctx, hostShell, "-c", m.keepLine(d, rec))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("starting the keeper of its lease: %w", err)
	}
	return nil
}

// keeperPatience is how long a keeper may take to end when told so. One that is at work on the end of the remote is killed: who
// stops it goes on with that.
const keeperPatience = time.Second

// stopKeeper ends the keeper, where there is one.
func (d remoteDir) stopKeeper(ctx context.Context) error {
	signal := syscall.SIGTERM
	began := time.Now()
	return poll(ctx, 2*time.Millisecond, func() (bool, error) {
		pid := sandboxProcess(d, d.keeper())
		if pid == 0 {
			return true, nil
		}
		if time.Since(began) > keeperPatience {
			signal = syscall.SIGKILL
		}
		_ = syscall.Kill(pid, signal)
		return false, nil
	})
}

// writeLease sets the time at which the remote ends. The keeper counts in seconds, and never ends it too early.
func (d remoteDir) writeLease(end time.Time) error {
	seconds := end.Add(time.Second - 1).Unix()
	return replaceFile(d.lease(), []byte(strconv.FormatInt(seconds, 10)+"\n"))
}

// readLease returns when the remote ends; the zero time where it does not.
func (d remoteDir) readLease() time.Time {
	for _, file := range []string{d.lease(), d.expired()} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if seconds, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil {
			return time.Unix(seconds, 0).UTC()
		}
	}
	return time.Time{}
}

// leaseGrace is how long after the end of a lease its keeper may still be asleep.
const leaseGrace = 5 * time.Second

// enforceLease sees to it that a remote ends whose keeper was killed, or died with the machine.
func (m *machine) enforceLease(ctx context.Context, d remoteDir, rec record) {
	end := d.readLease()
	if end.IsZero() || time.Since(end) < leaseGrace || sandboxProcess(d, d.keeper()) != 0 {
		return
	}
	// A keeper that was killed in the middle of the end has the lease already.
	if err := os.Rename(d.expired(), d.lease()); err == nil || errors.Is(err, fs.ErrNotExist) {
		_ = m.startKeeper(ctx, d, rec) // the next look tries again
	}
}

func checkLifetime(lifetime time.Duration) error {
	if lifetime != 0 && lifetime < leastLifetime {
		return fmt.Errorf("the lifetime is %s; the least that this backend takes is %s", lifetime, leastLifetime)
	}
	return nil
}

// SetLifetime implements backends.LifetimeSetter.
func (b *backend) SetLifetime(ctx context.Context, id string, lifetime time.Duration) error {
	m, d, rec, err := b.existing(ctx, operationSetLifetime, id)
	if err != nil {
		return err
	}
	if err := checkLifetime(lifetime); err != nil {
		return backends.Errorf(backends.Invalid, Name, operationSetLifetime, "%w", err)
	}
	if err := m.setLifetime(ctx, d, rec, lifetime); errors.Is(err, fs.ErrNotExist) {
		return m.absent(operationSetLifetime)
	} else if err != nil {
		return backends.Errorf(backends.Ambiguous, Name, operationSetLifetime, "the lifetime can't be set: %w", withoutPath(err))
	}
	if _, err := os.Stat(d.expired()); err == nil {
		return backends.Errorf(backends.Unavailable, Name, operationSetLifetime, "the sandbox's lifetime is over, and it is being removed")
	}
	return nil
}

func (m *machine) setLifetime(ctx context.Context, d remoteDir, rec record, lifetime time.Duration) error {
	if lifetime == 0 {
		if err := os.Remove(d.lease()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return d.stopKeeper(ctx)
	}
	before, end := d.readLease(), time.Now().Add(lifetime)
	if err := d.writeLease(end); err != nil {
		return err
	}
	if sandboxProcess(d, d.keeper()) != 0 && end.After(before) {
		return nil // the keeper looks when the old lease is past
	}
	if err := d.stopKeeper(ctx); err != nil {
		return err
	}
	return m.startKeeper(ctx, d, rec)
}
