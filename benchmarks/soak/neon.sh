#!/usr/bin/env bash
# All native tests built for 64-bit Arm, whose baseline kernels are NEON, and run by qemu-user.  About ten minutes of one core.
# Needs Debian's g++-aarch64-linux-gnu and qemu-user.  Writes benchmarks/results/soak_neon.txt.
source "$(dirname "$0")/native_tests.sh"

native_tests build/neon -DCMAKE_TOOLCHAIN_FILE=csrc/tests/aarch64-linux-gnu.cmake
objdump=aarch64-linux-gnu-objdump
echo "vector multiply-adds in the compiled kernels (fmla): $("$objdump" -d build/neon/csrc/tests/driver_test |
  grep -c $'\tfmla\tv')" | tee -a "$report"
publish "Native tests for 64-bit Arm under $(qemu-aarch64 --version | head -n 1) (benchmarks/soak/neon.sh)" soak_neon.txt
