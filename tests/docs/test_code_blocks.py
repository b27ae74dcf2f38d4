"""Every example of README and docs is tried: python blocks run, recipes and studies are read, tamis commands parse.

Blocks of one page run in order in one namespace and one temporary folder.  A line that begins with ``...`` stands for
the reader's loop and is replaced by a training loop of a tiny model; ``README.md`` begins with that model.  A toml
block whose first line is ``# NAME.toml`` is saved under that name.  Commands of a bash block are parsed, not run,
unless the line before the block is ``<!-- run -->``.
"""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tamis.audit import Policy
from tamis.cli import _main
from tamis.study import cells_of, load_study
from tamis.train import parse_recipe

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LOOP = """\
for _ in range(steps):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(torch.randn(8, 16)), torch.randint(4, (8,))).backward()
    optimizer.step()
"""
READER = """\
import torch
steps = 32
model = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: language, content, line number of its first line, whether its commands are run."""

    language: str
    text: str
    line: int
    run: bool


def blocks_of(page: Path) -> list[Block]:
    source = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(source):
        before = source[: match.start()]
        found.append(Block(match[1], match[2], before.count("\n") + 2, before.endswith("<!-- run -->\n")))
    return found


def commands_of(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words.pop(0)
        if words and words[0] == "tamis":
            yield words[1:]


class Parsed(Exception):
    """Raised in place of the work of a command, once its flags were understood."""


def check_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse a command line as ``tamis`` would, values included, without doing its work."""
    if words[0].startswith("-"):
        assert _main.main(words) == 0
        return
    assert words[0] in _main.COMMANDS, f"tamis has no command {words[0]!r}"
    module: Any = importlib.import_module(_main.COMMANDS[words[0]][0])
    parse = module.parse

    def only_parse(*arguments: Any, **more: Any) -> None:
        raise Parsed(parse(*arguments, **more))

    with monkeypatch.context() as patch:
        patch.setattr(module, "parse", only_parse)
        with pytest.raises(Parsed):
            module.run(words[1:])


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """The reader's folder, beside the recipes of the repository."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_work(page, reader, monkeypatch, capsys):
    namespace: dict[str, Any] = {"__name__": "__main__"}
    if page.name == "README.md":
        exec(READER, namespace)
    for block in blocks_of(page):
        if block.language == "python":
            text = re.sub(r"^\.\.\..*$", lambda _: LOOP.rstrip(), block.text, flags=re.MULTILINE)
            exec(compile("\n" * (block.line - 1) + text, page.name, "exec"), namespace)
        elif block.language == "toml":
            name = re.match(r"# (\S+\.toml)\n", block.text)
            if name:
                (reader / name[1]).write_text(block.text)
            if "[[rule]]" in block.text:
                Policy.parse(block.text, f"{page.name}:{block.line}")
            elif re.search(r"^base = ", block.text, re.MULTILINE):
                assert name, f"{page.name}:{block.line}: a study needs a name in its first line"
                assert cells_of(load_study(reader / name[1]))
            else:
                parse_recipe(block.text, f"{page.name}:{block.line}")
        elif block.language == "bash":
            for words in commands_of(block.text):
                check_command(words, monkeypatch)
                if block.run:
                    assert _main.main(words) == 0, f"{' '.join(words)}: {capsys.readouterr().err}"


def test_a_command_with_an_unknown_flag_is_noticed(reader, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        check_command(["info", "--no-such-flag"], monkeypatch)
    with pytest.raises(SystemExit):
        check_command(["prune", "runs/mine", "--sparsity", "much"], monkeypatch)


def test_the_pages_have_examples():
    languages = [block.language for page in PAGES for block in blocks_of(page)]
    assert languages.count("python") >= 15
    assert languages.count("bash") >= 15
    assert languages.count("toml") >= 3
