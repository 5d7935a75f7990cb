"""FuseSoC's CAPI2 files as the list of a core's sources: the filesets of a target, their include folders and defines.

What is read is what a Verilog simulator needs (https://fusesoc.readthedocs.io, "CAPI2 reference"): ``filesets`` with
``files``, ``file_type``, ``is_include_file``, ``include_path``, ``define`` and ``depend``; ``targets`` with
``filesets`` and ``parameters``, each with its ``_append`` form, which is added to what YAML's merge key brings; and
``parameters``, of which ``vlogparam`` and ``vlogdefine`` are taken. Flags in front of a name are decided for Verilator:
on are ``tool_verilator``, ``target_NAME`` of the target asked for, and ``is_toplevel`` in the core asked
for. A dependency is looked for among the ``.core`` files of the same folder and below.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaindp.errors import InputError, PluginError

__all__ = ["Files", "read_files"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
MAX_VALUES = 100_000
"""How many values a file may hold, those that an alias stands for counted again."""
MAX_CHAIN = 100
"""How many cores may depend on each other in a row."""
MAX_CORES = 1000
"""How many .core files are looked at for a dependency."""

VERILOG = re.compile(r"(system)?verilogsource(-.*)?", re.IGNORECASE)
OTHER = re.compile(
    r"(user|xci|xdc|sdc|ucf|tcl|tclsource|qip|qsys|mem|pcf|lpf|vlt|waiver|cppsource|csource|vhdlsource)", re.I
)
MACRO = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
FLAG = re.compile(r"\s*(!?)\s*([\w.-]+)\s*\?\s*\(\s*(.*?)\s*\)\s*", re.DOTALL)
DIGITS = re.compile(r"[0-9]{1,300}")

NAME = re.compile(r"(?P<relation>>=|<=|[<>=~^]?)(?P<name>[\w.-]*:[\w.-]*:[\w.-]+?|[\w.-]+)(?::(?P<version>[\w.-]+))?")
"""vendor:library:name:version, what other cores are asked for by."""


@dataclass(slots=True)
class Files:
    """Sources in compile order, include folders, defines, whether a file named .v is SystemVerilog, and parameters."""

    sources: tuple[Path, ...] = ()
    include_dirs: tuple[Path, ...] = ()
    defines: dict[str, str] = field(default_factory=dict)
    v_is_systemverilog: bool = False
    parameters: dict[str, int | bool | str] = field(default_factory=dict)


def read_files(path: Path, target: str = "default") -> Files:
    """What a target of a ``.core`` file consists of, its dependencies first.

    InputError, one line that names the file and where it can the line, for whatever cannot be used: malformed YAML, an
    unknown target or fileset, a file that is missing or outside of the core's folder, a language that is not Verilog,
    a dependency that is not there. PluginError where PyYAML is not installed.
    """
    reader = _Reader(path.parent, target)
    document = _load(path)
    reader.add(document, target, ())
    if not reader.sources:
        raise document.error(f"target {target} has no Verilog source")
    return Files(
        tuple(reader.sources),
        tuple(reader.include_dirs),
        reader.defines,
        reader.v_is_systemverilog,
        reader.parameters,
    )


@dataclass(frozen=True, slots=True)
class _Document:
    """One .core file: its content, and the names that others depend on it by."""

    path: Path
    content: Mapping[str, Any]
    lines: Mapping[tuple[str, ...], int]

    def error(self, problem: str, *keys: str) -> InputError:
        while keys and keys not in self.lines:
            keys = keys[:-1]
        line = self.lines.get(keys)
        problem = "".join(one if one.isprintable() else repr(one)[1:-1] for one in problem)
        return InputError(f"{self.path}{f':{line}' if line else ''}: {problem}")

    @property
    def name(self) -> str:
        return str(self.content.get("name", ""))


def _load(path: Path) -> _Document:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise PluginError(f"{path}: reading FuseSoC files needs PyYAML: pip install 'chaindp[fpga]'") from None
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8") from None
    if len(raw) > MAX_BYTES:
        raise InputError(f"{path}: longer than {MAX_BYTES} bytes")
    if not re.match(r"\s*CAPI=2:", text):
        raise InputError(f"{path}:1: not a CAPI2 file: it does not begin with CAPI=2:")
    try:
        depth = 0
        for token in yaml.scan(text):
            name, line = type(token).__name__, token.start_mark.line + 1
            # PyYAML's time grows with the square of the depth.
            depth += name.endswith("StartToken") - name.endswith("EndToken")
            if depth > MAX_DEPTH:
                raise InputError(f"{path}:{line}: not YAML: nested too deeply")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        # An alias may stand for itself many times over: a page of them unfolds to more than any memory holds.
        _unfolded(path, node, {})
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = " ".join(str(getattr(error, "problem", None) or "not YAML").split())
        raise InputError(f"{path}{f':{mark.line + 1}' if mark else ''}: not YAML: {what}") from None
    except (RecursionError, ValueError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise InputError(f"{path}: not YAML: {what}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}:1: not a mapping")
    lines: dict[tuple[str, ...], int] = {}
    for keys, line in _lines(node, ()):
        lines.setdefault(keys, line)
    return _Document(path, content, lines)


def _unfolded(path: Path, node: Any, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """How many values a node holds with every alias unfolded, and how deep; InputError where that is too much."""
    if id(node) not in known:
        known[id(node)] = None
        size, depth = 1, 0
        value = getattr(node, "value", None)
        for child in value if isinstance(value, list) else ():
            for part in child if isinstance(child, tuple) else (child,):
                below = _unfolded(path, part, known)
                size, depth = size + below[0], max(depth, below[1] + 1)
        if size > MAX_VALUES or depth > MAX_DEPTH:
            line = node.start_mark.line + 1
            raise InputError(f"{path}:{line}: anchors and aliases stand for more than {MAX_VALUES} values")
        known[id(node)] = size, depth
    found = known[id(node)]
    if found is None:
        raise InputError(f"{path}:{node.start_mark.line + 1}: an anchor stands for something that it is a part of")
    return found


def _lines(node: Any, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """The line of every key of mappings within mappings."""
    for key, value in getattr(node, "value", ()) if getattr(node, "id", "") == "mapping" else ():
        keys = (*at, str(key.value))
        yield keys, key.start_mark.line + 1
        yield from _lines(value, keys)


class _Reader:
    """Gathers the files of a core and of what it depends on."""

    def __init__(self, root: Path, target: str) -> None:
        self.root = root
        self.flags = {"tool_verilator", f"target_{target}"}
        self.v_is_systemverilog = False
        self.parameters: dict[str, int | bool | str] = {}
        self.sources: list[Path] = []
        self.include_dirs: list[Path] = []
        self.defines: dict[str, str] = {}
        self._done: set[Path] = set()
        self._others: dict[str, list[_Document]] | None = None
        self._broken: list[InputError] = []

    def add(self, document: _Document, target: str, above: tuple[Path, ...]) -> None:
        """One core: its dependencies, then its own files."""
        if document.path in above:
            raise document.error("depends on itself")
        if document.path in self._done:
            return
        if len(above) >= MAX_CHAIN:
            raise document.error(f"more than {MAX_CHAIN} cores depend on each other in a row")
        flags = self.flags | (set() if above else {"is_toplevel"})
        for name in self._filesets(document, target, flags):
            self._fileset(document, name, (*above, document.path), flags)
        self._parameters(document, target, flags)
        self._done.add(document.path)

    def _parameters(self, document: _Document, target: str, flags: Collection[str]) -> None:
        """What a target gives the top module and the preprocessor."""
        known = _mapping(document, document.content, "parameters")
        chosen = _mapping(document, _mapping(document, document.content, "targets"), target, "targets")
        for key in ("parameters", "parameters_append"):
            at = ("targets", target, key)
            for entry in _list(document, chosen, key, "targets", target):
                name, equals, given = _decided(str(entry), flags).partition("=")
                if not name:
                    continue
                if name not in known or not MACRO.fullmatch(name):
                    raise document.error(f"target {target} names a parameter {name!r:.80}, which is not there", *at)
                described = _mapping(document, known, name, "parameters")
                value = given if equals else described.get("default")
                if value is None:
                    continue  # without a value, the RTL's own holds
                kind = str(described.get("paramtype"))
                what = f"parameter {name} of target {target}"
                read = _value(document, value, str(described.get("datatype")), what, at)
                if kind == "vlogparam":
                    self.parameters[name] = read
                elif kind == "vlogdefine":
                    self.defines[name] = str(int(read) if isinstance(read, bool) else read)
                else:
                    raise document.error(f"{what} is a {kind:.40}: only vlogparam and vlogdefine are taken", *at)

    def _filesets(self, document: _Document, target: str, flags: Collection[str]) -> list[str]:
        targets = _mapping(document, document.content, "targets")
        filesets = _mapping(document, document.content, "filesets")
        if target not in targets:
            if not targets and target == "default":
                return list(filesets)
            there = ", ".join(map(str, targets)) or "none"
            raise document.error(f"no target {target!r:.80}; there is: {there:.200}", "targets")
        chosen = _mapping(document, targets, target, "targets")
        names = []
        # A target that has another one's entries by YAML's merge key adds to them with _append.
        for key in ("filesets", "filesets_append"):
            for entry in _list(document, chosen, key, "targets", target):
                name = _decided(str(entry), flags)
                if name and name not in filesets:
                    raise document.error(
                        f"target {target} names a fileset {name!r:.80}, which is not there", "targets", target, key
                    )
                if name and name not in names:
                    names.append(name)
        return names

    def _fileset(self, document: _Document, name: str, above: tuple[Path, ...], flags: Collection[str]) -> None:
        at = ("filesets", name)
        fileset = _mapping(document, _mapping(document, document.content, "filesets"), name, "filesets")
        for entry in _list(document, fileset, "depend", *at):
            wanted = _decided(str(entry), flags)
            if wanted:
                self.add(self._dependency(document, wanted, (*at, "depend")), "default", above)
        file_type = fileset.get("file_type", "")
        for entry in _list(document, fileset, "files", *at):
            attributes: Mapping[str, Any] = {}
            if isinstance(entry, dict):
                if len(entry) != 1:
                    raise document.error("files holds a mapping that is not one file with its attributes", *at, "files")
                entry, attributes = next(iter(entry.items()))
                attributes = attributes if isinstance(attributes, dict) else {}
            if not isinstance(entry, str):
                raise document.error(f"files holds {entry!r:.80}, which is not the name of a file", *at, "files")
            file = _decided(entry, flags)
            if file:
                self._file(document, file, str(attributes.get("file_type", file_type)), attributes, (*at, "files"))

    def _file(
        self, document: _Document, name: str, file_type: str, attributes: Mapping[str, Any], at: tuple[str, ...]
    ) -> None:
        folder = document.path.parent
        path = folder / name
        if not name.isprintable() or Path(name).is_absolute() or not _within(path, folder):
            raise document.error(f"{name!r:.80} is not a file below the folder of the core", *at)
        if not path.is_file():
            raise document.error(f"there is no file {path}", *at)
        if not VERILOG.fullmatch(file_type):
            if OTHER.fullmatch(file_type) and not file_type.lower().startswith("vhdl"):
                return  # constraints and scripts of other tools, which a simulation does without
            raise document.error(f"{name} is of type {file_type!r:.40}: only Verilog and SystemVerilog are taken", *at)
        if path.suffix == ".v" and file_type.lower().startswith("systemverilog"):
            self.v_is_systemverilog = True
        for macro, value in _mapping(document, attributes, "define", *at).items():
            if not MACRO.fullmatch(str(macro)) or not str(value).isprintable():
                raise document.error(f"define of {name}: {macro!r:.80} cannot be defined", *at)
            self.defines[str(macro)] = "" if value is True else str(value)
        if attributes.get("is_include_file"):
            include = folder / str(attributes.get("include_path") or Path(name).parent)
            if not include.is_dir() or not _within(include, folder):
                raise document.error(f"include_path of {name}: {include} is no folder of the core", *at)
            if include not in self.include_dirs:
                self.include_dirs.append(include)
        elif path not in self.sources:
            self.sources.append(path)

    def _dependency(self, document: _Document, wanted: str, at: tuple[str, ...]) -> _Document:
        match = NAME.fullmatch(wanted.strip())
        if match is None:
            raise document.error(f"depend: {wanted!r:.80} is not the name of a core", *at)
        if self._others is None:
            self._others = {}
            for number, path in enumerate(sorted(self.root.rglob("*.core"))):
                if number >= MAX_CORES:
                    raise document.error(f"more than {MAX_CORES} .core files below {self.root}", *at)
                try:
                    other = _load(path)
                except InputError as error:
                    # Whoever looks for another core is not kept from it.
                    self._broken.append(error)
                    continue
                named = NAME.fullmatch(other.name)
                if named is not None:
                    self._others.setdefault(named["name"], []).append(other)
        fitting = [other for other in self._others.get(match["name"], ()) if _fits(_version(other.name), match)]
        if not fitting:
            broken = f" (one of them cannot be used: {self._broken[0]})" if self._broken else ""
            problem = f"depends on {wanted.strip():.80}, and no .core file below {self.root} is that{broken}"
            raise document.error(problem, *at)
        return max(fitting, key=lambda other: _version(other.name))


Version = tuple[tuple[int, str], ...]


def _numbers(text: str) -> Version:
    """A version, so that any two compare as their numbers do, however long these are."""
    return tuple((len(number), number) for number in (one.lstrip("0") for one in re.findall(r"\d+", text)))


def _version(name: str) -> Version:
    """The version in a core's name; that of a name without one is 0."""
    match = NAME.fullmatch(name)
    text = match["version"] if match is not None else None
    return _numbers(text or "0")


