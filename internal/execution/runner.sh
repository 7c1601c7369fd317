# The runner: takes the fence of one run in the sandbox, keeps its deadline, and fills its spool. Portable to dash, BusyBox
# and bash; kill_tree is defined before this text. Called as
#
#   sh -c 'eval "$1"' sh TEXT VERB ROOT NAME [ARGUMENTS]
#
# so that TEXT can be handed on to the process that stays. All verbs but watch end with KEEP, six words: how much of stdout
# and of stderr to bring back at the end (head and tail of each), how much of each while the command runs, and the names of runs
# whose spools are of no use any more, between commas. The fence is the directory ROOT/NAME. In it:
#
#   script     what to run, deleted by itself as its first act      session  PID of the command, which leads a session
#   runner     PID, start time and boot ID of who watches           began    uptime at the start
#   stdout, stderr                                                  exit     exit code, cause, times and sizes: the end
#   refused    why the command was certainly not run                never    the fence was taken to keep it from running
#   timedout, cancel   the tree was, or shall be, killed            secrets  digest of the Secrets' values it was given
#
# What must be said even when the disk is full by then is written over files that are made beforehand (NAME.new), and moved.
# Order matters everywhere: what a crash may cut short stands before the fence or is safe to be seen half done after it.
set -u
umask 077
unset SANDBOXES_RUN_CALL
runner=$1 verb=$2 root=$3 name=$4
shift 4
dir=$root/$name
marker=SANDBOXES_RUN_EXEC=$name

# stat_of PID sets st_state and st_start (clock ticks since boot), or fails where there is no such process.
stat_of() {
	st_line=
	{ IFS= read -r st_line </proc/"$1"/stat; } 2>/dev/null || return 1
	st_line=${st_line##*') '}
	st_state=${st_line%% *}
	# shellcheck disable=SC2086 # words are wanted
	set -- $st_line
	[ $# -ge 20 ] || return 1
	shift 19
	st_start=$1
}

# uptime sets up to the sandbox's uptime in hundredths of a second; what is no number there becomes 0.
uptime() {
	up=
	{ IFS=' ' read -r up _ </proc/uptime; } 2>/dev/null
	case $up in
	*.[0-9][0-9]) up=${up%.*}${up#*.} ;;
	*) up=0 ;;
	esac
	while :; do case $up in 0?*) up=${up#0} ;; *) break ;; esac done
	case $up in '' | *[!0-9]*) up=0 ;; esac
}

boot_id() {
	boot=
	{ IFS= read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
	boot=${boot:-none}
}

# alive says whether the process that watches the command still does. A zombie is dead; so is a PID of another boot.
alive() {
	ru_pid= ru_start= ru_boot=
	{ IFS=' ' read -r ru_pid ru_start ru_boot <"$dir/runner"; } 2>/dev/null || return 1
	boot_id
	[ "$ru_boot" = "$boot" ] && stat_of "$ru_pid" && [ "$st_start" = "$ru_start" ] || return 1
	case $st_state in Z | X) return 1 ;; esac
}

nap() { sleep 0.05 2>/dev/null || sleep 1; }

# end_tree ends what the command started: TERM, most of a second for it to leave, then KILL until none is left. A look at
# all processes takes a while itself where there are many, so the clock counts, and the tries only where there is none.
end_tree() {
	session=
	{ IFS= read -r session <"$dir/session"; } 2>/dev/null
	kill_tree TERM "$marker" "$session" || return 0
	kill_tree CONT "$marker" "$session"
	uptime
	et_until=$((up + 80)) et_tries=0
	while [ "$up" -lt "$et_until" ] && [ "$et_tries" -lt 16 ]; do
		nap
		kill_tree 0 "$marker" "$session" || return 0
		et_tries=$((et_tries + 1))
		uptime
	done
	et_tries=0
	while kill_tree KILL "$marker" "$session" && [ "$et_tries" -lt 200 ]; do
		et_tries=$((et_tries + 1))
	done
}

