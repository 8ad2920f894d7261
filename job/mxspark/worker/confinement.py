"""A process that needs nothing more than what it has gives up the rest: files, the network, other processes. For
decoders of images.

Limits of the kernel's hold everywhere. libseccomp, which every Linux distribution has, says besides which system calls
are left.
"""

import contextlib
import ctypes
import errno
import os
import resource

from mxspark import host

PR_SET_NO_NEW_PRIVS = 38
ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # SCMP_ACT_ALLOW and SCMP_ACT_ERRNO, of seccomp.h
EQUAL, MASKED = 4, 7  # SCMP_CMP_EQ, SCMP_CMP_MASKED_EQ
CLONE_THREAD = 0x10000
# Afterwards another decoder replaces it: this ends one that works between images without being asked.
CPU_SECONDS = 3600
# What decoding takes: memory, the pipes it has, clocks, threads (libheif's) and an end.
CALLS = (
    "brk mmap munmap mremap mprotect madvise read readv write writev pread64 lseek close fstat newfstatat poll ppoll "
    "futex sched_yield sched_getaffinity sched_getparam sched_getscheduler getcpu getpid gettid getuid geteuid "
    "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time getrandom getrusage sysinfo uname times "
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending sigaltstack setitimer getitimer alarm "
    "set_robust_list rseq membarrier restart_syscall exit exit_group"
)
TO_ITSELF = "kill tgkill"  # abort() takes them


class _Comparison(ctypes.Structure):
    """scmp_arg_cmp: how an argument of a call is compared."""

    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    ]


def enter() -> bool:
    """Gives it all up, for good. Returns whether system calls are limited too. What is needed later must be imported
    and opened before.
    """
    library = _seccomp()
    host.end_with_parent()
    with contextlib.suppress(AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    # No further file, pipe or socket can be opened, so no program can be started.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    return library is not None and _filter(library)


def _seccomp() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None


def _filter(library: ctypes.CDLL) -> bool:
    """Leaves this process CALLS alone; all others fail. Returns whether the kernel (or a container's runtime) takes
    the filter.
    """
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(REFUSE | errno.EPERM))

    def rule(action: int, name: str, *comparisons: _Comparison) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        # What this machine hasn't isn't called: that a rule can't be added needs no word.
        library.seccomp_rule_add_array(
            context, ctypes.c_uint32(action), number, len(comparisons), (_Comparison * len(comparisons))(*comparisons)
        )

    for name in CALLS.split():
        rule(ALLOW, name)
    for name in TO_ITSELF.split():
        rule(ALLOW, name, _Comparison(0, EQUAL, os.getpid(), 0))
    rule(ALLOW, "clone", _Comparison(0, MASKED, CLONE_THREAD, CLONE_THREAD))
    rule(REFUSE | errno.ENOSYS, "clone3")  # whose flags no filter sees; the C library takes clone then
    return bool(library.seccomp_load(context) == 0)
