"""What is plainly of the type that a parameter asks for, taken as it is.

Typer hands every value to Pydantic, absent ones too, and importing that costs more than a pass over a sentence. Text
for text and whole numbers in their range need no judge; whatever else comes goes Typer's own way, as do all values
under a Typer that is built differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_ASK = object()


def take_plain_values(group: Any) -> None:
    """For every parameter of these commands, and of those that Typer adds to them."""
    for command in (group, *getattr(group, "commands", {}).values()):
        command.get_params = _Parameters(command.get_params)


class _Parameters:
    """In place of a command's `get_params`."""

    def __init__(self, listed: Callable[[Any], list[Any]]) -> None:
        self._listed = listed

    def __call__(self, ctx: Any) -> list[Any]:
        found = self._listed(ctx)
        for each in found:
            known = hasattr(each, "get_runtime_param") and hasattr(each, "type_descriptor")
            if known and not isinstance(each.process_value, _Plain):
                each.process_value = _Plain(each)
        return found


class _Plain:
    """In place of a parameter's `process_value`."""

    def __init__(self, parameter: Any) -> None:
        self._parameter = parameter
        self._otherwise = parameter.process_value

    def __call__(self, ctx: Any, value: Any) -> Any:
        asked = self._parameter
        found = self._plain(value)
        if found is _ASK:
            return self._otherwise(ctx, value)
        return found if asked.callback is None else asked.callback(ctx, asked, found)

    def _plain(self, value: Any) -> Any:
        asked = self._parameter
        kind, info = asked.type_descriptor.annotation, asked.type_descriptor.parameter_info
        several = asked.multiple or asked.nargs != 1
        if value is None and not asked.required:
            return () if several else None
        if getattr(info, "parser", None) is not None:
            return _ASK
        if kind in (str, bool) and type(value) is kind:
            return value
        if kind == list[str] and several and isinstance(value, list | tuple) and set(map(type, value)) == {str}:
            return list(value)
        if kind is int and not several:
            number = int(value) if type(value) is str and re.fullmatch(r"-?[0-9]{1,18}", value) else value
            if type(number) is int and not _outside(number, info):
                return number
        return _ASK


def _outside(number: int, info: Any) -> bool:
    return (info.min is not None and number < info.min) or (info.max is not None and number > info.max)
