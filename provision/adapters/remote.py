"""Programs on a node, with streams in and out of them, through OpenSSH.

The program's text goes ahead on its own stdin: nothing has to be on the node, and nothing of it is in a process list or
a log of sudo.
"""

from __future__ import annotations

import inspect
import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.host.process import Piped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

_LOADER: Final = """\
import os
text = b""
while len(text) < {length}:
    part = os.read(0, {length} - len(text))
    if not part:
        raise SystemExit(1)
    text += part
exec(compile(text, "{name}", "exec"))
"""
_MODULE: Final = """\
import sys, types
sys.modules[{name!r}] = module = types.ModuleType({name!r})
exec(compile({text!r}, {name!r}, "exec"), module.__dict__)
"""
"""Makes a module that another one imports."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A machine on which programs are started: a node, or in tests this machine."""

    name: str
    argv: tuple[str, ...]
    """What takes a shell's command line as its last argument: `ssh -F … NODE --`, or `sh -c`."""
    sudo: bool = True
    """Whether programs become another account; without, they stay who they are."""

    def start(
        self, module: ModuleType, order: Mapping[str, Any], user: str = "root", *, needs: Sequence[ModuleType] = ()
    ) -> Piped:
        """Start the function `main` of a module of adapters/onnode there, as a user; `order` is its argument.

        `needs` are the modules of adapters/onnode that it imports.

        Afterwards its `feed` and `output` are the module's own.
        """
        main = inspect.getsource(module) + "\nimport sys\nsys.exit(main(order))\n"
        text = "".join(_MODULE.format(name=need.__name__, text=inspect.getsource(need)) for need in needs)
        text += f"import json\norder = json.loads({json.dumps(dict(order))!r})\n"
        text += f"exec(compile({main!r}, {module.__name__!r}, 'exec'))\n"
        program = text.encode()
        loader = _LOADER.format(length=len(program), name=module.__name__)
        # -I: nothing that lies in the user's home or in the environment gets into the program.
        become = ["sudo", "-n", "-H", "-u", user] if self.sudo else []
        piped = Piped([*self.argv, shlex.join([*become, "python3", "-I", "-c", loader])])
        try:
            piped.feed.write(program)
            piped.feed.flush()
        except BrokenPipeError:
            pass  # its result says why it has ended
        return piped


def over_ssh(ssh_config: Path, node: str, *options: str) -> Remote:
    """Return a node as its cluster's ssh_config describes it; `options` of ssh's go before that."""
    return Remote(node, ("ssh", "-F", str(ssh_config), *options, node, "--"))
