"""click's completion, where it does not fit: bash cuts words at `=`, and a zsh may not have loaded its own yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.shell_completion import BashComplete, ZshComplete, add_completion_class

if TYPE_CHECKING:
    from collections.abc import Sequence


class Bash(BashComplete):
    """Puts words together again: `--file=team.yaml` comes as three (https://github.com/pallets/click/issues/2847)."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that one."""
        words, incomplete = super().get_completion_args()
        *before, last = rejoined(words) or [""]
        if not last.endswith("="):
            return rejoined(words), incomplete
        # What is completed is the rest of that word, which click knows as the value of an option.
        return ([*before, last[:-1]], incomplete) if last.startswith("--") else (before, last + incomplete)


class Zsh(ZshComplete):
    """Loads zsh's completion where a .zshrc has not done so: without it `compdef` is no command."""

    source_template = ZshComplete.source_template.replace(
        "    compdef ", "    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; }\n    compdef "
    )


def rejoined(words: Sequence[str]) -> list[str]:
    """Return the words as they were typed, with what stands around a `=` in one."""
    found: list[str] = []
    for word in words:
        if found and (word == "=" or found[-1].endswith("=")):
            found[-1] += word
        else:
            found.append(word)
    return found


def register() -> None:
    """Have click use these."""
    add_completion_class(Bash)
    add_completion_class(Zsh)
