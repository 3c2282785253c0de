"""Reading of YAML: every key once, numbers as they are written, and nothing that grows without bound."""

import logging
import pathlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import yaml

from slowfast.errors import UserError

logger = logging.getLogger(__name__)

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000  # after aliases are replaced by what they stand for
MAX_DEPTH = 30

# Models whose published configs give some keys twice, which their published reader takes the last value of.
MODELS_WITH_REPEATED_KEYS = ("MViT",)

# A part of PyYAML's messages, and the fix for that mistake.
FIXES = {
    "'\\t'": "indent with blanks instead of tabs",
    "mapping values are not allowed": "write one key per line, and indent the keys of a section by the same amount",
    "could not find expected ':'": "write 'KEY: value', with a blank after the colon",
    "expected <block end>": "indent the keys of a section by the same amount",
    "undefined alias": "put a word that starts with '*' in quotes",
    "cannot start any token": "put text that starts with this character in quotes",
    "expected ',' or": "close every bracket, and put commas between values",
    "quoted scalar": "close every quotation mark",
    "unacceptable character": "save the file as UTF-8 text, and check that it is a config",
    "nested more than": "remove brackets, or an alias of a section in itself",
    "aliases stand for": "use fewer aliases such as *name",
    "unhashable key": "use text as the key",
    "integer string conversion": "use a smaller number",
    "expected a single document": "keep one config in a file, without '---' between its sections",
    "constructor for the tag": "remove the tag that starts with '!'",
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, without the number formats of YAML 1.1 that surprise: 010 is 10, and 1:30 is text."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None

    def construct_plain_int(self, node: yaml.ScalarNode) -> object:
        text = self.construct_scalar(node)
        number = self.construct_yaml_int(node)
        return number if str(number) == text.removeprefix("+") else text


# A table of its own, as PyYAML makes for the constructors that are added to a class.
_Loader.yaml_constructors = yaml.SafeLoader.yaml_constructors | {
    "tag:yaml.org,2002:int": _Loader.construct_plain_int,
    "tag:yaml.org,2002:timestamp": yaml.SafeLoader.construct_yaml_str,
}


def read_yaml(path: pathlib.Path) -> dict:
    """Return the mapping in a YAML file."""
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"has {path.stat().st_size:,} bytes, which no config needs; give a YAML file after --cfg")
    try:
        values, repeated = _parse(path.read_bytes())
    except yaml.YAMLError as error:
        raise UserError(f"cannot be read as YAML: {_explained(error)}") from None
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise UserError(
            f"has a {type(values).__name__}; give sections such as 'TRAIN:' with indented keys, each as 'KEY: value'"
        )
    _settle(repeated, values, path)
    return values


def parse_yaml(text: str | bytes) -> object:
    """Return the value of a YAML document. Raises yaml.YAMLError for text that is not one."""
    value, repeated = _parse(text)
    for one in repeated:
        raise one.error()
    return value


def _parse(text: str | bytes) -> tuple[object, list["_Repeated"]]:
    """Return the value of a YAML document, in which the last of several values of a key holds, and such keys."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        _check_size(root)
        repeated = _repeated_keys(root)  # before the keys that `<<` merges are among the others
        return None if root is None else loader.construct_document(root), repeated
    except RecursionError:
        raise yaml.YAMLError(f"it is nested more than {MAX_DEPTH} deep") from None
    finally:
        loader.dispose()


def _check_size(root: yaml.Node | None) -> None:
    """Raise YAMLError if a document is nested too deep, or its aliases make it too large."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"it is nested more than {MAX_DEPTH} deep", problem_mark=node.start_mark)
        if id(node) not in sizes:
            sizes[id(node)] = 1 + sum(size(child, depth + 1) for child in _children(node))
        return sizes[id(node)]

    if root is not None and size(root, 0) > MAX_VALUES:
        raise yaml.YAMLError(f"its aliases stand for more than {MAX_VALUES:,} values")


class _Repeated(NamedTuple):
    """A key that is given twice, and its first and last line.

    `is_replaced`: the last value takes the place of the first and of nothing else. A section would lose all the keys
    that are in the first only.
    """

    key: str
    first: int
    last: int
    is_replaced: bool

    def error(self) -> UserError:
        """Return the error that asks for one of them."""
        return UserError(f"{self.key} is given twice, in lines {self.first} and {self.last}; keep one of them")


def _settle(repeated: Iterable[_Repeated], values: dict, path: pathlib.Path) -> None:
    """Raise UserError for a key that is given twice, or warn in a config of a model that is published with such."""
    section = values.get("MODEL")
    model = section.get("MODEL_NAME") if isinstance(section, dict) else None
    for one in repeated:
        if model not in MODELS_WITH_REPEATED_KEYS or not one.is_replaced:
            raise one.error()
        logger.warning("%s: %s is given twice, in lines %d and %d; the last holds", path.name, *one[:3])


def _repeated_keys(root: yaml.Node | None) -> list[_Repeated]:
    """Return the keys that a document has twice, at any level. Keys that `<<` merges may be given again."""
    pending, visited = [(root, "")], set()
    seen: dict[str, tuple[yaml.Node, yaml.Node, yaml.Node]] = {}  # mapping, name and value
    repeated: dict[str, _Repeated] = {}
    while pending:
        node, prefix = pending.pop()
        if not isinstance(node, yaml.MappingNode) or id(node) in visited:
            continue
        visited.add(id(node))
        for name, value in node.value:
            key = f"{prefix}{name.value}"
            mapping, first, before = seen.setdefault(key, (node, name, value))
            if first is not name:
                is_replaced = mapping is node and not any(isinstance(one, yaml.MappingNode) for one in (before, value))
                above, below = sorted(one.start_mark.line + 1 for one in (first, name))
                repeated[key] = _Repeated(key, above, below, is_replaced)
            pending.append((value, f"{key}."))
    return sorted(repeated.values(), key=lambda one: one.first)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for child in node.value if isinstance(node, yaml.CollectionNode) else ():
        yield from child if isinstance(child, tuple) else (child,)


def _explained(error: yaml.YAMLError) -> str:
    """Return the line, the problem and the fix of a YAML error."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
    place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    text = " ".join(f"{getattr(error, 'context', None) or ''} {problem}".split())
    fix = next((fix for part, fix in FIXES.items() if part in text), "correct it")
    return f"{place}{text}; {fix}"
