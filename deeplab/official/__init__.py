"""Checkpoints and frozen graphs of the official DeepLab, in and out."""
