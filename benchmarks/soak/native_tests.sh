# Sourced by the scripts beside it: builds the native tests in a folder and runs all of them, into a report.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LC_ALL=C
CMAKE=${CMAKE:-cmake} CTEST=${CTEST:-ctest} JOBS=${JOBS:-1}
# A processor without AVX-512 skips that row, and the report says so.
report=$(mktemp)
trap 'rm -f "$report"' EXIT

# native_tests FOLDER CMAKE_OPTION...: appends the outcome to the report; fails where a test fails or none ran.
native_tests() {
  local folder=$1 begin=$SECONDS
  shift
  mkdir -p "$folder"
  "$CMAKE" -S . -B "$folder" -DTAMIS_EXTENSION=OFF -DTAMIS_NATIVE_TESTS=ON "$@" > "$folder.log" 2>&1 &&
    "$CMAKE" --build "$folder" --parallel "$JOBS" >> "$folder.log" 2>&1 || { tail -n 40 "$folder.log" >&2; return 1; }
  {
    echo
    echo "options: $*"
    sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=/compiler: /p' "$folder/CMakeCache.txt"
    echo "built in $((SECONDS - begin)) s"
  } | tee -a "$report"
  "$CTEST" --test-dir "$folder" --output-on-failure --no-tests=error --exclude-regex '^symbols_' | tee -a "$report"
}

# Writes the report to benchmarks/results, headed by what it was made on.
publish() {
  {
    echo "# $1"
    echo "# $(date -u +%Y-%m-%d), $(uname -sm), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
    echo "# commit $(git rev-parse --short HEAD 2> /dev/null || echo unknown)$(git diff --quiet -- . ':!benchmarks/results' 2> /dev/null || echo ' and changes')"
    # No path of this machine.
    sed -e "s|$PWD/||g" -e "s|$PWD|.|g" -e "/^Internal ctest changing/d" -e "/^Test project/d" "$report"
  } > "benchmarks/results/$2"
}
