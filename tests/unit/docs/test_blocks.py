"""Command blocks of pages: which are found, and which output matches."""

import pytest

from tests.fixtures.blocks import FIGURES, OUTPUT, Command, blocks, matches

PAGE = f"""# A page

```sh
make up
```

```yaml
not: a command
```

{FIGURES}
```console
$ echo a
a
$ cat <<'END'
> b
>   c
> END
b
  c
```
"""


def test_scripts_and_commands_are_found_in_order() -> None:
    script, console = blocks("page.md", PAGE)
    assert (script.line, script.commands, script.mark) == (3, (Command("make up\n", None),), "")
    assert (console.line, console.mark) == (12, FIGURES)
    assert console.commands == (Command("echo a\n", "a\n"), Command("cat <<'END'\nb\n  c\nEND\n", "b\n  c\n"))


def test_a_command_that_the_page_shows_failing_has_to_fail() -> None:
    assert Command("make sql", "sluice: no\nmake: *** [Makefile:1: sql] Error 1\n").fails
    assert not Command("make sql", "1\n").fails
    assert not Command("make up", None).fails


@pytest.mark.parametrize(
    ("output", "printed", "mark", "same"),
    [
        ("a\nb\n", "a\nb\n", "", True),
        ("a\nb\n", "a\nc\n", "", False),
        ("a\n", "a\nb\n", "", False),
        ("a  1\n", "a      1  \n", "", True),
        ("3 rows\n", "4 rows\n", "", False),
        ("3 rows\n", "4,711 rows\n", FIGURES, True),
        ("3 rows\n", "many rows\n", FIGURES, False),
        ("done in 0.5 s, 1,200/s\n", "done in 12.3 s, 7/s\n", "", True),
        ("rows: 3 of 5\n", "rows: 3 of 6\n", "", False),
        ("rows: 3\n", "nothing\n", OUTPUT, True),
        ("id …, offset 5\n", "id 4f-1, offset 5\n", "", True),
        ("…\nlast\n", "one\ntwo\nlast\n", "", True),
        ("first\n…\n", "first\n", "", True),
        ("first\n…\nlast\n", "first\none\n", "", False),
        ("a.c (x)\n", "abc (x)\n", "", False),
    ],
)
def test_outputs_match_apart_from_widths_and_durations(output: str, printed: str, mark: str, same: bool) -> None:
    assert matches(output, printed, mark) is same
