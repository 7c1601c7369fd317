# What all scripts begin with. Portable to dash, BusyBox and bash. Arguments that are paths come with all that a shell or JSON
# could trip over as octal escapes. A script that fails says why in one line on its standard error, and ends with code 1.
set -u
stage=
die() {
	printf '%s\n' "${1#./}" >&2
	[ -z "$stage" ] || rm -rf "$stage"
	exit 1
}
# decode ESCAPED sets path; the x keeps newlines at its end. A relative one gets ./ before it, lest a dash begin it.
decode() {
	path=$(printf '%bx' "$1")
	path=${path%x}
	case $path in /* | '') ;; *) path=./$path ;; esac
}
# reason TEXT sets why to the first line of what a program said, without its own name.
reason() {
	why=$(printf '%s\n' "$1" | head -n 1)
	why=${why#*: }
}
# digest FILE sets sum to the SHA-256 of it, or to - where no program here knows.
digest() {
	sum=-
	if command -v sha256sum >/dev/null 2>&1; then
		sum=$(sha256sum <"$1") && sum=${sum%% *}
	elif command -v openssl >/dev/null 2>&1; then
		sum=$(openssl dgst -sha256 <"$1") && sum=${sum##* }
	elif command -v shasum >/dev/null 2>&1; then
		sum=$(shasum -a 256 <"$1") && sum=${sum%% *}
	fi
}
