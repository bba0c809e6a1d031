"""seglight: train and run mmsegmentation's models with PyTorch Lightning."""

__version__ = '0.1.0'
