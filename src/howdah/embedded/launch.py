"""A program of its own: run initdb or postgres, also for root, and end it with whoever started it.

    python -I -S launch.py watch|stay DATA_DIR PROGRAM [ARGUMENT ...]

It needs the standard library only, because it is run by its file name, outside of any venv.

watch   stay the program's parent; stop it when stdin ends, which happens however its holder died
stay    leave the program behind in our session, which has no terminal, and end

PostgreSQL refuses to run as root. So for root on Linux, unless the data belong to another user:
in a user namespace in which root looks like an ordinary user, files stay root's and nothing else
changes. Where that is forbidden (Docker's default) or does not reach, or the data are another
user's: as `postgres`, `nobody` or that user, with one capability kept, to reach files in spite of
their modes. So nothing needs to be copied or opened up for it.
"""

import ctypes
import os
import pwd
import signal
import sys
import threading
import time

# A test, or a user whose system has odd namespaces, can go without.
NO_USER_NAMESPACE = "HOWDAH_NO_USER_NAMESPACE"

FAST_SHUTDOWN_SECONDS = 20.0
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS = 1, 8
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def main(mode: str, data_dir: str, *command: str) -> int:
    """Run the command in that mode; what is returned is our own exit status."""
    if os.geteuid() == 0:
        become_ordinary(data_dir, command[0])
    launcher = os.getpid()
    child = os.fork()
    if child == 0:
        if mode == "watch":
            die_with(launcher)
        become(command)
    return watch(child) if mode == "watch" else 0


def become(command: tuple[str, ...]) -> None:
    """Become the program, without the pipe that we watch."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def watch(child: int) -> int:
    """Wait for the program to end, by itself or because our stdin did."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGINT))
    threading.Thread(target=stop_at_eof, args=(child,), daemon=True).start()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


def stop_at_eof(child: int) -> None:
    """Fast shutdown when nobody holds the other end of stdin any more; then a rude one."""
    while os.read(0, 1):
        pass
    os.kill(child, signal.SIGINT)
    time.sleep(FAST_SHUTDOWN_SECONDS)
    os.kill(child, signal.SIGQUIT)


def die_with(parent: int) -> None:
    """Have the kernel stop us when the parent is killed before it can (Linux only)."""
    if sys.platform != "linux":
        return
    # After the change of user, which would clear it, and before exec, which keeps it.
    call("prctl", PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def become_ordinary(data_dir: str, program: str) -> None:
    """Be a user whom PostgreSQL accepts: the owner of the data, or root in disguise."""
    if sys.platform != "linux":
        sys.exit("PostgreSQL does not run as root on this system: use an ordinary user")
    exists = os.path.isdir(data_dir)
    owner = os.stat(data_dir).st_uid if exists else 0
    if owner != 0:
        drop_to(owner)
    elif can_be_disguised(data_dir if exists else os.path.dirname(data_dir), program):
        enter_user_namespace()
    else:
        give(data_dir, account().pw_uid)
        drop_to(account().pw_uid)


def account() -> pwd.struct_passwd:
    """The user that root runs as; initdb insists on one that has a name."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    sys.exit("PostgreSQL does not run as root, and there is no user postgres or nobody to run as")


def can_be_disguised(folder: str, program: str) -> bool:
    """Whether a user namespace is allowed, and root in it can still reach what it needs.

    In it root has no power over files of others, such as a home of mode 700 that is not its own.
    Tried in a child, because there is no way back.
    """
    if os.environ.get(NO_USER_NAMESPACE):
        return False
    child = os.fork()
    if child == 0:
        try:
            enter_user_namespace()
            reached = os.access(folder, os.R_OK | os.W_OK | os.X_OK) and os.access(program, os.X_OK)
            os._exit(0 if reached else 1)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def enter_user_namespace() -> None:
    """Look like an ordinary user to PostgreSQL, and remain root to the file system."""
    seen_as = account().pw_uid
    call("unshare", CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{seen_as} 0 1"),
        ("gid_map", f"{seen_as} 0 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def give(data_dir: str, uid: int) -> None:
    """Make our data directory that user's, if it is there; PostgreSQL insists on its owner."""
    for folder, _, names in os.walk(data_dir):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            os.chown(path, uid, -1, follow_symlinks=False)


def drop_to(uid: int) -> None:
    """Be that user for good, but reach files in spite of their modes, as root could."""
    call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(group_of(uid))
    os.setuid(uid)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    bit = 1 << CAP_DAC_OVERRIDE
    # effective, permitted, inheritable; twice, for the capabilities above 31
    call("capset", header, (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0))
    call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def group_of(uid: int) -> int:
    """The user's own group, or nobody's where the user has no name here."""
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return account().pw_gid


def call(name: str, *arguments: object) -> None:
    """Call the C library; raises OSError."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    # The variadic prctl reads whole registers, and ctypes would fill half of each.
    whole = (ctypes.c_ulong(word) if isinstance(word, int) else word for word in arguments)
    if function(*whole) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
