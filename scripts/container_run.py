"""Runs a command as a container engine would, without one: the root folder is the whole world (pivot_root), another user
without rights, no new privileges, and the seccomp profile of docker/. The work of scripts/container-run; needs root.

Must run in a mount namespace of its own: unshare --mount --pid --fork.
"""

import ctypes
import json
import os
import sys
import warnings  # noqa: F401  os looks for it when there is no world to find it in any more

import seccomp

UID = GID = 10001
HOME = "/var/lib/phantom"
libc = ctypes.CDLL(None, use_errno=True)
MS_BIND, MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV, MNT_DETACH = 4096, 16384, 1 << 18, 2, 4, 2
PR_SET_NO_NEW_PRIVS, SYS_PIVOT_ROOT = 38, 155


def must(result, what):
    if result != 0:
        error = ctypes.get_errno()
        sys.exit(f"{what}: {os.strerror(error)}")


def mount(source, target, kind=None, flags=0, data=None):
    encode = lambda text: text.encode() if text else None  # noqa: E731
    must(libc.mount(encode(source), encode(target), encode(kind), flags, encode(data)), f"mount {target}")


def enter(root):
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount(root, root, None, MS_BIND | MS_REC)
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV)
    mount("/dev", f"{root}/dev", None, MS_BIND)
    mount("tmpfs", f"{root}/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "size=1g,mode=1777")
    mount("tmpfs", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=1g,mode=1777")
    os.makedirs(f"{root}/old", exist_ok=True)
    os.chdir(root)
    must(libc.syscall(SYS_PIVOT_ROOT, b".", b"old"), "pivot_root")
    os.chdir("/")
    must(libc.umount2(b"/old", MNT_DETACH), "umount")


def contain(profile):
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    known = 0
    for group in profile["syscalls"]:
        assert group["action"] == "SCMP_ACT_ERRNO"
        for name in group["names"]:
            try:
                rules.add_rule(seccomp.ERRNO(group["errnoRet"]), name)
                known += 1
            except (RuntimeError, ValueError, TypeError):
                print(f"seccomp: this machine does not know {name}", file=sys.stderr)
    print(f"seccomp: {known} system calls are refused", file=sys.stderr)
    rules.load()


def main():
    root, profile, *command = sys.argv[1:]
    with open(profile, encoding="utf-8") as file:
        profile = json.load(file)
    enter(root)
    os.setgroups([])
    os.setresgid(GID, GID, GID)
    os.setresuid(UID, UID, UID)
    must(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    contain(profile)
    os.chdir(HOME)
    environment = {"HOME": HOME, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "NO_COLOR": "1"}
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    main()
