"""README.md and the pages of docs/: their blocks of code, which the suites run so that no page grows old.

A block runs as it stands. A word after its language says otherwise: `fails` is SQL that is refused with the text of the next block,
`elsewhere` marks commands that no test can run, `relay` a program that serves, `kubernetes` a manifest. pg_test/proof/test_readme.py runs the SQL of every
page. relay/e2e/test_documents.py runs the commands and the JavaScript, test_thin.py the programs, test_proxies.py the configurations
of proxies, client/test/readme.test.tsx the TypeScript.
"""

import pathlib
import re
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = ROOT / "docs" / "reference.md"

LANGUAGES = {"", "haproxy", "js", "json", "nginx", "python", "sh", "sql", "tsx", "yaml"}
MARKS = {"", "elsewhere", "fails", "kubernetes", "relay"}


class Block(NamedTuple):
    language: str
    mark: str
    text: str


def name(page):
    return str(page.relative_to(ROOT))


def blocks(page):
    """Its blocks of code, in order."""
    found = re.findall(r"^```(\w*) ?(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [Block(*parts) for parts in found]


def script(page):
    """Its SQL as one script for psql, and the errors that it shows."""
    parts, errors, after = ["\\set ON_ERROR_STOP 1"], [], None
    for block in blocks(page):
        if after and after.mark == "fails":
            errors.append(block.text.strip())
        if block.language == "sql":
            wanted = block.mark == "fails"
            parts += ["\\set ON_ERROR_STOP 0", block.text, "\\if :ERROR\n\\else\n\\echo it does not fail\n\\quit\n\\endif", "\\set ON_ERROR_STOP 1"] if wanted else [block.text]
        after = block
    return "\n".join(parts), errors


def makes(page, what):
    """Whether one of its blocks says so."""
    return any(what in block.text for block in blocks(page))
