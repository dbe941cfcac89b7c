"""Rendering of an untrusted Jinja template: sandboxed, immutable, and metered.

Jinja's sandbox keeps a template from Python's internals; it does not keep it from filling memory or running for
ever. Here a template's tree is rewritten before it is compiled, so that every step that can take time or memory
goes through a `Meter`: each turn of a loop, call, filter, test, comparison, operator, join, slice and output. One
step works on values of bounded size, so the clock, which is looked at on every step, stops the rest in time. What
is not listed here (methods, filters, included files) is refused.

What a template may use is what transformers gives it: `raise_exception`, `strftime_now`, `tojson`, `namespace`,
`dict`, `range`, `{% break %}`, `{% continue %}`, `{% generation %}`, trimmed blocks.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, cast

import jinja2
import jinja2.ext
import jinja2.nodes as nodes
import markupsafe
from jinja2.exceptions import SecurityError
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from cutaway.errors import BadTemplate
from cutaway.tokenizers.meter import (
    FILTER_CHECKS,
    LAZY,
    MAX_BITS,
    MAX_OUTPUT,
    MAX_TEMPLATE,
    METER,
    METHOD_CHECKS,
    LimitReached,
    Meter,
    check_braces,
    check_percent,
    depth,
    weight,
)

# -- what a template may call -------------------------------------------------------------------------------------

METHODS: Mapping[type, str] = {
    str: "strip lstrip rstrip startswith endswith split rsplit splitlines upper lower title capitalize casefold find"
    " rfind index rindex count isalpha isdigit isdecimal isnumeric isalnum isspace isupper islower removeprefix"
    " removesuffix partition rpartition replace join ljust rjust center zfill",
    dict: "get items keys values copy",
    list: "index count copy",
    tuple: "index count",
}
FILTERS = (
    "abs capitalize center count d default dictsort first float format groupby indent int items join last length"
    " list lower map max min reject rejectattr replace reverse round select selectattr sort string sum title trim"
    " truncate unique upper wordcount"
)


def _metered_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, its size asked before where it could make much of little, and its result counted."""
    check = FILTER_CHECKS.get(name)
    # Jinja passes some filters the context, the environment or the evaluation context first.
    led = getattr(function, "jinja_pass_arg", None) is not None

    @functools.wraps(function)
    def metered(*args: Any, **kwargs: Any) -> Any:
        meter = METER.get()
        meter.step()
        given = [list(each) if isinstance(each, range) else each for each in args]
        given = [meter.add(each) if isinstance(each, LAZY) else each for each in given]
        if check is not None:
            check(*given[1 if led else 0 :], **kwargs)
        return meter.add(function(*given, **kwargs))

    return metered


