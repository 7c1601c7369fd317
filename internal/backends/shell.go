// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import "strings"

// Quote returns s as one word of a POSIX shell, whatever it contains. (A NUL byte can't be part of a word; arguments have
// none.)
func Quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// KillTreeFunction defines a function for POSIX shells (dash, BusyBox, bash):
//
//	kill_tree SIGNAL MARKER SESSION
//
// It signals every living process that has MARKER ("NAME=VALUE", with no newline) as an entry of its environment, or whose
// session or process group is SESSION; either may be empty. The shell that calls it is spared. It returns 0 when it
// signalled a process and 1 when there was none, so that callers repeat it until it fails: a process that forks while
// the list is walked is caught the next time. Signal 0 only looks.
//
// In a sandboxed kernel both a program's start and a byte that dash reads cost dearly (10 ms and 10 µs were measured), so
// one pipeline searches all environments at once: head puts each file's name before its content, tr makes lines of
// entries. Where a sandbox lacks these tools, the shell searches by itself: slowly, and taking what merely contains the
// marker, for the read of a shell drops the NUL bytes between entries.
//
// A command's name in /proc/PID/stat may hold spaces, newlines and parentheses, so fields count from the last parenthesis.
// Zombies are skipped: they are dead, and would keep a caller waiting that wants to see none.
const KillTreeFunction = `
kill_tree() {
	kt_signal=$1 kt_marker=$2 kt_session=$3 kt_marked= kt_self= kt_found=1
	{ IFS=' ' read -r kt_self kt_rest < /proc/self/stat; } 2>/dev/null
	set -- /proc/[0-9]*/environ
	[ -z "$kt_marker" ] || kt_marked=$(kt_find "$@")
	for kt_dir; do
		kt_dir=${kt_dir%/environ}
		kt_pid=${kt_dir#/proc/}
		case $kt_pid in "$$" | "$kt_self") continue ;; esac
		case $kt_marked in
		*"/$kt_pid/"*) ;;
		*) [ -n "$kt_session" ] && kt_member "$kt_dir/stat" || continue ;;
		esac
		kill -s "$kt_signal" "$kt_pid" && kt_found=0
	done 2>/dev/null
	return "$kt_found"
}
kt_find() {
	head -v -c 4194304 "$@" | tr '\000\n' '\n\001' | LC_ALL=C grep -aF -e '/environ <==' -e "$kt_marker" | {
		kt_pid=
		while IFS= read -r kt_line; do
			case $kt_line in *'==> /proc/'*'/environ <=='?*)
				kt_line=${kt_line##*'==> /proc/'}
				kt_pid=${kt_line%%/*}
				kt_line=${kt_line#*'<=='?}
			esac
			[ "$kt_line" != "$kt_marker" ] || echo "/$kt_pid/"
		done
		[ -n "$kt_pid" ] || kt_guess "$@"
	}
} 2>/dev/null
kt_guess() {
	for kt_dir; do
		while IFS= read -r kt_line || [ -n "$kt_line" ]; do
			case $kt_line in *"$kt_marker"*) echo "${kt_dir#/proc}" ;; esac
		done < "$kt_dir"
	done
}
kt_member() {
	kt_stat=
	while IFS= read -r kt_line || [ -n "$kt_line" ]; do
		kt_stat="$kt_stat$kt_line "
	done < "$1"
	kt_stat=${kt_stat##*') '}
	kt_rest=${kt_stat#* }
	kt_rest=${kt_rest#* }
	kt_group=${kt_rest%% *}
	kt_rest=${kt_rest#* }
	case $kt_stat in '' | [ZX]*) return 1 ;; esac
	[ "$kt_group" = "$kt_session" ] || [ "${kt_rest%% *}" = "$kt_session" ]
}
`
