"""Segmentors and backbones of other libraries behind mmseg's interface, registered with mmseg.

Importing this package registers them; their libraries are imported when one is built.
"""

from seglight.models.adapters.exported import ExportedSegmentor
from seglight.models.adapters.hf import HFSegmentor
from seglight.models.adapters.smp import SMPSegmentor
from seglight.models.adapters.timm import TIMMBackbone

__all__ = ['ExportedSegmentor', 'HFSegmentor', 'SMPSegmentor', 'TIMMBackbone']
