"""Automatic mutants of a promise: one natural mistake each, made in its formula, in what it reads, or in what it returns.

Formula: one node of the syntax tree of the promise, or of a function of `bounds` it calls, is altered, and the function's
code exchanged in place while the mutant lives, so that everybody who holds the function sees the mistake. Input: the
promise reads an instance with one field altered (variance for deviation, one step fewer). Output: half, the root or the
square of what it returns. The truth shares no code with promises and never sees any of it.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import functools
import inspect
import math
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .verdict import Log, log_promise

Promise = Callable[[Any], Any]

# The columns of the matrix, in the order of the report.
KINDS = (
    "factor lost",
    "term lost",
    "sign",
    "power or root lost",
    "off by one",
    "min for max",
    "one side for both",
    "variance for deviation",
    "order or budget",
    "halved",
    "squared",
    "square root",
)

# Checks of arguments and outward rounding: mistakes there are not mistakes of a statement.
_HELPERS = {"number", "array", "count", "choice", "isinstance", "len", "leggauss"}
_ROUNDING = {"up", "down", "allowance"}
# Modules whose private functions are numerical machinery: roots, contours, cancellation.
_NUMERICAL_MODULES = ("bounds.gaussian_dp", "bounds.sensitivity", "bounds.coupling", "bounds.renyi_route")
_UNTOUCHED_MODULES = ("bounds._checks", "bounds._outward", "bounds._gaussian_curve", "bounds._tails")
# Options that change how a thing is computed, not what.
_TECHNICAL = {"strict", "keepdims", "endpoint", "check_finite", "initial", "kind", "axis"}
# Room left for rounding: a factor or a term this close to nothing is no part of a statement.
_ROOM = 1e-6
_DEEPEST = 2


@dataclass(frozen=True)
class AutoMutant:
    """One mistake: its kind (a column of the matrix), where it is, and how to bring it about."""

    kind: str
    where: str
    promise: Promise
    function: Any = None
    code: types.CodeType | None = None

    @contextmanager
    def alive(self) -> Iterator[Promise]:
        """The mistaken promise, while the block lasts."""
        if self.function is None or self.code is None:
            yield self.promise
            return
        kept = self.function.__code__
        _forget()
        self.function.__code__ = self.code
        try:
            yield self.promise
        finally:
            self.function.__code__ = kept
            _forget()


def _forget() -> None:
    """Clear what functions of ours remember: values of another formula."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("bounds", "paper_checks") and not name.endswith(("registry", __name__)):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


def of_formula(promise: Promise, instances: Iterable[Any] = ()) -> Iterator[AutoMutant]:
    """All mutants of the formula, in an order whose every beginning is spread evenly over it.

    instances: where given, only what is run when the promise is asked about them is altered.
    """
    lines = _lines_run(promise, instances)
    places = [
        (function, alteration)
        for function in _functions(promise)
        for alteration in _alterations(function)
        if not lines or (function.__code__.co_filename, alteration[1].lineno) in lines
    ]
    golden = (math.sqrt(5) - 1) / 2
    for k in sorted(range(len(places)), key=lambda k: k * golden % 1):
        function, (kind, place, new) = places[k]
        code = _altered_code(function, place, new)
        if code is not None:
            name = function.__name__ if function.__name__ != "<lambda>" else "the promise"
            yield AutoMutant(kind, f"{name}: {ast.unparse(place)} -> {ast.unparse(new)}", promise, function, code)


def of_numbers(promise: Promise, instance: Any) -> list[AutoMutant]:
    """Mutants of what the promise reads from instances like this one, and of what it returns."""
    return [*_of_input(promise, instance), *_of_output(promise)]


# --- the formula


def _lines_run(promise: Promise, instances: Iterable[Any]) -> set[tuple[str, int]]:
    """(file, line) of what runs while the promise is asked about the instances."""
    lines: set[tuple[str, int]] = set()

    def follow(frame: types.FrameType, event: str, argument: Any) -> Any:
        if not _ours(frame.f_globals.get("__name__")):
            return None
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return follow

    kept = sys.gettrace()
    for instance in instances:
        sys.settrace(follow)
        try:
            promise(fresh(instance))
        except Exception:  # an instance the promise has no bound for runs less, and that is all
            continue
        finally:
            sys.settrace(kept)
    return lines