def _metered_test(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def metered(*args: Any, **kwargs: Any) -> Any:
        METER.get().step()
        return function(*args, **kwargs)

    return metered


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """As transformers has it: unlike Jinja's own it leaves "<" and letters of any script as they are."""
    meter = METER.get()
    if indent is not None:
        if not isinstance(indent, (int, str)) or (len(indent) if isinstance(indent, str) else indent) > 16:
            raise LimitReached("it indents JSON by more than 16")
        meter.room(weight(value) * depth(value) * 16)
    if separators is not None and len("".join(map(str, separators))) > 16:
        raise LimitReached("it separates JSON with more than 16 characters")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _safe(value: object) -> str:
    return str(value)


def _escape(value: object) -> str:
    return str(markupsafe.escape(str(value)))


class _Names(Namespace):
    """`namespace()`: its values may change, but it can't be put into itself or printed out."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, given = args[0], args[1:]
        Namespace.__init__(self)
        for name, value in dict(*given, **kwargs).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(value, Namespace):
            raise LimitReached("it puts a namespace into a namespace")
        if str(name).startswith("_"):
            raise SecurityError("names of a namespace may not start with an underscore")
        Namespace.__setitem__(self, name, value)

    def __repr__(self) -> str:
        return "<namespace>"


def _raise_exception(message: object) -> None:
    raise jinja2.TemplateError(str(message))


def _strftime_now(format: str) -> str:
    check_percent(format)
    if len(format) > 200:
        raise LimitReached("it formats the date with more than 200 characters")
    return datetime.now().strftime(format)


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what an assistant says, for training; here its content is simply rendered."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


# -- the rewritten tree -------------------------------------------------------------------------------------------


class _Metering(NodeTransformer):
    """Sends every step of a template through one of the `_…` filters of `_Sandbox`."""

    def _through(self, name: str, node: nodes.Node) -> nodes.Filter:
        return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [self._through("_output", child) for child in node.nodes]
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = self._through("_turns", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return self._through("_concat", nodes.List(node.nodes, lineno=node.lineno))

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        return self._through("_made", node)

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return self._through("_made", node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return self._through("_made", node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return self._through("_made", node) if node.ctx == "load" else node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        return self._through("_made", node) if isinstance(node.arg, nodes.Slice) else node

    def _refuse(self, node: nodes.Node) -> nodes.Node:
        raise SecurityError(f"{type(node).__name__.lower()} is not allowed: a chat template stands alone")

    visit_Include = visit_Import = visit_FromImport = visit_Extends = visit_Block = _refuse


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, _Generation])
        self.globals = {
            "range": self.globals["range"],
            "dict": _dict,
            "namespace": _Names,
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }
        kept = {name: self.filters[name] for name in FILTERS.split()}
        kept |= {"tojson": _tojson, "safe": _safe, "e": _escape, "escape": _escape}
        self.filters = {name: _metered_filter(name, function) for name, function in kept.items()}
        self.filters |= {"_output": _output, "_turns": _turns, "_concat": _concat, "_made": _made}
        self.tests = {name: _metered_test(cast(Callable[..., Any], test)) for name, test in self.tests.items()}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return _Metering().visit(super()._parse(source, name, filename))  # type: ignore[no-any-return]

    def getattr(self, obj: Any, attribute: str) -> Any:
        METER.get().step()
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        METER.get().step()
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        meter = METER.get()
        meter.step()
        if isinstance(left, (str, list, tuple)) or isinstance(right, (str, list, tuple)):
            if operator == "*":
                sized, times = (left, right) if hasattr(left, "__len__") else (right, left)
                meter.room(len(sized) * times if isinstance(times, (int, float)) else 0)
            elif operator == "+":
                meter.room(sum(len(side) for side in (left, right) if hasattr(side, "__len__")))
            elif operator == "%":
                check_percent(left, right)
        elif max((side.bit_length() for side in (left, right) if isinstance(side, int)), default=0) > MAX_BITS:
            raise LimitReached(f"it computes with a number of more than {MAX_BITS:,} bits")
        elif isinstance(left, int) and isinstance(right, int) and operator in ("*", "**"):
            times = right if operator == "**" else 1
            if max(left.bit_length(), 1) * abs(times) + right.bit_length() > MAX_BITS:
                raise LimitReached(f"it makes a number of more than {MAX_BITS:,} bits")
        return meter.add(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        formatting = super().wrap_str_format(value)
        if formatting is None:
            return None
        checked = formatting

        def bounded(*args: Any, **kwargs: Any) -> str:
            check_braces(value.__self__, (args, kwargs))
            return checked(*args, **kwargs)

        bounded.cutaway_allowed = True  # type: ignore[attr-defined]
        return bounded

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        meter = METER.get()
        meter.step()
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if name in METHODS.get(type(owner), "").split():
            if check := METHOD_CHECKS.get(name) if isinstance(owner, str) else None:
                check(
                    owner, *args, **{key: kwargs[key] for key in kwargs if key not in ("_loop_vars", "_block_vars")}
                )
        elif isinstance(__obj, LoopContext):  # a recursive loop, called for the next level
            args = (_counted(args[0]), *args[1:]) if args else args
        elif not (
            isinstance(__obj, (Macro, Undefined))
            or isinstance(owner, LoopContext)
            or any(__obj is known for known in __self.globals.values())
            or getattr(__obj, "cutaway_allowed", False)
        ):
            raise SecurityError(f"it calls {name or type(__obj).__name__}, which a chat template may not")
        return meter.add(super().call(__context, __obj, *args, **kwargs))


def _dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)


@jinja2.pass_context
def _output(context: Context, value: Any) -> str:
    METER.get().room(weight(value))
    return str(METER.get().add(str(value)))


@jinja2.pass_context
def _concat(context: Context, values: list[Any]) -> str:
    METER.get().room(weight(values))
    return str(METER.get().add("".join(map(str, values))))


@jinja2.pass_context
def _made(context: Context, value: Any) -> Any:
    return METER.get().add(value)


@jinja2.pass_context
def _turns(context: Context, values: Any) -> Any:
    return _counted(values) if not isinstance(values, Undefined) else values


def _counted(values: Iterable[Any]) -> Iterator[Any]:
    meter = METER.get()
    for value in values:
        meter.step()
        yield value


@functools.lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    return _Sandbox().from_string(template)


def render(template: str, variables: Mapping[str, Any]) -> str:
    """The text that `template` makes of `variables` (plain values only: text, numbers, lists, mappings).

    Raises `BadTemplate` when it is too long, fails, is not allowed what it does, or does too much.
    """
    if len(template) > MAX_TEMPLATE:
        raise BadTemplate(f"the chat template has {len(template):,} characters; at most {MAX_TEMPLATE:,} are read.")
    meter = Meter()
    mark = METER.set(meter)
    try:
        pieces: list[str] = []
        size = 0
        compiled = _compiled(template)
        meter.start()  # compiling takes its time too, but no more than a template's length allows
        for piece in compiled.generate(**variables):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_OUTPUT:
                raise LimitReached(f"it writes more than {MAX_OUTPUT:,} characters")
        return "".join(pieces)
    except LimitReached as error:
        raise BadTemplate(f"the chat template was stopped: {error}.") from None
    except (SecurityError, OverflowError) as error:
        raise BadTemplate(f"the chat template is not allowed what it does: {_short(error)}.") from None
    except jinja2.TemplateSyntaxError as error:
        raise BadTemplate(f"the chat template is not valid Jinja: {_short(error)} (line {error.lineno}).") from None
    except jinja2.TemplateError as error:
        raise BadTemplate(f"the chat template does not take these messages: {_short(error)}.") from None
    except (RecursionError, MemoryError, SyntaxError):
        raise BadTemplate("the chat template was stopped: it is nested too deeply.") from None
    except Exception as error:  # whatever else an untrusted program can run into
        raise BadTemplate(f"the chat template failed: {type(error).__name__}: {_short(error)}.") from None
    finally:
        METER.reset(mark)


def _short(error: BaseException) -> str:
    text = " ".join(str(getattr(error, "message", None) or error).split()).rstrip(".")
    return text if len(text) <= 200 else text[:199] + "…"
