# get.sh STAGE WANT PATH CHUNK MOST: prints the first CHUNK bytes of a file, or of an archive of a directory, that is made in the
# directory STAGE then; and on its standard error kind, size, mode and digest. WANT file refuses directories. What is larger than
# MOST bytes is not read, and its archive not finished.
mode=0644
[ "$2" = file ] || stage=$1
decode "$3"
[ -n "$path" ] || path=.
if [ -d "$path" ]; then
	kind=directory from=$stage/all
	[ "$2" != file ] || die "$path: is a directory"
	command -v tar >/dev/null 2>&1 || die "there is no tar in it, which directories need: copy files one by one"
	(umask 077 && mkdir -p "$stage") 2>/dev/null || die "no place for the archive in $stage: its disk may be full"
	{
		tar -cf - -C "$path" . 2>"$stage/said" || printf 'x' >"$stage/failed"
	} | head -c $(($5 + 1)) >"$stage/all" || die "no place for the archive in $stage: its disk may be full"
	size=$(wc -c <"$from")
	if [ -e "$stage/failed" ] && [ "$size" -le "$5" ]; then
		reason "$(cat "$stage/said")"
		die "$path: $why"
	fi
elif [ -f "$path" ]; then
	kind=file from=$path
	[ -r "$path" ] || die "$path: permission denied"
	size=$(wc -c <"$from")
	mode=$(stat -L -c %a "$path" 2>/dev/null) || mode=0644
elif [ -e "$path" ]; then
	die "$path: is neither a file nor a directory"
else
	die "$path: no such file or directory"
fi
sum=-
[ "$size" -gt "$5" ] || digest "$from"
printf '%s %s %s %s\n' "$kind" "$((size))" "$mode" "$sum" >&2
[ "$size" -gt "$5" ] || dd if="$from" bs="$4" count=1 2>/dev/null
# An archive that was printed whole, or never will be, is of no use any more.
[ "$kind" = file ] || { [ "$size" -gt "$4" ] && [ "$size" -le "$5" ]; } || rm -rf "$stage"