def _fits(version: Version, wanted: re.Match[str]) -> bool:
    """Whether a version is one that is asked for; with ^ the first number stays, with ~ the first two do."""
    if not wanted["version"]:
        return True
    asked = _numbers(wanted["version"])
    return {
        ">=": version >= asked,
        "<=": version <= asked,
        ">": version > asked,
        "<": version < asked,
        "^": version >= asked and version[:1] == asked[:1],
        "~": version >= asked and version[:2] == asked[:2],
    }.get(wanted["relation"], version == asked)


def _decided(entry: str, flags: Collection[str]) -> str:
    """``flag ? (name)`` decided by the flags that are on; empty where that leaves it out."""
    while (match := FLAG.fullmatch(entry)) is not None:
        if (match[2] in flags) == bool(match[1]):
            return ""
        entry = match[3]
    return entry.strip()


def _value(document: _Document, value: object, datatype: str, what: str, at: Sequence[str]) -> int | bool | str:
    """A parameter's value by its datatype."""
    text = str(value).strip()
    if datatype == "bool" and text.lower() in ("true", "false", "0", "1"):
        return text.lower() in ("true", "1")
    if datatype == "int" and DIGITS.fullmatch(text.removeprefix("-")):
        return int(text)
    if datatype in ("str", "file") and text.isprintable():
        return text
    raise document.error(f"{what}: {text!r:.40} is not of type {datatype:.20}: bool, int, str and file are taken", *at)


def _mapping(document: _Document, content: Mapping[str, Any], key: str, *at: str) -> Mapping[str, Any]:
    value = content.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise document.error(f"{key} is not a mapping", *at, key)
    return value


def _list(document: _Document, content: Mapping[str, Any], key: str, *at: str) -> list[Any]:
    value = content.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise document.error(f"{key} is not a list", *at, key)
    return value


def _within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