def _functions(promise: Promise) -> list[types.FunctionType]:
    """The promise's own function, those in its closure, and functions of the theory they call, nearest first."""
    found: list[types.FunctionType] = []
    queue: list[tuple[Any, int]] = [(promise, 0)]
    while queue:
        thing, depth = queue.pop(0)
        thing = inspect.unwrap(thing) if callable(thing) else thing
        if isinstance(thing, functools.partial):
            queue.append((thing.func, depth))
            continue
        if not isinstance(thing, types.FunctionType) or thing in found or not _ours(thing.__module__):
            continue
        if thing.__module__ in _NUMERICAL_MODULES and thing.__name__.startswith("_"):
            continue
        found.append(thing)
        for cell in thing.__closure__ or ():
            if callable(cell.cell_contents):
                queue.append((cell.cell_contents, depth))
        if depth < _DEEPEST:
            queue += [(called, depth + 1) for called in _called(thing)]
    return found


def _called(function: types.FunctionType) -> Iterator[Any]:
    names = [name for code in _codes(function.__code__) for name in code.co_names]
    for name in names:
        value = function.__globals__.get(name)
        if isinstance(value, types.ModuleType) and value.__name__.split(".")[0] == "bounds":
            yield from (vars(value)[entry] for entry in names if isinstance(vars(value).get(entry), types.FunctionType))
        elif isinstance(value, types.FunctionType):
            yield value


def _ours(module: str | None) -> bool:
    """Promised code: the theory, and the claims' own modules; no family, no truth, no checks."""
    name = module or ""
    if name in _UNTOUCHED_MODULES or name.startswith("paper_checks.families"):
        return False
    return name.startswith("bounds.") or (name.startswith("paper_checks.") and name.count(".") == 2)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _altered_code(function: types.FunctionType, place: ast.expr, new: ast.expr) -> types.CodeType | None:
    """The function's code with that node exchanged; None where it is no longer a function of the same shape."""
    old = function.__code__
    for candidate in (new, ast.Subscript(ast.Tuple([new, _later(place)], ast.Load()), ast.Constant(0), ast.Load())):
        code = _compiled(inspect.getsourcefile(function) or "", old, place, candidate)
        # The second candidate holds on to a variable of the enclosing function that went with the alteration.
        if code is not None and code.co_freevars == old.co_freevars:
            return code
    return None


def _later(place: ast.expr) -> ast.Lambda:
    empty = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.Lambda(empty, copy.deepcopy(place))


def _compiled(path: str, old: types.CodeType, place: ast.expr, new: ast.expr) -> types.CodeType | None:
    """The code in the altered module: the one at the same place among all codes."""
    index = _index(path, old)
    new = ast.copy_location(copy.copy(new), place)
    changed = _Exchange(place, new).visit(_tree(path))
    try:
        codes = list(_codes(compile(ast.fix_missing_locations(changed), path, "exec", dont_inherit=True)))
    finally:
        _Exchange(new, place).visit(changed)
    return codes[index] if index < len(codes) else None


@functools.cache
def _all_codes(path: str) -> list[types.CodeType]:
    return list(_codes(compile(_tree(path), path, "exec", dont_inherit=True)))


def _index(path: str, code: types.CodeType) -> int:
    where = list(code.co_positions())
    for index, other in enumerate(_all_codes(path)):
        if other.co_name == code.co_name and list(other.co_positions()) == where:
            return index
    raise LookupError(f"{path}: no code {code.co_name} at line {code.co_firstlineno}")


@functools.cache
def _tree(path: str) -> ast.Module:
    with open(path, encoding="utf-8") as file:
        return ast.parse(file.read())


def _position(code: types.CodeType) -> tuple[str, int, int]:
    columns = [start for _, _, start, _ in code.co_positions() if start]
    return code.co_name, code.co_firstlineno, min(columns, default=0) if code.co_name == "<lambda>" else 0


def _node_of(tree: ast.Module, code: types.CodeType) -> ast.AST | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            if first == code.co_firstlineno:
                return node
    lambdas = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    ]
    # Of several on one line, the one whose body starts where the code does.
    fitting = [node for node in lambdas if _body_column(node) == _position(code)[2]]
    return fitting[0] if fitting else (lambdas[0] if len(lambdas) == 1 else None)


