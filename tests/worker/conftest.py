"""What tests of the worker share with those of hosts."""

from ..serving.conftest import guide_folder as guide_folder
