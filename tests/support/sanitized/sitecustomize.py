"""On `PYTHONPATH`, this gives every Python process the native module that `CUTAWAY_SANITIZED` names, in place of the
package's own: `make sanitize` runs the kernels' tests so, child processes included."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location


class Sanitized:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "cutaway.kernels._native":
            return None
        return spec_from_file_location(name, os.environ["CUTAWAY_SANITIZED"])


sys.meta_path.insert(0, Sanitized)
