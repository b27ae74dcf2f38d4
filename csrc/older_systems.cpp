// What gcc 11 and newer ask of the newest C and C++ libraries, defined here, so that a wheel that such a compiler built
// loads wherever torch does (glibc 2.28, libstdc++ of gcc 8). CMakeLists.txt keeps other modules from seeing it.
#include <new>
#include <sstream>

// glibc 2.32: whether the process has one thread only. Never sure, so shared pointers always count atomically.
extern "C" {
extern char __libc_single_threaded;
char __libc_single_threaded = 0;
}

namespace std {
// libstdc++ of gcc 11: what a new-expression with too large a length throws.
void __throw_bad_array_new_length() { throw bad_array_new_length(); }

#if defined(__GLIBCXX__)
// libstdc++ of gcc 9: the constructors of streams that torch's error messages are written with. These alone: a second
// copy of all of iostream would look for numbers' formats under names of its own, and write no number.
template basic_ostringstream<char>::basic_ostringstream();
template basic_stringstream<char>::basic_stringstream();
#endif
}  // namespace std
