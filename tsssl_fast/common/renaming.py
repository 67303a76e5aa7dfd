"""Arguments that had another name in 0.1: the old one says the new one, until 0.3."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def renamed(**names: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """For a function some of whose arguments are renamed: old name = present one.

    Calling it by an old name raises TypeError.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @functools.wraps(function)
        def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            for old in names.keys() & kwargs:
                raise TypeError(
                    f"{old}: not an argument of {function.__name__}; accepted: {names[old]}"
                )
            return function(*args, **kwargs)

        return checked

    return decorate
