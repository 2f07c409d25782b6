"""The Fibonacci numbers in plain Python, computed the slow way on purpose.

``python examples/fibonacci/fibonacci.py 35`` prints the number at index 35.
"""

from __future__ import annotations

import argparse


def fib(n: int) -> int:
    """Compute a Fibonacci number by two recursive calls.

    Args:
        n: Its index.

    Returns:
        The number.

    Raises:
        ValueError: If `n` is negative.

    Examples:
        >>> fib(10)
        55
    """
    if n < 0:
        msg = f"`n` must not be negative; got {n}"
        raise ValueError(msg)
    return _fib(n)


def _fib(n: int) -> int:
    if n < 2:  # noqa: PLR2004
        return n
    return _fib(n - 1) + _fib(n - 2)


def main() -> None:
    """Print the number at the index on the command line."""
    parser = argparse.ArgumentParser(description="Compute a Fibonacci number.")
    parser.add_argument("n", type=int, help="its index")
    n = parser.parse_args().n
    if n < 0:
        parser.error(f"`n` must not be negative; got {n}")
    print(fib(n))


if __name__ == "__main__":
    main()
