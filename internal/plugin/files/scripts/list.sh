# list.sh PATH LONG: prints of each entry of a directory, or of a file itself, a letter for its type and its name, with a NUL behind
# each. With LONG (yes or no), behind an empty record: mode in hexadecimal, size, time, user and group, a line each; and then, with a
# NUL behind each, where each link leads.
decode "$1"
[ -n "$path" ] || path=.
[ -e "$path" ] || [ -L "$path" ] || die "$path: no such file or directory"
if [ -d "$path" ]; then
	cd "$path" 2>/dev/null || die "$path: permission denied"
	[ -r . ] || die "$path: permission denied"
	all() {
		for name in .* *; do
			case $name in . | ..) continue ;; esac
			[ ! -e "$name" ] && [ ! -L "$name" ] || "$1"
		done
	}
else
	name=$path
	all() { "$1"; }
fi
typed() {
	if [ -L "$name" ]; then
		type=l
	elif [ -d "$name" ]; then
		type=d
	elif [ -f "$name" ]; then
		type=f
	else
		type=o
	fi
	printf '%s%s\0' "$type" "$name"
}
named() { printf '%s\0' "$name"; }
leads() {
	[ -L "$name" ] || return 0
	to=$(readlink -- "$name" && printf x)
	to=${to%x}
	printf '%s\0' "${to%?}"
}
all typed
[ "$2" = yes ] || exit 0
command -v stat >/dev/null 2>&1 || die "there is no stat in it, which -l needs"
printf '\0'
all named | xargs -0 stat -c '%f %s %Y %U %G' -- 2>/dev/null
printf '\0'
all leads
