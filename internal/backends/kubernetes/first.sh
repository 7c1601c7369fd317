# The first process of a sandbox: buries orphans, as a shell does while it waits, and ends when the lease is past. The file is the pod's
# annotation, which the kubelet keeps up to date; empty, or missing, it means that there is no lease. Without date there is none either.
trap 'exit 0' TERM INT
while :; do
	end= nap=10
	{ IFS= read -r end </run/sandboxes.run/lease; } 2>/dev/null
	now=$(date +%s 2>/dev/null)
	case $end/$now in
	/* | */ | *[!0-9/]*) ;;
	*)
		left=$((end - now))
		[ "$left" -gt 0 ] || exit 0
		[ "$left" -ge "$nap" ] || nap=$left
		;;
	esac
	sleep "$nap" &
	wait "$!"
done