def _body_column(node: ast.Lambda) -> int:
    return min(child.col_offset for child in ast.walk(node.body) if isinstance(child, ast.expr))


class _Exchange(ast.NodeTransformer):
    def __init__(self, place: ast.AST, new: ast.AST) -> None:
        self.place, self.new = place, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.place else self.generic_visit(node)


def _alterations(function: types.FunctionType) -> list[tuple[str, ast.expr, ast.expr]]:
    """(kind, node, what takes its place) for every single alteration of the function's formula."""
    path = inspect.getsourcefile(function)
    node = _node_of(_tree(path), function.__code__) if path is not None else None
    if node is None:
        return []
    body = [node.body] if isinstance(node, ast.Lambda) else node.body  # type: ignore[attr-defined]
    return [(kind, place, new) for place in _formula_nodes(body) for kind, new in _of_node(place)]


def _formula_nodes(statements: list[Any]) -> Iterator[ast.expr]:
    """Expressions of the formula: no docstring, annotation, message, check, nor a rounding's allowance."""
    for statement in statements:
        if isinstance(statement, ast.FunctionDef):
            yield from _formula_nodes(statement.body)
        elif isinstance(statement, ast.If | ast.While):
            raises = any(isinstance(inner, ast.Raise) for inner in statement.body)
            if not raises:
                yield from _formula_nodes([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.For | ast.With | ast.Try):
            if isinstance(statement, ast.For):
                yield from _inside(statement.iter)
            yield from _formula_nodes(statement.body)
        elif (
            isinstance(statement, ast.Return | ast.Assign | ast.AugAssign | ast.AnnAssign)
            and statement.value is not None
        ):
            yield from _inside(statement.value)
        elif isinstance(statement, ast.expr):
            yield from _inside(statement)


def _inside(node: ast.expr) -> Iterator[ast.expr]:
    yield node
    children: list[Any] = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Call):
        name = _name(node.func)
        if name in _HELPERS:
            return
        if name in _ROUNDING:
            children = node.args[:1]
    if isinstance(node, ast.JoinedStr | ast.Lambda):
        return
    if isinstance(node, ast.Subscript):
        children = [node.value]
    for child in children:
        if isinstance(child, ast.expr):
            yield from _inside(child)
        elif isinstance(child, ast.keyword):
            if child.arg not in _TECHNICAL:
                yield from _inside(child.value)
        elif isinstance(child, ast.comprehension):
            yield from _inside(child.iter)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


_OPPOSITE = {"max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum"}


def _is_room(node: ast.expr) -> bool:
    """Whether a factor or a term is there for rounding only: _UP, 1 + 1e-14, 1e-12."""
    match node:
        case ast.Name(id=name):
            return name.lstrip("_").isupper() and len(name.lstrip("_")) > 1
        case ast.Constant(value=int() | float() as value):
            return 0 < abs(value) < _ROOM
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return isinstance(left, ast.Constant) and _is_room(right)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _is_room(left) or _is_room(right)
    return False


def _off_by_one(node: ast.BinOp) -> Iterator[tuple[str, ast.expr]]:
    for left, right in ((node.left, node.right), (node.right, node.left)):
        if isinstance(left, ast.Constant) and isinstance(left.value, int | float) and 0.5 <= abs(left.value) <= 100:
            changed = ast.Constant(left.value + 1)
            pair = (changed, right) if left is node.left else (right, changed)
            yield "off by one", ast.BinOp(pair[0], node.op, pair[1])


def _of_node(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.BinOp):
        if _is_room(node.left) or _is_room(node.right):
            return
        yield from _off_by_one(node)
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            yield "factor lost", left
            yield "factor lost", right
        case ast.BinOp(left=left, op=ast.Div()):
            yield "factor lost", left
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield "term lost", left
            yield "term lost", right
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            yield "term lost", left
            yield "sign", ast.BinOp(left, ast.Add(), right)
        case ast.BinOp(left=left, op=ast.Pow()):
            yield "power or root lost", left
        case ast.Call(func=function, args=[argument]) if _name(function) == "sqrt":
            yield "power or root lost", argument
        case ast.Call(func=function, args=[_, *_]) if _name(function) in _OPPOSITE:
            changed = copy.deepcopy(function)
            other = _OPPOSITE[_name(function)]
            if isinstance(changed, ast.Attribute):
                changed.attr = other
            elif isinstance(changed, ast.Name):
                changed.id = other
            yield "min for max", ast.Call(changed, node.args, node.keywords)
            if _name(function) == "max" and len(node.args) == 2:
                yield "one side for both", node.args[0]
                yield "one side for both", node.args[1]
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield "sign", operand
        case ast.Constant(value=bool() as value):
            yield "one side for both", ast.Constant(not value)


