"""What the command lines of the package have in common.

A parser whose errors are reported like all other mistakes in calling, an action for
options that a variable can set, and the types of arguments. The error of a type says
what the argument must be, and what it is; the parser says which argument.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

from typing_extensions import Self

from millstream._exit import UsageError

__all__ = [
    "ArgumentParser",
    "EnvDefault",
    "parse_addresses",
    "parse_alias",
    "parse_timedelta",
    "whole_number",
]


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose errors are reported like all other mistakes in calling."""

    def error(self, message: str) -> NoReturn:
        """Report a mistake.

        Args:
            message: What is wrong.

        Raises:
            UsageError: Always.
        """
        is_lacking = message.startswith("the following arguments are required")
        raise UsageError(
            f"{message}; see `--help`" if is_lacking else message
        ) from None


class _EnvironmentValue(str):
    """The value of a variable, which error messages show with the variable's name."""

    __slots__ = ("variable",)
    variable: str

    def __new__(cls, value: str, variable: str) -> Self:
        self = super().__new__(cls, value)
        self.variable = variable
        return self

    def __repr__(self) -> str:
        return f"{super().__repr__()} from `{self.variable}`"


class EnvDefault(argparse.Action):
    """An option that an environment variable sets unless the option is given.

    Args:
        env: The name of the variable. An empty variable counts as not set.
        help: What the option is for; the name of the variable is added.
        default: The value with neither option nor variable.
        **kwargs: As for every action of `argparse`.
    """

    def __init__(
        self,
        env: str,
        help: str,  # noqa: A002 # The name that `add_argument` passes on.
        default: Any = None,
        **kwargs: Any,
    ) -> None:
        value = os.environ.get(env)
        if value:
            default = _EnvironmentValue(value, env)
        super().__init__(help=f"{help} [env: {env}]", default=default, **kwargs)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Take the value of the option.

        Args:
            parser: Whose option it is.
            namespace: Where the value goes.
            values: The value.
            option_string: How the option was written.
        """
        del parser, option_string
        setattr(namespace, self.dest, values)


def parse_timedelta(seconds: str) -> timedelta:
    """Read a duration in seconds.

    Args:
        seconds: How many, with or without a fraction.

    Returns:
        The duration.

    Raises:
        ArgumentTypeError: If it isn't one, or is negative.

    Examples:
        >>> parse_timedelta("0.5")
        datetime.timedelta(microseconds=500000)
    """
    try:
        duration = timedelta(seconds=float(seconds))
    except (ValueError, OverflowError):
        duration = None
    if duration is None or duration < timedelta(0):
        msg = f"must be a number of seconds from 0 on; got {seconds!r}"
        raise argparse.ArgumentTypeError(msg)
    return duration


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Make the type of a number within bounds.

    Args:
        least: The least number.
        most: The greatest number, if there is one.

    Returns:
        A function that reads such a number.

    Examples:
        >>> whole_number(1, 3)("2")
        2
    """
    allowed = range(least, sys.maxsize if most is None else most + 1)
    description = f"from {least} on" if most is None else f"from {least} to {most}"

    def parse_whole_number(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number not in allowed:
            msg = f"must be a whole number {description}; got {text!r}"
            raise argparse.ArgumentTypeError(msg)
        return number

    return parse_whole_number


def parse_alias(text: str) -> tuple[str, str]:
    """Read the old and the new id of a step.

    Args:
        text: The two, with ``=`` between them.

    Returns:
        The old one and the new one.

    Raises:
        ArgumentTypeError: If one of them is missing.

    Examples:
        >>> parse_alias("flow.old=flow.new")
        ('flow.old', 'flow.new')
    """
    old, _, new = text.partition("=")
    if not old or not new:
        msg = f"must be `old=new`, full ids of steps; got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return old, new


def parse_addresses(text: str) -> list[str]:
    """Read ``host:port`` or ``unix:path`` addresses.

    Args:
        text: The addresses, with ``;`` between them.

    Returns:
        Each of them.

    Raises:
        ArgumentTypeError: If there are none, or if one is no address.

    Examples:
        >>> parse_addresses("localhost:2101;localhost:2102")
        ['localhost:2101', 'localhost:2102']
    """
    addresses = [each.strip() for each in text.split(";") if each.strip()]
    if not addresses or not all(_is_address(each) for each in addresses):
        msg = f"must be `host:port` addresses with `;` between them; got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return addresses


def _is_address(text: str) -> bool:
    if text.startswith("unix:/"):
        return True
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 1 << 16
