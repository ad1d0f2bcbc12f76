"""Many mutants in one build. Building a mutant takes longer than its tests, so each changed function gets all of its variants side by
side, and a number in MUTANT chooses one of them. cargo-mutants says what the mutants are. A mutant that cannot be built beside the others
is handed back: it may have no type, or need a build of its own, such as one in a constant.
"""

import json
import math
import os
import re
import resource
import signal
import subprocess

TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^']*|[^\\'])'|\w+|.""", re.DOTALL)
# Appended to the crate's root.
SWITCH = """
#[doc(hidden)]
pub fn mutant_in(first: usize, last: usize) -> Option<usize> {
    static MUTANT: std::sync::LazyLock<Option<usize>> = std::sync::LazyLock::new(|| std::env::var("MUTANT").ok()?.parse().ok());
    MUTANT.filter(|number| (first..=last).contains(number))
}
"""
MOST_MEMORY = 6 << 30
# A test that takes so many times as much of the processor as without a mutant runs for ever, and so many seconds at least.
FOR_EVER = 20
LEAST_SECONDS = 5
# One that waits and takes nothing, by the clock.
WAITS_FOR_EVER = 300


class Source:
    """A file with the variants of its functions."""

    def __init__(self, path):
        self.path, self.text = path, path.read_text()
        self.starts = [0]
        for line in self.text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def at(self, place):
        return self.starts[place["line"] - 1] + place["column"] - 1

    def span(self, span):
        return self.at(span["start"]), self.at(span["end"])

    def body(self, start, end):
        """Where the body of a function is, without its braces."""
        depth, is_named, at = 0, False, start
        for token in TOKEN.finditer(self.text, start, end):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token[0], 0)
            is_named |= token[0] == "fn" and depth == 0
            at = token.end()
            if is_named and depth == 0 and token[0] == "{":
                break
        return at, end - 1

    def with_variants(self, functions):
        """The text, and for each of its lines the number of the mutant or the function (negative) that it belongs to; 0: neither."""
        parts, done = [], 0
        for function in functions:
            start, end = self.span(function.mutants[0]["function"]["span"])
            begin, finish = self.body(start, end)
            # What a variable chooses is no constant.
            parts += [self.text[done:start], re.sub(r"\bconst (?=(unsafe )?fn\b)", "", self.text[start:begin])]
            first, last = function.mutants[0]["number"], function.mutants[-1]["number"]
            parts.append(f"match crate::mutant_in({first}, {last}) {{\n/*@{-first}*/ None => {{{self.text[begin:finish]}\n}}\n")
            for mutant in function.mutants:
                cut, resume = self.span(mutant["span"])
                variant = f"{self.text[begin:cut]}{mutant['replacement']}{self.text[resume:finish]}"
                parts.append(f"/*@{mutant['number']}*/ Some({mutant['number']}) => {{{variant}\n}}\n")
            parts.append("/*@0*/ _ => unreachable!(),\n}")
            done = finish
        text = "".join([*parts, self.text[done:]])
        lines, owner = [0], 0
        for line in text.splitlines():
            mark = re.match(r"/\*@(-?\d+)\*/", line)
            owner = int(mark[1]) if mark else owner
            lines.append(owner)
        return text, lines


class Function:
    def __init__(self, source, mutants):
        self.mutants = mutants
        self.range = source.span(mutants[0]["function"]["span"])


def functions_of(source, mutants, refused):
    """The functions in order, but those inside others, and those that cannot have variants."""
    grouped = {}
    for mutant in mutants:
        if mutant["function"] and mutant["number"] not in refused:
            grouped.setdefault(json.dumps(mutant["function"]["span"]), []).append(mutant)
    found = sorted((Function(source, group) for group in grouped.values()), key=lambda function: function.range)
    outer = []
    for function in found:
        if not outer or function.range[0] >= outer[-1].range[1]:
            outer.append(function)
    return outer


def build(command, cwd, env):
    """The test's program, or the errors."""
    done = subprocess.run([*command, "--message-format=json"], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    program = [message["executable"] for message in messages if message.get("executable")]
    errors = [message["message"] for message in messages if message.get("message", {}).get("level") == "error"]
    if done.returncode and not errors:
        raise SystemExit(done.stderr)
    return (program[-1] if done.returncode == 0 else None), errors


def spans(error):
    """All places of an error, those of macros that they come from too."""
    for span in sorted(error["spans"], key=lambda span: not span["is_primary"]):
        while span:
            yield span
            span = (span.get("expansion") or {}).get("span")


def build_joint(tree, root, mutants, command, env):
    """Builds all mutants that can be. Returns the program and their numbers."""
    sources = {file: Source(tree / file) for file in {mutant["file"] for mutant in mutants}}
    root_text = (tree / root).read_text()
    refused = set()
    while True:
        owners, built = {}, set()
        for file, source in sources.items():
            functions = functions_of(source, [mutant for mutant in mutants if mutant["file"] == file], refused)
            text, owners[file] = source.with_variants(functions)
            source.path.write_text(text)
            built |= {mutant["number"] for function in functions for mutant in function.mutants}
        (tree / root).write_text(root_text + SWITCH)
        program, errors = build(command, tree, env)
        if program:
            return program, built
        before = len(refused)
        for error in errors:
            places = [(span["file_name"], span["line_start"]) for span in spans(error) if span["file_name"] in owners]
            owner = next((owners[file][line] for file, line in places if owners[file][line]), 0)
            named = re.search(r"non-const .*`([^`]+)`", error["message"])
            for mutant in mutants:
                is_named = named and (mutant["function"] or {}).get("function_name", "").split("::")[-1] == named[1].split("::")[-1]
                if mutant["number"] == owner or is_named or owner < 0 and is_in_function_of(mutants, mutant, -owner):
                    refused.add(mutant["number"])
        if len(refused) == before:
            raise SystemExit("\n".join(error["rendered"] for error in errors))


def is_in_function_of(mutants, mutant, number):
    other = next(other for other in mutants if other["number"] == number)
    return mutant["file"] == other["file"] and mutant["function"] == other["function"]


def run(program, number, module, cwd, env, seconds):
    """Do the tests of a module see the mutant of that number? None: they ran for ever."""

    def bound():
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))

    try:
        done = subprocess.run([program, f"{module}::"], cwd=cwd, env={**env, "MUTANT": str(number)}, timeout=WAITS_FOR_EVER, preexec_fn=bound,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode == -signal.SIGXCPU else done.returncode != 0


def try_jointly(tree, root, mutants, module_of, command, env):
    """What each mutant comes to that can be built beside the others, as pairs of its name and a kind."""
    for number, mutant in enumerate(mutants, 1):
        mutant["number"] = number
    program, built = build_joint(tree, root, mutants, command, env)
    cwd = tree / root.parent.parent
    env = {**os.environ, **env, "CARGO_MANIFEST_DIR": str(cwd)}
    limits = {}
    for mutant in mutants:
        if mutant["number"] not in built:
            continue
        module = module_of(mutant["file"])
        if module not in limits:
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            if run(program, 0, module, cwd, env, WAITS_FOR_EVER) is not False:
                raise SystemExit(f"The tests of {module} are red without a mutant.")
            taken = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
            limits[module] = LEAST_SECONDS + math.ceil(FOR_EVER * taken)
        is_seen = run(program, mutant["number"], module, cwd, env, limits[module])
        yield mutant["name"], {True: "caught", False: "missed", None: "timeout"}[is_seen]
