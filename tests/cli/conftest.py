"""Guides for commands that look at services."""

from ..serving.conftest import guide_folder as guide_folder
