# more.sh PATH CHUNK INDEX: prints a further piece of CHUNK bytes.
decode "$1"
dd if="$path" bs="$2" skip="$3" count=1 2>/dev/null || die "$path: can't be read any more"
