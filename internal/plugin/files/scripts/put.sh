# put.sh STAGE KIND LAST DESTINATION BASE BYTES SHA256 MODE: adds the parts in the directory STAGE to what came before; with LAST
# (yes or no) puts the whole in its place, after its size and digest were found right. KIND is file or directory (then it is an
# archive). Prints the digest, or - where it could not be checked.
umask 077
stage=$1
[ "$2" = file ] || command -v tar >/dev/null 2>&1 || die "there is no tar in it, which directories need: copy files one by one"
cat "$stage"/part-* >>"$stage/all" || die "no place for the copy in $stage: its disk may be full"
rm -f "$stage"/part-*
[ "$3" = yes ] || exit 0

bytes=$(wc -c <"$stage/all")
[ "$bytes" -eq "$6" ] || die "$6 bytes were sent, and $((bytes)) arrived: try again"
digest "$stage/all"
[ "$sum" = - ] || [ "$sum" = "$7" ] || die "what arrived has the digest $sum, and not $7: try again"

decode "$5" && base=${path#./}
decode "$4"
[ -n "$path" ] || path=.
umask 022
case $path in
*/) mkdir -p "$path" 2>/dev/null || die "$path: the directory can't be made" ;;
esac
[ ! -d "$path" ] || [ -z "$base" ] || path=${path%/}/$base
above=.
case $path in ?*/*) above=${path%/*} ;; esac
[ -n "$above" ] || above=/
mkdir -p "$above" 2>/dev/null || die "$above: the directory can't be made"

if [ "$2" = directory ]; then
	[ -d "$path" ] || mkdir "$path" 2>/dev/null || die "$path: the directory can't be made"
	said=$(tar -xpf "$stage/all" -C "$path" 2>&1) || { reason "$said"; die "$path: $why"; }
else
	[ ! -d "$path" ] || die "$path: is a directory"
	[ ! -e "$path" ] || [ -f "$path" ] || die "$path: is neither a file nor a directory"
	# First beside its place, then at once and whole into it.
	beside=$above/.${stage##*/}
	said=$(mv "$stage/all" "$beside" 2>&1 && chmod "$8" "$beside" 2>&1 && mv -f "$beside" "$path" 2>&1) || {
		rm -f "$beside"
		reason "$said"
		die "$path: $why"
	}
fi
rm -rf "$stage"
printf '%s\n' "$sum"
