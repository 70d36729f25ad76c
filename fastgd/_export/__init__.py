"""Fitted models for other programs: as ONNX, and as modules of PyTorch."""