# mark NAME puts up one of the marks that were made beforehand, or makes it. (A failed redirection of ":" would end the shell.)
mark() {
	mv "$dir/$1.new" "$dir/$1" 2>/dev/null || { printf '' >"$dir/$1"; } 2>/dev/null
}

# unavailable reports that there is no place for a spool. It is said before the fence is taken only.
unavailable() {
	printf 'sandboxes.run/1\nstate unavailable\nmessage %s\n\n' "$1"
	exit 0
}

# incomplete reports that the connection was cut. Nothing happened; the start is to be tried again.
incomplete() {
	printf 'sandboxes.run/1\nstate incomplete\n\n'
	exit 0
}

# start BYTES TIMEOUT DIGEST WAIT KEEP: the script of BYTES bytes comes on standard input. It is read whole before the
# fence is taken, so that a connection that is cut leaves nothing but the chance to try again.
start() {
	bytes=$1 timeout=$2 digest=$3 patience=$4
	shift 4
	if [ -d "$dir" ]; then
		cat >/dev/null
		report "$@"
		sweep "$6"
		return
	fi
	[ -d "$root" ] || mkdir -p "$root" 2>/dev/null || unavailable "cannot make the directory $root"
	input=$root/in.$name.$$
	trap 'rm -f "$input"' EXIT
	cat >"$input" 2>/dev/null || unavailable "cannot write to $root: disk full or read-only"
	[ "$(wc -c <"$input")" -eq "$bytes" ] || incomplete
	if mkdir "$dir" 2>/dev/null; then
		trap - EXIT
		prepare || { rm -rf "$dir" "$input"; unavailable "cannot write to $root: disk full"; }
		launch "$timeout" "$patience" "$6"
	elif [ ! -d "$dir" ]; then
		unavailable "cannot write to $root: disk full or read-only"
	fi
	report "$@"
}

# prepare puts the script in place, and makes what can't be made when the disk is full. Nobody else has started anything while
# it fails, so the fence may be taken down again.
prepare() {
	mv "$input" "$dir/script" || return
	{ printf '%s\n' "$digest" >"$dir/secrets" && printf '%255s\n' '' >"$dir/exit.new" &&
		printf '%1023s\n' '' >"$dir/refused.new" && printf '%127s\n' '' >"$dir/runner" &&
		printf '' >"$dir/timedout.new" && printf '' >"$dir/cancel.new"; } 2>/dev/null
}

# launch TIMEOUT PATIENCE SPENT runs the watching process in a session of its own and waits PATIENCE seconds for the command's
# end. Meanwhile the spools go that are of no use any more.
launch() {
	mkfifo "$dir/done" 2>/dev/null && exec 3<>"$dir/done"
	if command -v setsid >/dev/null 2>&1; then
		setsid /bin/sh -c 'eval "$1"' sh "$runner" watch "$root" "$name" "$1" </dev/null >/dev/null 2>&1 3>&- &
	else
		set -m
		/bin/sh -c 'eval "$1"' sh "$runner" watch "$root" "$name" "$1" </dev/null >/dev/null 2>&1 3>&- &
		set +m
	fi
	sweep "$3"
	await "$2"
}

# sweep NAMES empties the spools of these runs. The fences stay.
sweep() {
	[ -n "$1" ] || return 0
	sw_rest=$1,
	set --
	while [ -n "$sw_rest" ]; do
		sw_dir=$root/${sw_rest%%,*}
		sw_rest=${sw_rest#*,}
		for sw_file in "$sw_dir"/*; do
			case $sw_file in
			*/never | */refused) ;;
			*) [ ! -e "$sw_file" ] || set -- "$@" "$sw_file" ;;
			esac
		done
	done
	[ $# -eq 0 ] || rm -rf "$@" 2>/dev/null
}

