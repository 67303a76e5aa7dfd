"""The only user of torch.library: one namespace, one way to define an operator.

An operator has two routes, both made by `define`: the operator of torch.library, for whatever
traces or watches (a compiler, a mode, a profiler, a subclass), and past the dispatcher one
autograd.Function of the same functions. `define`/`impl` instead of `custom_op`: 3.7 against 11
microseconds a call (measured for 1024 floats). The backend is chosen inside the operator, so that a
compiled graph stays whole.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from tsssl_fast.backends import dispatch, environment, precision

_LIBRARY = torch.library.Library("tsssl_fast", "DEF")
OPERATORS: list[str] = []  # names, in the order of definition
_PLAIN = (Tensor, torch.nn.Parameter)
_GRAD = torch._C._functorch.TransformType.Grad


def define(
    schema: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
    *,
    setup_context: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
    differentiated: Callable[..., Any] | None = None,
    definition: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Registers `tsssl_fast::<name of the schema>`, whose last argument is the backend asked for.

    run: the implementation on every device; fake: shapes and dtypes of the result;
    setup_context, backward: as in torch.library.register_autograd. differentiated: what takes the
    place of `run` where a backward follows and nothing is traced. definition: the operator in plain
    torch, differentiable to any order, without precision and backend; None for results that have no
    derivative. It runs under the transforms of torch.func that kernels do not know, and it is what
    the derivative is of, where no backward is given.

    Returns:
        The operator to call: directly where it can be.
    """
    name = schema.split("(", 1)[0]
    OPERATORS.append(name)
    _LIBRARY.define(schema, tags=(torch.Tag.needs_fixed_stride_order,))
    _LIBRARY.impl(name, run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"tsssl_fast::{name}", fake, lib=_LIBRARY)
    op = getattr(torch.ops.tsssl_fast, name)
    if backward is None and definition is not None:
        setup_context, backward = derivative(name, definition)
    if backward is None:
        return op
    torch.library.register_autograd(
        f"tsssl_fast::{name}", backward, setup_context=setup_context, lib=_LIBRARY
    )
    precise = "str precision, str backend" in schema
    parts = (differentiated or run, setup_context or keep_nothing, backward)
    return direct(name, op, run, *parts, definition=definition, precise=precise)


