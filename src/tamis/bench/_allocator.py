"""Whether the C library's allocator gives freed memory back: what large outputs of dense torch cost depends on it."""

from __future__ import annotations

import ctypes
import platform

# <malloc.h> of glibc
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD = 64 << 20


def keep_memory() -> str:
    """Make ``malloc`` keep freed memory for the rest of the process, so that large outputs meet no page faults.

    By default glibc maps every large block anew and unmaps it when it is freed: each output of dense torch then costs
    a page fault per 4 KiB, which on virtual machines can take longer than the arithmetic.  Call it before torch is
    imported; blocks that exist stay as they are.

    Returns:
        ``"keep"`` when it worked, else a sentence that says why the default stays.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return "default (this C library has no mallopt; only glibc's allocator can be told to keep memory)"
    mallopt = ctypes.CDLL(None).mallopt
    # -1 disables trimming; no block is mapped by itself; the heap grows in steps of 64 MiB.
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, _TOP_PAD))
    taken = [mallopt(name, value) == 1 for name, value in settings]
    return "keep" if all(taken) else "default (mallopt refused)"


def return_memory() -> None:
    """Give free memory back to the system where the C library can (glibc's ``malloc_trim``); for memory probes."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
