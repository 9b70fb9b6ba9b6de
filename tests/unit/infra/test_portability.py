"""The Makefile and the scripts keep to what macOS ships: GNU make 3.81, bash 3.2 and the BSD tools."""

import re
import subprocess
from pathlib import Path

import pytest

from sluice.settings import ROOT

MAKE = {
    r"^\s*override\s+(export|private|define)\b|^\s*export\s+override\b": "combined modifiers parse since 3.82",
    r"^\s*(private|undefine|load)\s|^\.(ONESHELL|SHELLFLAGS|RECIPEPREFIX|EXTRA_PREREQS)\b": "since 3.82 or later",
    r"^\s*define\s+\S+\s*[:+?]?=": "since 3.82: write `define NAME`",
    r"^[^#\t]*?[^\s:]\s*(!=|:::?=)|&:": "since 4.0 or later: write `:= $(shell …)`, `:=`",
    r"\$[({](file|guile|let|intcmp) ": "since 4.0 or later",
}
BASH = {
    r"\b(mapfile|readarray|coproc)\b": "since bash 4.0: write a loop over `read`, or `xargs`",
    r"\b(declare|local|typeset)\s+-\w*[Ang]": "since bash 4.0 or later",
    r"\$\{!?\w+(\[[@*]\])?[,^@][^}]*\}": "since bash 4.0 or later: write `tr`",
    r"\|&|&>>|;;?&(?!&)": "since bash 4.0: write `2>&1 |`, `>>file 2>&1`",
    r"\bwait\s+-\w|\b(EPOCHSECONDS|EPOCHREALTIME|BASHPID|BASH_ARGV0)\b|\{\w+\}[<>]": "since bash 4.1 or later",
    r"\[-\d+\]|\$\{\w+:\s*\d+:\s*-|\[\[?\s+-[vR]\s": "since bash 4.2 or later",
    r"printf\s+(-v\s+\w+\s+)?['\"][^'\"]*%\(": "since bash 4.2: write `date`",
    r"\bshopt\s+-s\s+(globstar|lastpipe|autocd|inherit_errexit)": "since bash 4.0 or later",
    r"=~\s*\S*(\(\||\|\)|\|\|\S)": "macOS has no empty alternative in a regex: write `(…)?`",
    r"=~\s*\S*\\[a-zA-Z<>]": "macOS has no such class in a regex: write `[0-9]`, `[[:space:]]`",
    r"\$\([^()]*\bcase\b": "bash 3.2 ends the substitution at the pattern's parenthesis: write a function",
}
TOOLS = {
    r"\b(sha\d+sum|md5sum)\b": "macOS has shasum: write `cksum`",
    r"(^|[|;&({!]|\b(then|do|else|if|while))\s*(flock|timeout|nproc|realpath|tac|setsid|numfmt)\s": "not on macOS",
    r"\bdate\s+(-d|--\w)|\bsed\s+(-\w*[ir]|--\w)|\breadlink\s+-\w*[fe]|\bstat\s+-\w*c|\bcp\s+--\w": "GNU only",
    r"\bgrep\s+-\w*P|\bxargs\s+-\w*[rd]\b|\bhead\s+-n\s*-|\bsort\s+-\w*V|\bmktemp\s+--|\bbase64\s+-\w*w": "GNU only",
    r"\bsed\b[^|]*\\[?+|]": "GNU only: write `\\{0,1\\}`",
}


def _scripts() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name.startswith(("infra/", ".ci/"))]
    return [path for path in paths if path.suffix == ".sh" or path.read_bytes()[:20].startswith(b"#!/usr/bin/env bash")]


def _findings(text: str, rules: dict[str, str]) -> list[str]:
    """Returns the lines that break a rule, comments aside."""
    lines = [re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines()]
    return [f"{line.strip()}  <- {why}" for line in lines for rule, why in rules.items() if re.search(rule, line)]


def _unguarded_arrays(text: str) -> list[str]:
    """Returns expansions of arrays that may be empty, which bash 3.2 rejects under `set -u`."""
    names = {*re.findall(r"\b(\w+)=\(\)", text), *re.findall(r'\b(\w+)=\("\$@"\)', text)}
    return [name for name in sorted(names) if re.search(rf'(?<!\+)"\$\{{{name}\[@\]\}}"', text)]


def test_make_3_81_parses_the_makefile() -> None:
    assert _findings((ROOT / "Makefile").read_text(), MAKE) == []


@pytest.mark.parametrize("script", _scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_bash_3_2_and_bsd_tools_run_the_script(script: Path) -> None:
    text = script.read_text()
    assert _findings(text, BASH | TOOLS) == []
    assert _unguarded_arrays(text) == []


def test_the_recipes_use_what_bash_3_2_and_bsd_tools_have() -> None:
    recipes = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("\t")]
    assert _findings("\n".join(recipes), BASH | TOOLS) == []


def test_the_scripts_are_found() -> None:
    found = {str(path.relative_to(ROOT)) for path in _scripts()}
    assert {"infra/sluice", "infra/bootstrap", "infra/docker.sh", "infra/prose/check", ".ci/run"} <= found


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        *((line, MAKE) for line in ("override export Q := 1", "define X =", "x != date", ".ONESHELL:", "$(file >x,y)")),
        *((line, BASH) for line in ("mapfile -t x", "echo ${x,,}", "declare -A x", "a |& b", "a &>>b", "wait -n")),
        *((line, BASH) for line in ("echo ${x[-1]}", "[ -v x ]", 'x="$(case $y in a) b ;; esac)"', "exec {fd}>x")),
        *((line, BASH) for line in ("[[ $x =~ ^(a|)$ ]] || y", "[[ $x =~ ^(|a)$ ]]", r"[[ $x =~ ^\d+$ ]]")),
        *((line, TOOLS) for line in ("sha256sum x", "date -d now", "sed -i s/a/b/ x", "readlink -f x", "timeout 5 x")),
    ],
)
def test_each_kind_of_newer_feature_is_found(line: str, rules: dict[str, str]) -> None:
    assert len(_findings(line, rules)) == 1


def test_an_array_that_may_be_empty_is_found() -> None:
    assert _unguarded_arrays('a=()\nfor x in "${a[@]}"; do :; done') == ["a"]
    assert _unguarded_arrays('a=()\nfor x in ${a[@]+"${a[@]}"}; do :; done') == []
