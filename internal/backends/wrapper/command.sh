# Runs one command in a sandbox, as the first process of a call over a connection that has three streams. Portable to dash, BusyBox and
# bash. What a backend needs of it is defined before this text: kill_tree where there is a deadline, and
#
#   guard    which may refuse the command with "finish WHY" before anything has run
#   lines    commands that set the environment
#
# Called with the positional parameters
#
#   WORD1 WORD2 TIMEOUT SETTINGS BYTES DIRECTORY PROGRAM [ARGUMENTS]
#
# The two words together are what ends each stream of the command: the streams themselves end only when all that the command left
# running lets go of them, and nobody waits for that. Here they are apart, so that a list of processes which the command prints does
# not end it. TIMEOUT is in seconds, or empty. With SETTINGS 1 lines to be evaluated come first on standard input, ended by a line
# with both words; then come BYTES bytes for the command. DIRECTORY, where not empty, is made where it is missing; where that is not
# allowed, the report is "nodir", and nothing has run.
word=$1$2 call=SANDBOXES_RUN_CALL=$1 timeout=$3 settings=$4 bytes=$5 dir=$6
shift 6
exec 3>&2 6<&0 </dev/null 2>/dev/null

finish() {
	printf '%s %s\n' "$word" "$1"
	printf '%s %s\n' "$word" "$1" >&3
	exit 0
}

guard
if [ -n "$dir" ]; then
	[ -d "$dir" ] || mkdir -p "$dir"
	cd -- "$dir" || finish nodir
fi

if [ "$settings" = 1 ]; then
	while IFS= read -r line <&6; do
		[ "$line" != "$word" ] || break
		lines="$lines$line
"
	done
	# Cut on its way here: nothing has been started.
	[ "$line" = "$word" ] || exit 1
fi

# become turns into the command. What the lines set may have any name, so nothing of this script is used after them.
become() {
	unset OLDPWD
	if [ -n "$timeout" ] && [ -x /usr/bin/setsid ]; then
		set -- /usr/bin/setsid "$@"
	fi
	export "$call"
	eval "$lines"
	exec "$@"
}

if [ "$bytes" -gt 0 ]; then
	# The reader is no part of the job: what of the input the command leaves must not be waited for.
	{ head -c "$bytes" <&6 3>&- & } | become "$@" 2>&3 3>&- 6<&- &
else
	become "$@" 2>&3 3>&- 6<&- &
fi
command=$!

# watch kills the command with all that it started when its time is over, and says so by its exit code.
watch() {
	trap 'kill -s KILL "$!"; exit 0' TERM
	sleep "$timeout" &
	# Not every sleep takes fractions.
	wait "$!" || { sleep "$((${timeout%.*} + 1))" & wait "$!"; }
	trap '' TERM
	tries=0
	while kill_tree KILL "$call" "$command" && [ "$tries" -lt 200 ]; do tries=$((tries + 1)); done
	kill -s KILL "$command"
	exit 77
}
if [ -n "$timeout" ]; then
	watch >/dev/null 3>&- 6<&- &
	watcher=$!
fi
wait "$command"
code=$?
if [ -n "$timeout" ]; then
	kill "$watcher"
	wait "$watcher"
	[ $? -ne 77 ] || code="$code timedout"
fi
finish "$code"
