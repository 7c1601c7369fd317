# make.sh PARENTS PATH...: makes each directory; with PARENTS (yes or no) those above it, too, and one that is there is fine.
parents=$1
shift
for escaped; do
	decode "$escaped"
	if [ "$parents" = yes ]; then
		said=$(mkdir -p "$path" 2>&1) || { reason "$said"; die "$path: $why"; }
	elif [ -e "$path" ] || [ -L "$path" ]; then
		die "$path: exists"
	else
		above=.
		case $path in ?*/*) above=${path%/*} ;; esac
		[ -d "$above" ] || die "$above: no such directory; -p makes it, too"
		said=$(mkdir "$path" 2>&1) || { reason "$said"; die "$path: $why"; }
	fi
done
