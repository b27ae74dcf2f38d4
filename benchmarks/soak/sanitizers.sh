#!/usr/bin/env bash
# All native tests under sanitizers, on every instruction set; any finding ends a test program with an error.
#
#   benchmarks/soak/sanitizers.sh                     address and undefined behaviour, then threads
#   benchmarks/soak/sanitizers.sh thread              one of address,undefined and thread
#
# A few minutes of one core each.  Writes benchmarks/results/soak_sanitizers_address.txt and ..._thread.txt.
source "$(dirname "$0")/native_tests.sh"

export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=second_deadlock_stack=1
[ $# -gt 0 ] || set -- address,undefined thread
for sanitizer in "$@"; do
  name=${sanitizer%%,*}
  : > "$report"
  native_tests "build/sanitize-$name" "-DTAMIS_SANITIZE=$sanitizer"
  publish "Native tests under the sanitizer $sanitizer (benchmarks/soak/sanitizers.sh); drivers run on one and on three threads" \
    "soak_sanitizers_$name.txt"
done
