#!/bin/sh
# Run one command beside another: tools/beside.sh QUIET LOUD
#
# QUIET gets the processor's idle time, and its output is shown in one piece when it has ended. Fails when one of them does.
set -u
log=$(mktemp)
trap 'rm -f "$log"' EXIT
(
    nice sh -c "$1" >"$log" 2>&1
    status=$?
    cat "$log"
    exit "$status"
) &
sh -c "$2"
loud=$?
wait $!
quiet=$?
[ "$quiet" -eq 0 ] || echo "error: '$1' ended with status $quiet; its output stands above" >&2
[ "$loud" -eq 0 ] || exit "$loud"
exit "$quiet"
