// Included before everything else in the files that see torch: string streams are then compiled here instead of taken
// from the C++ library, whose older versions lack some of their constructors (see older_systems.cpp).
#pragma once
#include <cstddef>
#if defined(__GLIBCXX__)
#undef _GLIBCXX_EXTERN_TEMPLATE
#define _GLIBCXX_EXTERN_TEMPLATE 0
#endif
