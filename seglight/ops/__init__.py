"""mmcv's compiled operators that mmseg's models use, in plain torch.

They support every device, floating dtype, autograd and `torch.compile`. `seglight.compat` puts them into mmcv if it was
installed without its compiled operators.
"""

from seglight.ops.deform_conv import deform_conv2d, modulated_deform_conv2d
from seglight.ops.focal_loss import sigmoid_focal_loss, softmax_focal_loss
from seglight.ops.psa_mask import psa_mask

__all__ = ['deform_conv2d', 'modulated_deform_conv2d', 'psa_mask', 'sigmoid_focal_loss', 'softmax_focal_loss']
