"""Config files: given by their path, or by the name of a recipe that comes with the package."""

import difflib
import functools
from pathlib import Path, PurePath

from slowfast.config.yaml_file import read_yaml
from slowfast.errors import UserError, errors_name

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = (PACKAGE / "recipes", PACKAGE.parent / "configs")  # in an installed package, and in a checkout
SUFFIXES = (".yaml", ".yml")
BASE = "_BASE_"
MAX_NEAR = 5
HERE = Path()


@functools.cache
def recipes() -> dict[str, Path]:
    """Return the file of every recipe. A name is a path without suffix, such as Kinetics/SLOWFAST_8x8_R50."""
    folder = next(filter(Path.is_dir, FOLDERS), FOLDERS[0])
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def read_layers(name: str | PurePath) -> list[tuple[str | PurePath, dict]]:
    """Return (name, mapping) of a config file, after those of the files that `_BASE_` names. The last value counts."""
    layers: list[tuple[str | PurePath, dict]] = []
    with errors_name(name):
        path = find_config(name)
    above = [path]
    while True:
        with errors_name(name):
            values = read_yaml(path)
            layers.insert(0, (name, values))
            base = values.pop(BASE, None)
            if base is None:
                return layers
            name, path = base, _find_base(base, path.parent)
            if path in above:
                raise UserError(f"{BASE}: {base} is this config, or one that has it as {BASE}; remove the line")
            above.append(path)


def find_config(name: str | PurePath, folder: Path = HERE) -> Path:
    """Return the file of a path or of a recipe's name, with or without suffix. A file that exists comes first."""
    path = folder / name
    if path.is_file():
        return path.resolve()
    known = recipes().get(_recipe_name(name))
    if known:
        return known
    if path.is_dir():
        raise UserError("is a folder; give the path of a YAML file in it after --cfg")
    raise FileNotFoundError(f"config file {name} does not exist; {_fix(_recipe_name(name))}")


def _find_base(base: object, folder: Path) -> Path:
    """Return the file that the `_BASE_` of a config in `folder` names."""
    if not isinstance(base, str):
        raise UserError(f"{BASE}: {base!r} is not the path of a YAML file or the name of a recipe")
    try:
        return find_config(Path(base).expanduser(), folder)
    except (UserError, FileNotFoundError) as error:
        raise UserError(f"{BASE} {base}: {error}") from None


def _recipe_name(name: str | PurePath) -> str:
    """Return `Kinetics/A` for `Kinetics/A.yaml` and for `configs/Kinetics/A.yaml`, as it is called in a checkout."""
    path = PurePath(name)
    path = path.with_suffix("") if path.suffix in SUFFIXES else path
    return path.as_posix().removeprefix("configs/")


def _fix(name: str) -> str:
    """Return what to do about a name that is not a recipe."""
    inside = [recipe for recipe in recipes() if name.lower() in recipe.lower()]
    last = {recipe.rpartition("/")[2]: recipe for recipe in reversed(recipes())}
    near = inside or difflib.get_close_matches(name, recipes(), MAX_NEAR)
    near = near or [last[part] for part in difflib.get_close_matches(name.rpartition("/")[2], last, MAX_NEAR)]
    if near:
        return f"did you mean the recipe {' or '.join(near[:MAX_NEAR])}?"
    return "give the path of a YAML file or the name of a recipe (`slowfast recipes` lists them)"