# await returns when the command has ended, at the latest after so many seconds.
await() {
	if [ ! -p "$dir/done" ]; then
		aw_tries=0
		while [ ! -f "$dir/exit" ] && [ ! -f "$dir/refused" ] && [ "$aw_tries" -lt $(($1 * 20)) ]; do
			nap
			aw_tries=$((aw_tries + 1))
		done
		return
	fi
	(sleep "$1" && echo >&3) </dev/null >/dev/null 2>&1 &
	read -r _ <&3
	kill "$!" 2>/dev/null
}

# watch TIMEOUT: the process that stays. It runs the command in a session of its own and writes down how it ended.
watch() {
	boot_id
	stat_of "$$" || st_start=0
	printf '%s %s %s\n' "$$" "$st_start" "$boot" 1<>"$dir/runner"
	uptime
	began=$up deadline=
	if [ -f "$dir/cancel" ]; then
		# Cancelled between the fence and here: it never ran.
		rm -f "$dir/script"
		mark never
		return
	fi
	if command -v setsid >/dev/null 2>&1; then
		setsid /bin/sh "$dir/script" </dev/null >"$dir/stdout" 2>"$dir/stderr" &
	else
		set -m
		/bin/sh "$dir/script" </dev/null >"$dir/stdout" 2>"$dir/stderr" &
		set +m
	fi
	command=$!
	printf '%s\n' "$command" >"$dir/session"
	if [ "$1" -gt 0 ]; then
		keep_deadline "$1" &
		deadline=$!
	fi
	wait "$command" 2>/dev/null
	end "$?"
}

# keep_deadline SECONDS kills the tree when the time is over. It leaves no sleep behind when it is ended before.
keep_deadline() {
	trap 'kill -s KILL "$!" 2>/dev/null; exit 0' TERM
	sleep "$1" &
	wait "$!"
	trap '' TERM
	mark timedout
	end_tree
}

# size_of NAME sets size to the bytes of a stream. Programs that need not be started are what a short command's time is saved on.
size_of() {
	size=0
	[ ! -s "$dir/$1" ] || size=$(wc -c <"$dir/$1" 2>/dev/null) || size=0
}

# end CODE writes down the end: CODE CAUSE BEGAN ENDED STDOUT-BYTES STDERR-BYTES DISK. Where the disk is full by then, what
# the command printed last may be lost.
end() {
	uptime
	cause=exited
	[ ! -f "$dir/cancel" ] || cause=cancelled
	[ -z "$deadline" ] || [ -f "$dir/timedout" ] || kill "$deadline" 2>/dev/null
	if [ -f "$dir/timedout" ]; then
		cause=timedout
		wait "$deadline" 2>/dev/null
	fi
	size_of stdout
	out=$size
	size_of stderr
	err=$size
	disk=ok
	{ printf '%4096s' '' >"$dir/probe"; } 2>/dev/null || disk=full
	{ printf '' >"$dir/probe"; } 2>/dev/null
	for file in "$dir"/code.* "$dir/input" "$dir/script"; do
		[ ! -e "$file" ] || rm -f "$file"
	done
	printf '%s %s %s %s %s %s %s\n' "$1" "$cause" "$began" "$up" $((out)) $((err)) "$disk" 1<>"$dir/exit.new"
	mv "$dir/exit.new" "$dir/exit"
	[ ! -p "$dir/done" ] || echo 1<>"$dir/done"
}

# prevent KEEP: keeps the command from ever starting. One that has started goes on.
prevent() {
	[ -d "$root" ] || mkdir -p "$root" 2>/dev/null
	if mkdir "$dir" 2>/dev/null; then
		mark never
	fi
	report "$@"
}

