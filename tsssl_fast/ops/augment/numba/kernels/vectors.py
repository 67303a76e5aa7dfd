"""What LLVM does not find in a loop by itself: vectors kept in registers and permuted. The bits are
those of the loops that they stand for."""

# mypy: disable-error-code=no-untyped-def

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.ops.augment import spec

_LANES = 8
_VECTORS = spec.STD_PARTIALS // _LANES
_DOUBLE, _WORD, _INDEX = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
_WIDE = ir.VectorType(_DOUBLE, _LANES)


def _item(context, builder, kind, array, index):
    """Address of array[index], unchecked."""
    data = context.make_array(kind)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, kind, data, [index], wraparound=False)


def _load(builder, address, vector, size):
    """A vector from an array: no more aligned than its elements."""
    loaded = builder.load(builder.bitcast(address, vector.as_pointer()))
    loaded.align = size
    return loaded


def _spread(builder, value, lanes):
    """A vector of one number."""
    first = builder.insert_element(ir.VectorType(value.type, lanes)(ir.Undefined), value, _INDEX(0))
    zeros = ir.VectorType(_INDEX, lanes)([0] * lanes)
    return builder.shuffle_vector(first, first, zeros)


def _half(builder, vector, begin, count):
    order = ir.VectorType(_INDEX, count)(list(range(begin, begin + count)))
    return builder.shuffle_vector(vector, vector, order)


def _summing(square):
    """Sum of x[t], or of (x[t] - centre)^2, in float64: STD_PARTIALS strided sums, then a tree. A
    loop over sums in memory takes twice the time."""

    @intrinsic
    def row_sum(typing, x, length, centre):
        def generate(context, builder, signature, arguments):
            row, size = signature.args[0], signature.args[0].dtype.bitwidth // 8
            number = context.get_data_type(row.dtype)
            array, length, centre = arguments
            pad = _spread(builder, centre if square else _DOUBLE(0.0), _LANES)
            sums = [
                cgutils.alloca_once_value(builder, _WIDE([0.0] * _LANES)) for _ in range(_VECTORS)
            ]

            def add(i, values):
                if square:
                    values = builder.fsub(values, pad)
                    values = builder.fmul(values, values)
                builder.store(builder.fadd(builder.load(sums[i]), values), sums[i])

            partials = _WORD(spec.STD_PARTIALS)
            whole = builder.mul(builder.udiv(length, partials), partials)
            with cgutils.for_range_slice(builder, _WORD(0), whole, partials) as (t, _):
                for i in range(_VECTORS):
                    place = builder.add(t, _WORD(i * _LANES))
                    kind = ir.VectorType(number, _LANES)
                    values = _load(builder, _item(context, builder, row, array, place), kind, size)
                    add(i, values if size == 8 else builder.fpext(values, _WIDE))
            with builder.if_then(builder.icmp_unsigned("<", whole, length)):
                # The rest, filled up with what adds nothing.
                rest = cgutils.alloca_once(builder, ir.ArrayType(_DOUBLE, spec.STD_PARTIALS))
                vectors = builder.bitcast(rest, _WIDE.as_pointer())
                for i in range(_VECTORS):
                    builder.store(pad, builder.gep(vectors, [_INDEX(i)]), align=8)
                with cgutils.for_range(builder, builder.sub(length, whole)) as loop:
                    place = builder.add(whole, loop.index)
                    value = builder.load(_item(context, builder, row, array, place))
                    value = value if size == 8 else builder.fpext(value, _DOUBLE)
                    builder.store(value, builder.gep(rest, [_INDEX(0), loop.index]))
                for i in range(_VECTORS):
                    add(i, builder.load(builder.gep(vectors, [_INDEX(i)]), align=8))
            a, b, c, d = (builder.load(x) for x in sums)
            tree = builder.fadd(builder.fadd(a, c), builder.fadd(b, d))
            while tree.type.count > 1:
                count = tree.type.count // 2
                tree = builder.fadd(
                    _half(builder, tree, 0, count), _half(builder, tree, count, count)
                )
            return builder.extract_element(tree, _INDEX(0))

        return types.float64(x, types.int64, types.float64), generate

    return row_sum


