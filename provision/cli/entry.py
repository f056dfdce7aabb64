"""The entry point: however a command ends, one message, a fixed exit code, and no traceback on the terminal."""

from __future__ import annotations

# Nothing that takes time: Ctrl-C during an import of what follows ends as it does during a command.
import errno
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import click

INTERRUPTED: Final = 130
_OPEN_FILES: Final = 65_536
"""Open files that a command may have, where the system allows it: each connection to a node takes three."""
_OUTPUT: Final = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EBADF)


def main() -> None:
    """Run the command line: exit code 0 done or nothing to do, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C."""
    try:
        sys.unraisablehook = _raise_later
        _open_closed_streams()
        _allow_open_files()
        for stream in (sys.stdout, sys.stderr):
            # A terminal without UTF-8 shows `\u2026`, rather than nothing at all.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        code = _run()
        # What comes now takes no time: a Ctrl-C ends it at once.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        code = _stopped()
    except Exception as error:
        code = _unexpected(error)
    _leave(code)


def _open_closed_streams() -> None:
    """Stand in for streams that are closed (`<&-`, `>&-`): Python has None for them, and drops what is printed."""
    # Ruff wants context managers: these stay open to the end.
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        # A pipe that nobody reads: who prints something learns of it, as with `| head`.
        ended, output = os.pipe()
        os.close(ended)
        sys.stdout = os.fdopen(output, "w")


def _allow_open_files() -> None:
    """Allow this process and its children as many open files as it may have itself: the usual 1,024 are for select().

    Not more than those: some programs close, one by one, all numbers that they might have inherited.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        # A sandbox may forbid it: then what there is has to do.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _run() -> int:
    from provision.base.errors import ProvisionError

    try:
        import click

        from provision.cli.completion import VARIABLE
        from provision.cli.main import cli

        if VARIABLE in os.environ:
            from provision.cli.completion.shells import register

            register()
        try:
            code = cli.main(standalone_mode=False, prog_name="provision")
            sys.stdout.flush()
        except click.ClickException as error:
            _show_usage(error)
            return 2
        except click.Abort:
            return _stopped()
        return code if isinstance(code, int) else 0
    except ProvisionError as error:
        from provision.cli.terminal import show_error

        show_error(error)
        return error.exit_code


def _raise_later(ignored: sys.UnraisableHookArgs) -> None:
    """Press Ctrl-C once more, if it came where Python can raise nothing (a compiled library, a destructor)."""
    if not issubclass(ignored.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(ignored)
        return
    import threading

    # Not here: this is still inside of what drops every exception. A real signal: it also ends a wait.
    again = threading.Timer(0.05, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
    again.daemon = True
    again.start()


def _show_usage(error: click.ClickException) -> None:
    import io

    from provision.cli.terminal import shown

    text = io.StringIO()
    error.show(text)
    sys.stderr.write(shown(text.getvalue()))


def _stopped() -> int:
    sys.stderr.write("Stopped. Run the same command again to go on, or `provision down` to remove what was made.\n")
    return INTERRUPTED


def _unexpected(error: Exception) -> int:
    """Say what nobody has foreseen, and where its traceback is kept."""
    from provision.base.errors import ProvisionError
    from provision.cli.terminal import show_error

    if isinstance(error, BrokenPipeError) and not error.filename:
        # Whoever read the output has seen enough, as in `provision render … | head`.
        return 1
    if isinstance(error, OSError) and error.errno in _OUTPUT and not error.filename:
        show_error(ProvisionError(f"the output could not be written: {error.strerror}", "It is not whole."))
        return 1
    again = "The command can be run again."
    kept = _keep_traceback()
    details = f"{kept} has the details." if kept else "Its details could be written nowhere."
    if isinstance(error, OSError) and error.filename and error.strerror:
        message = f"{os.fsdecode(error.filename)}: {error.strerror}"
        show_error(ProvisionError(message, f"Make it accessible, or choose another place. {again} {details}"))
    else:
        said = " ".join(str(error).split())[:300]
        message = f"unexpected {type(error).__name__}" + (f": {said}" if said else "")
        show_error(ProvisionError(message, f"{again} If it ends like this once more, report it: {details}"))
    return 1


def _keep_traceback() -> str:
    """Write the traceback of the exception that is being handled to a file; return its path, or nothing."""
    import tempfile
    import traceback

    from provision.base.paths import state_dir

    try:
        places = [str(state_dir()), tempfile.gettempdir()]
    except (OSError, RuntimeError):
        return ""
    for place in places:
        try:
            os.makedirs(place, mode=0o700, exist_ok=True)  # noqa: PTH103
            handle, path = tempfile.mkstemp(prefix="traceback-", suffix=".log", dir=place)
            with os.fdopen(handle, "w", errors="backslashreplace") as file:
                file.write(f"{sys.argv[1:]}\n{traceback.format_exc()}")
        except OSError:
            continue
        return path
    return ""


def _leave(code: int) -> None:
    """End, without Python's own words about an output that cannot be written, or about a Ctrl-C while it ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)