# cancel SEEN KEEP: keeps the command from ever starting, or kills it with all that it started. An end that is already
# written down stays as it is. Where its start was seen (SEEN is 1), a fence that is gone proves nothing: what carries the
# marker is killed.
cancel() {
	seen=$1
	shift
	[ -d "$root" ] || mkdir -p "$root" 2>/dev/null
	if [ "$seen" = 1 ] && [ ! -d "$dir" ]; then
		end_tree
	elif mkdir "$dir" 2>/dev/null; then
		mark never
	elif [ -d "$dir" ] && [ ! -f "$dir/exit" ] && [ ! -f "$dir/never" ] && [ ! -f "$dir/refused" ]; then
		mark cancel
		end_tree
		ca_tries=0
		while [ ! -f "$dir/exit" ] && [ "$ca_tries" -lt 10 ] && alive; do
			nap
			ca_tries=$((ca_tries + 1))
		done
	fi
	report "$@"
}

# report OUT-HEAD OUT-TAIL ERR-HEAD ERR-TAIL PROGRESS prints the state, and after the end what is kept of the streams.
report() {
	printf 'sandboxes.run/1\n'
	if [ ! -d "$dir" ]; then
		printf 'state absent\n\n'
	elif [ -f "$dir/never" ]; then
		printf 'state never\n\n'
	elif [ -f "$dir/exit" ] && [ ! -f "$dir/refused" ]; then
		report_end "$@"
	elif [ -f "$dir/refused" ]; then
		reason= message=
		{ IFS= read -r reason && IFS= read -r message; } <"$dir/refused" 2>/dev/null
		printf 'state refused\nreason %s\nmessage %s\n\n' "$reason" "$message"
	elif alive; then
		report_running "$5"
	elif [ -f "$dir/exit" ]; then
		# It ended between the two looks at the directory.
		report_end "$@"
	elif [ -n "$ru_pid" ]; then
		printf 'state lost\n\n'
	else
		printf 'state starting\n\n'
	fi
}

# report_running BYTES prints so much of what each stream got last.
report_running() {
	if [ "$1" -eq 0 ]; then
		printf 'state running\n\n'
		return
	fi
	size_of stdout
	out=$((size))
	size_of stderr
	err=$((size))
	read_digests
	printf 'state running\nsecrets %s\nfiles %s\nstdout %s\nstderr %s\n\n' "$digest" "$files" "$out" "$err"
	keep stdout "$out" 0 "$1"
	keep stderr "$err" 0 "$1"
}

# read_digests sets digest and files to what says which values of Secrets the command and its sandbox were given.
read_digests() {
	digest= files=
	{ IFS= read -r digest <"$dir/secrets"; } 2>/dev/null
	{ IFS= read -r files <"$root/files.digest"; } 2>/dev/null
}

report_end() {
	IFS=' ' read -r code cause began ended out err disk _ <"$dir/exit"
	uptime
	read_digests
	printf 'state exited\nend %s %s %s %s %s %s\nsecrets %s\n' "$code" "$cause" "$began" "$ended" "$up" "$disk" "$digest"
	printf 'files %s\n' "$files"
	report_stream stdout "$out" "$1" "$2"
	report_stream stderr "$err" "$3" "$4"
	printf '\n'
	keep stdout "$out" "$1" "$2"
	keep stderr "$err" "$3" "$4"
}

# report_stream NAME BYTES HEAD TAIL prints how much of it follows. The digest is computed here only where the middle is
# left out; who reads this computes the others.
report_stream() {
	sum=
	if [ "$2" -gt $(($3 + $4)) ]; then
		sum=$(head -c "$2" "$dir/$1" 2>/dev/null | sha256sum 2>/dev/null)
		sum=${sum%% *}
	fi
	printf '%s %s %s\n' "$1" "$2" "$sum"
}

keep() {
	if [ "$2" -le $(($3 + $4)) ]; then
		[ "$2" -eq 0 ] || head -c "$2" "$dir/$1"
		return
	fi
	[ "$3" -eq 0 ] || head -c "$3" "$dir/$1"
	[ "$4" -eq 0 ] || tail -c +$(($2 - $4 + 1)) "$dir/$1" | head -c "$4"
}

case $verb in
start) start "$@" ;;
watch) watch "$@" ;;
prevent) prevent "$@" ;;
cancel) cancel "$@" ;;
look)
	report "$@"
	sweep "$6"
	;;
esac
