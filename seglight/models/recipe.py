"""Building a segmentor with the right number of classes from an mmseg model dict."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Sequence
from typing import Any

from mmcv import ConfigDict
from mmseg.models import build_segmentor
from mmseg.models.segmentors import BaseSegmentor
from torch import nn

from seglight.config.classes import import_class
from seglight.errors import ConfigError, UserError
from seglight.models import (
    adapters,  # noqa: F401  (registers them)
    losses,  # registers seglight's losses
)
from seglight.models.adapters import channels, hf_config
from seglight.models.class_weights import names_file, read_weights
from seglight.models.explain import explain, explain_weights
from seglight.models.initialising import is_only_loading
from seglight.models.loss_checks import check_losses
from seglight.models.parts import Part, walk
from seglight.models.pretrained import check_reached, teach_mmcv, without_pretrained
from seglight.models.recipe_checks import check, check_class_path, check_in_index, check_part


class Recipe:
    """A model dict and its parts. The dict is never changed; methods that return another recipe copy it.

    Args:
        model: an mmseg model dict (`type`, `backbone`, `decode_head`, ...).

    Raises:
        ConfigError: if it is not a dict.

    Attributes:
        model: the dict.
        parts: every dict in it, outermost first.
    """

    def __init__(self, model: dict[str, Any]) -> None:
        if not isinstance(model, dict):
            raise ConfigError(
                'model.segmentor',
                f"must be a dict as in mmseg's configs, got {type(model).__name__}; name a class of your own by its "
                "path, for example {'type': 'my_models.MySegmentor'}",
            )
        self.model = model
        self.parts = tuple(walk(model))

    @property
    def wants_sync_bn(self) -> bool:
        """Whether any part is a SyncBN."""
        return any(part.type_name == 'SyncBN' for part in self.parts)

    def check_keys(self) -> None:
        """Refuse a key that its class does not accept, without building anything.

        Raises:
            ConfigError: names the key and the nearest valid one.
        """
        for part in self.parts:
            check_part(part)

    def self_contained(self) -> Recipe:
        """Return the recipe with the contents of what it names: class weights in files, configurations of the hub.

        Raises:
            ConfigError: if anything named cannot be read.
        """
        if not any(names_file(part) or hf_config.names_model(part) for part in self.parts):
            return self
        recipe = Recipe(copy.deepcopy(self.model))
        for part in recipe.parts:
            read_weights(part)
            hf_config.fill_in(part)
        return recipe

    def without_pretrained(self) -> Recipe:
        """Return the recipe without addresses of pretrained weights, for a model that loads a checkpoint."""
        return Recipe(without_pretrained(self.model))

    def for_data(self, num_classes: int, ignore_index: int = 255) -> Recipe:
        """Return the recipe that mmseg builds for the classes of the data.

        Args:
            num_classes: set in every head that predicts the data's classes, whatever the dict says.
            ignore_index: label without a loss, set in every head and loss that accepts it.

        Returns:
            A recipe with BatchNorm in place of SyncBN, which needs an initialised process group on GPUs.

        Raises:
            ConfigError: for a value that does not fit the classes, or an unknown key; names the key.
        """
        model = copy.deepcopy(self.self_contained().model)
        model['test_cfg'] = model.get('test_cfg') or {'mode': 'whole'}
        channels.fill_in(model)
        recipe = Recipe(model)
        for part in recipe.parts:
            _import_class(part)
        check(recipe.parts, num_classes)
        for part in recipe.parts:
            _adapt(part, num_classes)
        for head in recipe.heads():
            _set_classes(head, recipe.parts, num_classes, ignore_index)
        return recipe

    def heads(self) -> list[Part]:
        """Return the heads that predict classes, including nested and cascaded ones."""
        return [part for part in self.parts if part.role == 'head']

    def construct(self) -> BaseSegmentor:
        """Build the result of `for_data` with torch's default weights; none are downloaded.

        Raises:
            ConfigError: if mmseg cannot build it; names the part and the nearest known type.
        """
        teach_mmcv()
        try:
            segmentor: BaseSegmentor = build_segmentor(ConfigDict(self.model))
        except (
            UserError,
            KeyError,
            TypeError,
            ValueError,
            ArithmeticError,
            AssertionError,
            RuntimeError,
            OSError,
        ) as error:
            raise _own_error(error) or explain(error, self.parts) from error
        check_in_index(segmentor)
        return segmentor

    def build(self) -> BaseSegmentor:
        """Build the result of `for_data`, try its losses and initialise its weights as configured.

        Within `only_loading` the same as `construct`.

        Raises:
            ConfigError: also for a loss that cannot train, and for pretrained weights that cannot be loaded.
        """
        segmentor = self.construct()
        if is_only_loading():
            return segmentor
        check_losses(segmentor)
        logging.getLogger('mmcv').setLevel(logging.WARNING)  # it reports the statistics of every parameter
        try:
            segmentor.init_weights()
        except (KeyError, TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError, OSError) as error:
            raise explain_weights(error, self.parts) from error
        check_reached(segmentor, self.parts)
        return segmentor

    def balanced_losses(self, segmentor: BaseSegmentor) -> list[Any]:
        """Return the losses of the built segmentor whose class weights come from the data."""
        balanced = [part for part in self.parts if part.role == 'loss' and _is_balanced(part)]
        return [segmentor.get_submodule('.'.join(part.path)) for part in balanced]


def _is_balanced(part: Part) -> bool:
    return bool(part.values.get('class_weight') == losses.BALANCED)


def _import_class(part: Part) -> None:
    """Replace the path of a user's class by the class, which mmcv builds, too; losses have a wrapper of their own.

    Raises:
        ConfigError: if it cannot be imported, or is no module of torch, or the whole is none of mmseg's segmentors.
    """
    check_class_path(part)
    if part.has_class_path and part.role != 'loss':
        base = nn.Module if part.path else BaseSegmentor
        part.values['type'] = import_class(part.type_name, base, f'{part.key}.type')


def _adapt(part: Part, num_classes: int) -> None:
    """Rewrite a part in the form that mmseg builds.

    YAML has no tuples, but some classes of mmseg require them (JPU, CGNet, MobileNetV3).
    """
    values = part.values
    if part.role == 'loss':
        if _is_balanced(part):
            values['class_weight'] = [1.0] * num_classes  # until the weights are known
        losses.wrap(values, part.key)
    if part.type_name == 'SyncBN':
        values['type'] = 'BN'
    cls = part.cls
    if cls is not None:
        for name, parameter in inspect.signature(cls).parameters.items():
            if isinstance(parameter.default, tuple) and isinstance(values.get(name), list):
                values[name] = tuple(values[name])


def _set_classes(head: Part, parts: Sequence[Part], num_classes: int, ignore_index: int) -> None:
    """Set `num_classes` in a head, and `ignore_index` in each of its parts that accepts it.

    A head made of heads, such as K-Net's, has no number of its own. A head that predicts labels of its own,
    such as STDC's boundaries, keeps its number.
    """
    own = head.own_labels
    inner = [part for part in parts if head in part.above()]
    if own is not None:
        head.values.setdefault('num_classes', own)
    elif 'num_classes' in head.values or not any(part.role == 'head' for part in inner):
        for part in [head, *inner]:
            if part is head or ('loss_decode' in part.path and 'num_classes' in part.values):
                part.values['num_classes'] = num_classes
            if part.takes('ignore_index'):
                part.values['ignore_index'] = ignore_index


def _own_error(error: BaseException | None) -> UserError | None:
    """Return the first seglight error in a chain, None without one: mmcv wraps the errors of a class."""
    if error is None:
        return None
    return _own_error(error.__context__) or (error if isinstance(error, UserError) else None)
