"""Find configs of mmsegmentation by name, or of a user by path, and expand the settings that name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seglight.config.mmseg.file import read_mmseg_config
from seglight.config.mmseg.model_and_schedule import model_settings, schedule_settings
from seglight.config.mmseg.packaged import zoo_folder
from seglight.config.settings import Key, Origin, Settings, merge, paths
from seglight.errors import UsageError
from seglight.files import expand_home
from seglight.similar import nearest

#: The keys that name an mmseg config: one fills the model, the other optimizer, schedule and length.
ZOO: Key = ('model', 'zoo')
ZOO_SCHEDULE: Key = ('model', 'zoo_schedule')


def zoo_names() -> list[str]:
    """Return the sorted names of all mmseg configs, for example `fcn/fcn_hr18_512x512_80k_ade20k`."""
    folder = zoo_folder()
    paths = (path.relative_to(folder).with_suffix('') for path in folder.glob('*/*.py'))
    return sorted(path.as_posix() for path in paths if path.parts[0] != '_base_')


def find_zoo(name: str, origin: Origin | None = None) -> Path:
    """Return the `.py` file for a name of mmseg's or a path.

    Args:
        name: a name of `zoo_names`, with or without its folder and `.py`, or the path of a file.
        origin: where it was written; a path in a config file may be relative to that file.

    Raises:
        UsageError: if there is no such config, with the nearest name.
    """
    folder = zoo_folder()
    name = expand_home(name)
    bare = name.removesuffix('.py').removeprefix('configs/')
    beside = [Path(origin.source).parent / name] if origin and origin.line else []
    for path in (*beside, Path(name), folder / f'{bare}.py'):
        if path.suffix == '.py' and path.is_file():
            return path
    names = zoo_names()
    found = [each for each in names if each.rpartition('/')[2] == bare]
    if len(found) == 1:
        return folder / f'{found[0]}.py'
    hint = nearest(bare, names) or nearest(bare.rpartition('/')[2], [each.rpartition('/')[2] for each in names])
    message = f"'{name}' is neither an mmseg config (`seglight zoo` lists them) nor a .py file{hint}"
    raise UsageError(f'{f"{origin}: " if origin else ""}{message}')


def expand(settings: Settings, below: Settings) -> Settings:
    """Expand `model.zoo` and `model.zoo_schedule` to the mmseg configs that they name, below one file's own keys.

    Inherited dicts are replaced, not merged, since other classes have other keys. So
    `{'model': {'zoo': 'x', 'segmentor': {...}}}` becomes the model dict of `x` with these changes.

    Args:
        settings: the keys of one config file, or of one flag.
        below: the settings that they override; its `model.zoo` is the config for `zoo_schedule: true`.

    Raises:
        ConfigError: if there is no such config, or it cannot be read.
    """
    model = settings.values.get('model')
    if not isinstance(model, dict):
        return settings
    expanded: dict[str, Any] = {}
    origins: dict[Key, Origin] = {}
    for key, translate in ((ZOO, model_settings), (ZOO_SCHEDULE, schedule_settings)):
        name = model.get(key[-1])
        if name is True and key == ZOO_SCHEDULE:
            name = model.get(ZOO[-1]) or (below.values.get('model') or {}).get(ZOO[-1])
            if name is None:
                raise UsageError(
                    f'{settings.origin(key)}: zoo_schedule: true needs model.zoo; set it, or name an mmseg config'
                )
        if name is None or name is False:
            continue
        if not isinstance(name, str):
            raise UsageError(f'{settings.origin(key)}: {".".join(key)} must name an mmseg config, got {name!r}')
        path = find_zoo(name, settings.origin(key))
        found = translate(read_mmseg_config(path))
        shown = path.relative_to(zoo_folder()) if path.is_relative_to(zoo_folder()) else path
        origins |= {inner: Origin(str(shown)) for inner in paths(found)}
        expanded = merge(expanded, found, marks=True)
    return Settings(merge(expanded, settings.values, marks=True), {**origins, **settings.origins})


def forget_names(settings: Settings) -> None:
    """Remove `model.zoo` and `model.zoo_schedule`, after their expansion to other keys."""
    model = settings.values.get('model')
    for key in (ZOO, ZOO_SCHEDULE) if isinstance(model, dict) else ():
        settings.values['model'].pop(key[1], None)
