"""What `{"expr": "batch_size * 0.0001"}` computes: a closed arithmetic on other parameters, and no Python besides."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


def _power(base: float, exponent: float) -> Any:
    float(base) ** float(exponent)  # raises OverflowError before whole numbers would fill the memory
    return base**exponent


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "exp": math.exp,
    "float": float,
    "floor": math.floor,
    "int": int,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "round": round,
    "sqrt": math.sqrt,
}
LONGEST = 500  # characters of an expression


@dataclass(frozen=True)
class Expression:
    """An expression that was read.

    Attributes:
        text: as it is written.
        names: the dotted names of the parameters in it.
    """

    text: str
    names: frozenset[str]

    @classmethod
    def read(cls, text: object) -> Expression:
        """An expression as the file has it.

        Raises:
            ValueError: it is none, or has something in it that is no arithmetic.
        """
        if not isinstance(text, str) or len(text) > LONGEST:
            raise ValueError(f"an expression is text of at most {LONGEST} characters, and is {str(text)[:40]!r}")
        try:
            body = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise ValueError(f'{text!r} is no expression; write arithmetic, such as "batch_size * 0.0001"') from None
        names: set[str] = set()
        _check(body, names)
        return cls(text, frozenset(names))

    def value(self, parameters: Mapping[str, Any]) -> Any:
        """What it computes.

        Args:
            parameters: the values of all others, by dotted name.

        Raises:
            ValueError: it cannot be computed with these values.
        """
        try:
            found = _value(ast.parse(self.text.strip(), mode="eval").body, parameters)
        except KeyError as error:
            raise ValueError(f"{error.args[0]!r} is no parameter of this trial") from None
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ValueError(f"{self.text!r} cannot be computed: {error}") from None
        if isinstance(found, complex) or (isinstance(found, float) and not math.isfinite(found)):
            raise ValueError(f"{self.text!r} cannot be computed: {found} is no value")
        return found


def _check(node: ast.AST, names: set[str]) -> None:
    """See that there is only arithmetic, and collect the names in it."""
    if isinstance(node, (ast.Name, ast.Attribute)):
        names.add(_name(node))
        return
    for part in _parts(node):
        _check(part, names)


def _parts(node: ast.AST) -> list[ast.expr]:
    """What a step of arithmetic is made of."""
    match node:
        case ast.Constant(value=int() | float() | str()):
            return []
        case ast.BinOp() if type(node.op) in _BINARY:
            return [node.left, node.right]
        case ast.UnaryOp() if type(node.op) in _UNARY:
            return [node.operand]
        case ast.IfExp():
            return [node.test, node.body, node.orelse]
        case ast.Compare(ops=[comparison]) if type(comparison) in _COMPARISONS:
            return [node.left, *node.comparators]
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
            return node.args
    raise ValueError(
        f"{ast.unparse(node)!r} is no arithmetic: there are numbers, names of parameters, + - * / // % **, "
        f'comparisons, "a if b else c", and {", ".join(FUNCTIONS)}'
    )


def _name(node: ast.AST) -> str:
    """The dotted name that `optimizer.lr` is."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise ValueError(f"{ast.unparse(node)!r} is no name of a parameter")


def _value(node: ast.expr, parameters: Mapping[str, Any]) -> Any:
    if isinstance(node, (ast.Name, ast.Attribute)):
        return parameters[_name(node)]
    if isinstance(node, ast.IfExp):  # of which only one side may be computable
        return _value(node.body if _value(node.test, parameters) else node.orelse, parameters)
    values = [_value(part, parameters) for part in _parts(node)]
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Compare):
        return _COMPARISONS[type(node.ops[0])](*values)
    return _operation(node)(*map(_number, values))


def _operation(node: ast.expr) -> Callable[..., Any]:
    match node:
        case ast.BinOp():
            return _BINARY[type(node.op)]
        case ast.UnaryOp():
            return _UNARY[type(node.op)]
        case ast.Call(func=ast.Name(id=name)):
            return FUNCTIONS[name]
    raise ValueError(ast.unparse(node))  # there is nothing else: see _parts()


def _number(value: object) -> int | float:
    """Of text, `*` would make copies without end."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no number")
    return value
