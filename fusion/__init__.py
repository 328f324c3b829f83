"""Fusionscope's library: open a multimodal-fusion checkpoint, run samples through it, show how it fused them."""

__version__ = "0.1.0"