# --- what the promise reads


def _squared(value: Any) -> Any:
    return value**2


def _without_last(value: Any) -> Any:
    changed = np.array(value, dtype=float)
    changed[-1] = 0.0
    return changed


_FIELDS: tuple[tuple[str, str, str, Callable[[Any], Any]], ...] = (
    ("noise_std", "variance for deviation", "noise_std^2 for noise_std", _squared),
    ("learn_noise", "variance for deviation", "learn_noise^2 for learn_noise", _squared),
    ("unlearn_noise", "variance for deviation", "unlearn_noise^2 for unlearn_noise", _squared),
    ("steps", "off by one", "one step more", lambda value: value + 1),
    ("learn_steps", "off by one", "one learning step fewer", lambda value: max(value - 1, 1)),
    ("unlearn_steps", "off by one", "one unlearning step more", lambda value: value + 1),
    ("sensitivity", "term lost", "last gap forgotten", _without_last),
    ("contraction", "power or root lost", "contraction^2 for contraction", _squared),
    ("order", "order or budget", "order a for 2a-1", lambda value: (value + 1) / 2),
    ("delta_s", "order or budget", "delta_s^2 for delta_s", _squared),
    ("epsilon", "order or budget", "2 epsilon for epsilon", lambda value: 2 * value),
)


def _of_input(promise: Promise, instance: Any) -> Iterator[AutoMutant]:
    for field, kind, where, change in _FIELDS:
        if _altered(instance, field, change) is not None:
            yield AutoMutant(kind, f"read: {where}", _Reader(promise, field, change))


@dataclass(frozen=True)
class _Reader:
    """The promise, read from the instance with one field altered."""

    promise: Promise
    field: str
    change: Callable[[Any], Any]

    def __call__(self, instance: Any) -> Any:
        altered = _altered(instance, self.field, self.change)
        return self.promise(instance if altered is None else altered)


def _altered(instance: Any, field: str, change: Callable[[Any], Any]) -> Any:
    """A copy of the instance with the field altered, there or in a schedule it holds; None where it has no such field."""
    if not dataclasses.is_dataclass(instance) or isinstance(instance, type):
        return None
    names = {item.name for item in dataclasses.fields(instance) if item.init}
    try:
        if field in names:
            return dataclasses.replace(instance, **{field: change(getattr(instance, field))})
        if "schedule" in names:
            schedule = _altered(getattr(instance, "schedule"), field, change)  # noqa: B009
            return None if schedule is None else dataclasses.replace(instance, schedule=schedule)
    except (TypeError, ValueError, IndexError):
        return None
    return None


def fresh(instance: Any) -> Any:
    """A copy that remembers nothing: instances keep numbers computed on the way, of the unaltered formula."""
    if not dataclasses.is_dataclass(instance) or isinstance(instance, type):
        return instance
    if not type(instance).__module__.startswith("paper_checks"):
        return instance
    kept = {item.name: fresh(getattr(instance, item.name)) for item in dataclasses.fields(instance) if item.init}
    return dataclasses.replace(instance, **kept)


# --- what it returns


@dataclass(frozen=True)
class _Returned:
    """The promise with the logarithm of its value altered."""

    promise: Promise
    factor: float
    shift: float

    def __call__(self, instance: Any) -> Log:
        return Log(self.factor * log_promise(self.promise(instance)) + self.shift)


def _of_output(promise: Promise) -> list[AutoMutant]:
    return [
        AutoMutant("halved", "half the promise", _Returned(promise, 1.0, -math.log(2))),
        AutoMutant("squared", "the promise squared", _Returned(promise, 2.0, 0.0)),
        AutoMutant("square root", "the root of the promise", _Returned(promise, 0.5, 0.0)),
    ]