_sum, _sum_of_squares = _summing(False), _summing(True)


@part
def row_mean(x, length):
    return _sum(x, length, 0.0) / np.float64(length)


@part
def row_std(x, length):
    """Divided by the length, in float64."""
    return np.sqrt(_sum_of_squares(x, length, row_mean(x, length)) / np.float64(length))


# Steps that two permutations of two registers interpolate at once, where the processor can.
WINDOW = 16
_PERMUTES = (
    numba.config.CPU_NAME is None
    and numba.config.CPU_FEATURES is None
    and llvm.get_host_cpu_features().get("avx512f", False)
)


@intrinsic
def _interpolate_window(typing, x, y, length, left, weight, t):
    """y[t:t + WINDOW], if all that it reads lies within 2 WINDOW neighbours: whether it does. 0.2
    against 0.5 ns a step."""

    def generate(context, builder, signature, arguments):
        single = ir.VectorType(ir.FloatType(), WINDOW)
        places = ir.VectorType(_INDEX, WINDOW)

        def address(i, index):
            return _item(context, builder, signature.args[i], arguments[i], index)

        t = arguments[5]
        end = builder.trunc(builder.sub(arguments[2], _WORD(2 * WINDOW)), _INDEX)
        base = builder.load(address(3, t))
        base = builder.select(builder.icmp_signed("<", base, end), base, end)
        index = _load(builder, address(3, t), places, 4)
        index = builder.sub(index, _spread(builder, base, WINDOW))
        near = builder.icmp_unsigned("<=", index, places([2 * WINDOW - 2] * WINDOW))
        near = builder.bitcast(near, ir.IntType(WINDOW))
        near = builder.icmp_unsigned("==", near, near.type(2**WINDOW - 1))
        with builder.if_then(near):
            base = builder.sext(base, _WORD)
            low = _load(builder, address(0, base), single, 4)
            high = _load(builder, address(0, builder.add(base, _WORD(WINDOW))), single, 4)
            kind = ir.FunctionType(single, [single, places, single])
            name = "llvm.x86.avx512.vpermi2var.ps.512"
            permute = cgutils.get_or_insert_function(builder.module, kind, name)
            a = builder.call(permute, [low, index, high])
            index = builder.add(index, places([1] * WINDOW))
            b = builder.call(permute, [low, index, high])
            w = _load(builder, address(4, t), single, 4)
            value = builder.fadd(a, builder.fmul(w, builder.fsub(b, a)))
            out = builder.bitcast(address(1, t), single.as_pointer())
            builder.store(value, out, align=4)
        return near

    return types.boolean(x, y, types.int64, left, weight, types.int64), generate


@part(inlined=True)
def _interpolate_steps(x, y, begin, end, left, weight):
    for t in range(np.uint64(begin), np.uint64(end)):
        i = np.uint32(left[t])
        a, b = x[i], x[i + np.uint32(1)]
        y[t] = a + weight[t] * (b - a)


def interpolate(x, y, length, left, weight):
    """y[t] between x[left[t]] and its right neighbour."""


@overload(interpolate)
def _interpolate(x, y, length, left, weight):
    def windows(x, y, length, left, weight):
        if length < 2 * WINDOW:
            _interpolate_steps(x, y, 0, length, left, weight)
            return
        for first in range(0, length, WINDOW):
            # The last one begins where it fits, once more over what is done.
            t = min(first, length - WINDOW)
            # A map that goes back, or on in leaps, reads outside of the window.
            if not _interpolate_window(x, y, length, left, weight, t):
                _interpolate_steps(x, y, t, t + WINDOW, left, weight)

    def steps(x, y, length, left, weight):
        _interpolate_steps(x, y, 0, length, left, weight)

    return windows if _PERMUTES and x.dtype == types.float32 else steps
