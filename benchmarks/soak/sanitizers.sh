#!/usr/bin/env bash
# All native tests under the address and undefined-behaviour sanitizers and under the thread sanitizer, on every instruction
# set; any finding ends a test program with an error.  About ten minutes of one core.  Writes
# benchmarks/results/soak_sanitizers.txt.
source "$(dirname "$0")/native_tests.sh"

export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=second_deadlock_stack=1
native_tests build/sanitize-address -DTAMIS_SANITIZE=address,undefined
native_tests build/sanitize-thread -DTAMIS_SANITIZE=thread
publish "Native tests under sanitizers (benchmarks/soak/sanitizers.sh); the threaded tests run their tasks on three threads" \
  soak_sanitizers.txt
