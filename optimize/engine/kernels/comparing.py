"""Comparing 64 bars at a time: the processor compares a vector of figures and hands back a word of bits.

A loop over single bars gets there in three to four times the time, since compilers do not find the way from
comparisons to bits by themselves. Written in the compiler's own terms; it suits itself to the processor it runs on.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_VECTOR = ir.VectorType(ir.DoubleType(), 64)
_WORD = ir.IntType(64)


def _load(context: Any, builder: Any, array_type: Any, array: Any, position: Any) -> Any:
    """Return the 64 figures of a contiguous array from `position` on; nothing checks that they are there."""
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.bitcast(builder.gep(data, [position]), _VECTOR.as_pointer())
    return builder.load(pointer, align=8)


def _pair(context: Any, builder: Any, signature: Any, left: Any, right: Any) -> Any:
    """Return (left > right, left < right) as two words; both are 0 where one is NaN."""
    words = [builder.bitcast(builder.fcmp_ordered(sign, left, right), _WORD) for sign in (">", "<")]
    return context.make_tuple(builder, signature.return_type, words)


@intrinsic
def columns_compared(typing_context: Any, left: Any, right: Any, position: Any) -> Any:
    """Return where left > right and where left < right, over 64 bars from `position` on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = [_load(context, builder, signature.args[i], args[i], args[2]) for i in (0, 1)]
        return _pair(context, builder, signature, *vectors)

    return types.UniTuple(types.uint64, 2)(left, right, position), codegen


@intrinsic
def level_compared(typing_context: Any, left: Any, level: Any, position: Any) -> Any:
    """Return where left > level and where left < level, over 64 bars from `position` on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _load(context, builder, signature.args[0], args[0], args[2])
        single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), args[1], ir.Constant(ir.IntType(32), 0))
        spread = builder.shuffle_vector(
            single, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        )
        return _pair(context, builder, signature, vector, spread)

    return types.UniTuple(types.uint64, 2)(left, level, position), codegen


@intrinsic
def finite(typing_context: Any, figures: Any, position: Any) -> Any:
    """Return where the 64 figures from `position` on are finite."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _load(context, builder, signature.args[0], args[0], args[1])
        # Infinity less infinity is NaN, as is NaN less anything.
        difference = builder.fsub(vector, vector)
        return builder.bitcast(builder.fcmp_ordered("ord", difference, difference), _WORD)

    return types.uint64(figures, position), codegen


@intrinsic
def trailing_zeros(typing_context: Any, word: Any) -> Any:
    """Return the place of the lowest bit that is set in a word; undefined when none is."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], cgutils.true_bit)

    return types.uint64(types.uint64), codegen


@intrinsic
def fetch_ahead(typing_context: Any, table: Any, row: Any) -> Any:
    """Have the processor fetch the row of a contiguous table of eight columns that will be read soon."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [builder.shl(args[1], ir.Constant(_WORD, 3))]), cgutils.voidptr_t)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        builder.call(
            function, [place, *(ir.Constant(number, value) for value in (0, 3, 1))]
        )  # to read, into all caches
        return context.get_dummy_value()

    return types.void(table, types.int64), codegen