def keep_nothing(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    pass


def direct(
    name: str,
    op: Callable[..., Any],
    run: Callable[..., Any],
    differentiated: Callable[..., Any],
    setup_context: Callable[..., None],
    backward: Callable[..., Any],
    *,
    definition: Callable[..., Any] | None = None,
    precise: bool = False,
) -> Callable[..., Any]:
    """`op`, past the dispatcher where nothing is traced: the same functions, called directly.

    VICReg's operator at 16 x 16 takes 153 microseconds forward and backward, called directly 101.
    precise: before the backend, the last argument, the operator takes a precision.
    It is also the way of torch.func.grad, which the operators of torch.library do not have; in vmap
    and forward mode the definition runs.
    """
    parts = {"forward": differentiated, "setup_context": setup_context, "backward": backward}
    function = type(
        "Direct", (Function,), {name: staticmethod(part) for name, part in parts.items()}
    )
    # Function.apply inspects the signature at every call, which only torch.func needs: 25 of 85
    # microseconds.
    apply = super(Function, function).apply  # type: ignore[misc]

    def transformed(*args: Any) -> Any:
        """By torch.func or forward mode; the last argument is settled."""
        if definition is None or _only_gradients():
            return function.apply(*args)  # type: ignore[attr-defined]
        return defined(*args)

    def watched(*args: Any) -> Any:
        """What traces sees one operator, or what the definition consists of."""
        return defined(*args) if _transforms() else op(*args)

    def defined(*args: Any) -> Any:
        assert definition is not None
        if not torch.compiler.is_compiling():
            without_kernel(name, args[-1] or dispatch.requested(), "vmap, jvp")
        return definition(*args[: -2 if precise else -1])

    def call(*args: Any) -> Any:
        if (
            torch.compiler.is_compiling()
            or torch._C._len_torch_dispatch_stack() > 0
            or torch._C._get_tracing_state()
            or torch.autograd._profiler_enabled()
        ):
            return op(*args) if definition is None else watched(*args)
        gradient = False
        for x in args:
            if isinstance(x, Tensor):
                if type(x) not in _PLAIN:
                    return op(*args)
                gradient = gradient or x.requires_grad
        # Settled once for `run` and for the backward, which runs where its forward was asked to.
        backend = args[-1] or dispatch.in_context()
        if not backend and (backend := environment.backend()):
            dispatch.check_name(backend, "TSSSL_BACKEND")
        if precise and not args[-2] and args[0].is_cpu:
            args = (*args[:-2], precision.NAME_OF.get(precision.on_cpu(), ""), "")
        args = (*args[:-1], backend or dispatch.AUTOMATIC)
        if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
            return transformed(*args)
        return apply(*args) if gradient and torch.is_grad_enabled() else run(*args)

    return call


def _transforms() -> bool:
    """Whether torch.func or forward mode looks at what runs."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def _only_gradients() -> bool:
    """Whether torch.func asks for gradients alone, which operators have."""
    if forward_ad._current_level >= 0:
        return False
    return all(t.key() == _GRAD for t in torch._C._functorch.get_interpreter_stack() or ())


def differentiated(*tensors: Tensor) -> bool:
    """Whether any of these may have a derivative: of what torch.func differentiates, an inner level
    does not see that an outer one does."""
    return _transforms() or any([x.requires_grad for x in tensors])


def derivative(
    name: str, definition: Callable[..., Any]
) -> tuple[Callable[..., None], Callable[..., Any]]:
    """setup_context and backward of an operator, from its definition, whose results all have a
    derivative. The backend is the operator's last argument."""

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        tensors = [i for i, x in enumerate(inputs) if isinstance(x, Tensor)]
        ctx.at = tensors
        ctx.given = [None if isinstance(x, Tensor) else x for x in inputs]
        ctx.save_for_backward(*(inputs[i] for i in tensors))

    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        args = list(ctx.given)
        without_kernel(name, args.pop(), "second derivatives")
        for i, x in zip(ctx.at, ctx.saved_tensors, strict=True):
            args[i] = x
        wanted = [i for i in ctx.at if args[i].is_floating_point()]

        def of_wanted(*tensors: Tensor) -> Any:
            given = dict(zip(wanted, tensors, strict=True))
            found = definition(*(given.get(i, x) for i, x in enumerate(args)))
            return (found,) if isinstance(found, Tensor) else tuple(found)

        pull = torch.func.vjp(of_wanted, *(args[i] for i in wanted))[1]
        out: list[Tensor | None] = [None] * len(ctx.given)
        for i, grad in zip(wanted, pull(grads), strict=True):
            out[i] = grad
        return tuple(out)

    return setup_context, backward


def without_kernel(op: str, backend: str, wanted: str) -> None:
    """Tells once that the definition runs; an error where a backend with kernels was asked for."""
    if backend in ("", dispatch.AUTOMATIC):
        dispatch.tell_once("%s: the definition in plain torch: no kernel has %s", op, wanted)
    elif backend != "reference":
        raise dispatch.BackendUnavailableError(
            f"{op}: backend {backend!r} was asked for and can not run: it has no {wanted} "
            "(backend 'reference' has)"
        )


def traced(tensors: Sequence[Tensor]) -> bool:
    """Whether anything watches these tensors: a compiler, a tracer, a mode, a profiler, a
    subclass."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0:
        return True
    if torch._C._get_tracing_state() or torch.autograd._profiler_enabled():
        return True
    return any([type(t) not in _PLAIN for t in tensors])  # a list: faster than a generator


def plain(x: Tensor) -> bool:
    """Whether a function of x is one of its numbers alone: nothing traces, transforms or
    differentiates it."""
    # In one expression: what a small call runs through costs more than what it computes.
    return not (
        torch.compiler.is_compiling()
        or type(x) not in _PLAIN
        or torch._C._len_torch_dispatch_stack()
        or torch._C._get_tracing_state()
        or torch.autograd._profiler_enabled()
        or torch._C._are_functorch_transforms_active()
        or (x.requires_grad and torch.is_grad_enabled())
    )


def no_second_derivative(op: str) -> Callable[..., Any]:
    """The backward of a backward operator: the compiled kernels give first derivatives only."""

    def backward(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError(
            f"{op}: second derivatives are not implemented in the compiled kernels; use the "
            "differentiable definition in tsssl_fast.ops.<family>.reference"
        )

    return backward
