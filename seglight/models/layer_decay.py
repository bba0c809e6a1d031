"""Learning rates that decay with depth, for backbones of timm too."""

from __future__ import annotations

from typing import Any

from mmseg.core.builder import OPTIMIZER_BUILDERS
from mmseg.core.optimizers.layer_decay_optimizer_constructor import LearningRateDecayOptimizerConstructor
from torch import nn

from seglight.models.adapters.timm import TIMMBackbone


@OPTIMIZER_BUILDERS.register_module('LearningRateDecayOptimizerConstructor', force=True)
class LayerwiseRates(LearningRateDecayOptimizerConstructor):  # type: ignore[misc]
    """mmseg's constructor, which knows ConvNeXt, BEiT and MAE, and for all others of timm the layers that timm names.

    The rate of a layer is the base rate times `decay_rate` once for each layer after it; neck and heads have the
    base rate. Vectors and biases have no weight decay. Source: `timm.optim.param_groups_layer_decay`.
    """

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, **kwargs: Any) -> None:
        """Append a group for each layer and kind of parameter to `params`."""
        if not isinstance(module.backbone, TIMMBackbone):
            super().add_params(params, module, **kwargs)
            return
        layers = {f'backbone.timm_model.{name}': layer for name, layer in module.backbone.layers().items()}
        top = max(layers.values()) + 1
        groups: dict[tuple[int, bool], dict[str, Any]] = {}
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            layer, decays = layers.get(name, top), parameter.ndim > 1
            rate = self.base_lr * self.paramwise_cfg['decay_rate'] ** (top - layer)
            first = {'params': [], 'lr': rate, 'weight_decay': self.base_wd if decays else 0.0}
            groups.setdefault((layer, decays), first)['params'].append(parameter)
        params.extend(groups.values())
