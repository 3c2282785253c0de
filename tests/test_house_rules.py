"""Rules that the source itself can be checked for: imports, the config, sizes, complexity."""

import ast
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
BASE = {"errors", "config", "multigrid", "utils"}
BELOW = {  # what a package may import
    "config": {"errors", "config"},
    "multigrid": {"errors", "multigrid"},
    "utils": BASE,
    "datasets": BASE | {"datasets"},
    "models": BASE | {"models"},
    "optim": BASE | {"optim"},
    "visualization": BASE | {"visualization"},
    "engine": BASE | {"datasets", "models", "optim", "visualization", "engine"},
    "benchmark": BASE | {"datasets", "models", "optim", "visualization", "engine", "benchmark"},
    "inference": BASE | {"datasets", "models", "optim", "visualization", "engine", "inference"},
    "commands": BASE | {"datasets", "models", "optim", "visualization", "engine", "benchmark", "inference", "commands"},
    "compat": BASE | {"datasets", "models", "optim", "visualization", "engine", "compat"},
}
PUBLISHED_PLACES = {  # modules that only re-export from compat
    "slowfast/datasets/utils.py",
    "slowfast/models/optimizer.py",
    "slowfast/utils/checkpoint.py",
    "slowfast/utils/meters.py",
    "slowfast/utils/misc.py",
}
CODE = ("slowfast", "tools", "projects", "benchmarks")
MAY_TALK = {"slowfast/utils/distributed.py", "slowfast/utils/launch.py", "slowfast/multigrid/batch_norm.py"}
PLAIN = ["slowfast/multigrid/schedule.py", "slowfast/multigrid/plan.py"]


def sources(*tops):
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def name(path):
    return path.relative_to(ROOT).as_posix()


def imported(path):
    """The modules a file imports, `from a import b` as both `a` and `a.b`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def written(path):
    """What a file assigns to."""
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            yield from map(ast.unparse, node.targets if isinstance(node, ast.Assign) else [node.target])


@pytest.mark.parametrize("package", BELOW)
def test_imports_point_one_way(package):
    wrong = [
        f"{name(path)} imports {module}"
        for path in sources(f"slowfast/{package}")
        if name(path) not in PUBLISHED_PLACES
        for module in imported(path)
        if module.startswith("slowfast.") and module.split(".")[1] not in {*BELOW[package], "__version__"}
    ]
    assert not wrong


def test_modules_at_published_places_only_reexport_and_nothing_inside_imports_them():
    assert all(m.startswith("slowfast.compat") for place in PUBLISHED_PLACES for m in imported(ROOT / place))
    modules = {place.removesuffix(".py").replace("/", ".") for place in PUBLISHED_PLACES}
    assert not [(name(path), m) for path in sources(*CODE) for m in imported(path) if m in modules]
    statements = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr)
    assert all(isinstance(node, statements) for place in PUBLISHED_PLACES for node in tree(ROOT / place).body)


def test_the_package_never_imports_tools_tests_or_projects():
    wrong = [
        (name(path), m)
        for path in sources("slowfast")
        for m in imported(path)
        if m.split(".")[0] in ("tools", "tests", "projects")
    ]
    assert not wrong


def test_every_package_has_its_place_in_the_import_order():
    packages = {path.name for path in (ROOT / "slowfast").iterdir() if path.is_dir() and list(path.glob("*.py"))}
    assert packages == set(BELOW)


def test_a_cfg_is_written_in_config_only():
    wrong = [
        f"{name(path)} writes {target}"
        for path in sources(*CODE)
        if "slowfast/config/" not in name(path)
        for target in written(path)
        if re.match(r"(\w+\.)*cfg(\.[A-Z]|\[)", target)
    ]
    assert not wrong


def test_a_cfg_is_merged_and_thawed_in_config_only():
    calls = {"merge_from_file", "merge_from_list", "merge_from_other_cfg", "defrost"}
    wrong = [
        f"{name(path)} calls {node.attr}"
        for path in sources(*CODE)
        if "slowfast/config/" not in name(path)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in calls
    ]
    assert not wrong


def test_torch_distributed_is_used_in_three_files_only():
    talking = {name(path) for path in sources("slowfast", "tools") if uses_torch_distributed(path)}
    assert talking <= MAY_TALK


def uses_torch_distributed(path):
    used = {ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    return any(text.startswith("torch.distributed") for text in (*used, *imported(path)))


@pytest.mark.parametrize("path", PLAIN)
def test_the_plan_needs_nothing_but_the_standard_library(path):
    modules = set(imported(ROOT / path))
    assert not [m for m in modules if m.split(".")[0] not in {*sys.stdlib_module_names, "slowfast"}]
    assert not [m for m in modules if not m.startswith(("slowfast.multigrid", "slowfast.errors")) and "slowfast" in m]


def test_one_place_catches_every_exception():
    caught = [
        name(path)
        for path in sources(*CODE)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    ]
    assert caught == ["slowfast/datasets/video/reader.py"]  # turns errors of reading a video into VideoErrors


MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_COMPLEXITY = 400, 40, 10
TABLES = {"slowfast/config/defaults.py"}
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.match_case)


def functions(path):
    return [node for node in ast.walk(tree(path)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def complexity(function):
    """The cyclomatic complexity: one, plus the branches."""
    nodes = list(ast.walk(function))
    conditions = sum(len(node.values) - 1 for node in nodes if isinstance(node, ast.BoolOp))
    return 1 + sum(isinstance(node, BRANCHES) for node in nodes) + conditions


def test_files_are_short():
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources(*CODE)}
    assert not {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES and path not in TABLES}


def test_functions_are_short():
    long = [
        f"{name(path)}: {function.name} has {function.end_lineno - function.lineno + 1} lines"
        for path in sources(*CODE, "tests")
        for function in functions(path)
        if function.end_lineno - function.lineno >= MAX_FUNCTION_LINES
    ]
    assert not long


def test_functions_are_simple():
    complex_ones = [
        f"{name(path)}: {function.name} has complexity {complexity(function)}"
        for path in sources(*CODE)
        for function in functions(path)
        if complexity(function) > MAX_COMPLEXITY
    ]
    assert not complex_ones
