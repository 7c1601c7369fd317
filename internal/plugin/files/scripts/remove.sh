# remove.sh RECURSIVE FORCE PATH...: removes each (RECURSIVE, FORCE: yes or no).
recursive=$1 force=$2
shift 2
for escaped; do
	decode "$escaped"
	if [ ! -e "$path" ] && [ ! -L "$path" ]; then
		[ "$force" = yes ] || die "$path: no such file or directory"
	elif [ -d "$path" ] && [ ! -L "$path" ] && [ "$recursive" = no ]; then
		die "$path: is a directory; -r removes it with all that is in it"
	else
		said=$(rm -rf "$path" 2>&1) || { reason "$said"; die "$path: $why"; }
	fi
done
