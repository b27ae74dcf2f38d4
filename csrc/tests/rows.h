#pragma once
#include "dispatch.h"

namespace tamis_test {

// A row of the ISA table by name, or "wide": the 16-lane source without AVX-512. Null if there is none of that name.
const tamis::Level* row(const char* name);

// What main does with its argument: the row, or an exit with 77 (skipped) or 2 (unknown name).
const tamis::Level& row_of_command_line(int argc, char** argv);

}  // namespace tamis_test
