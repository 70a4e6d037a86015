"""Comparing 64 bars at a time: the processor compares vectors of figures and hands back a word of bits.

A loop over single bars gets there in three to four times the time, since compilers do not find the way from
comparisons to bits by themselves. Written in the compiler's own terms. Four figures at a time, of which every processor
gathers the bits in a step or two; of wider vectors the compiler shuffles them together, which takes four times as long.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_WIDTH = 4
_VECTOR = ir.VectorType(ir.DoubleType(), _WIDTH)
_BITS = ir.IntType(_WIDTH)
_FLAGS = ir.VectorType(ir.IntType(64), _WIDTH)
_NUMBER = ir.IntType(32)
_WORD = ir.IntType(64)


def _vectors(context: Any, builder: Any, array_type: Any, array: Any, position: Any) -> Iterator[Any]:
    """Yield the 64 figures of a contiguous array from `position` on, vector by vector; nothing checks that they are there."""
    data = context.make_array(array_type)(context, builder, array).data
    first = builder.bitcast(builder.gep(data, [position]), _VECTOR.as_pointer())
    for place in range(64 // _WIDTH):
        yield builder.load(builder.gep(first, [ir.Constant(_NUMBER, place)]), align=8)


def _spread(builder: Any, number: Any) -> Any:
    none = ir.Constant(_VECTOR, ir.Undefined)
    single = builder.insert_element(none, number, ir.Constant(_NUMBER, 0))
    return builder.shuffle_vector(single, none, ir.Constant(ir.VectorType(_NUMBER, _WIDTH), [0] * _WIDTH))


def _gathered(builder: Any, found: Iterable[Any]) -> Any:
    """Return the bits of 64 comparisons as a word."""
    word = ir.Constant(_WORD, 0)
    for place, flags in enumerate(found):
        bits = builder.zext(builder.bitcast(flags, _BITS), _WORD)
        word = builder.or_(word, builder.shl(bits, ir.Constant(_WORD, place * _WIDTH)))
    return word


def _compared(context: Any, builder: Any, signature: Any, left: Iterable[Any], right: Iterable[Any]) -> Any:
    """Return where left > right as a word, and whether any two are equal.

    To gather bits takes longer than to compare, and figures are seldom equal: where none of the 64 is, the lesser ones
    are told by turning the word round.
    """
    equal: Any = ir.Constant(_FLAGS, [0] * _WIDTH)

    def above() -> Iterator[Any]:
        nonlocal equal
        for one, other in zip(left, right, strict=True):
            yield builder.fcmp_ordered(">", one, other)
            equal = builder.or_(equal, builder.sext(builder.fcmp_ordered("==", one, other), _FLAGS))

    word = _gathered(builder, above())
    wide = ir.IntType(64 * _WIDTH)
    some = builder.icmp_unsigned("!=", builder.bitcast(equal, wide), ir.Constant(wide, 0))
    return context.make_tuple(builder, signature.return_type, [word, some])


_ANSWER = types.Tuple((types.uint64, types.boolean))


@intrinsic
def columns_compared(typing_context: Any, left: Any, right: Any, position: Any) -> Any:
    """Return where left > right over 64 bars from `position` on, and whether both are equal on any of them."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = [_vectors(context, builder, signature.args[side], args[side], args[2]) for side in (0, 1)]
        return _compared(context, builder, signature, *vectors)

    return _ANSWER(left, right, position), codegen


@intrinsic
def level_compared(typing_context: Any, left: Any, level: Any, position: Any) -> Any:
    """Return where left > level over 64 bars from `position` on, and whether it is equal on any of them."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = _vectors(context, builder, signature.args[0], args[0], args[2])
        return _compared(context, builder, signature, vectors, [_spread(builder, args[1])] * (64 // _WIDTH))

    return _ANSWER(left, level, position), codegen


@intrinsic
def equal_to_level(typing_context: Any, left: Any, level: Any, position: Any) -> Any:
    """Return where left == level over 64 bars from `position` on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors, spread = _vectors(context, builder, signature.args[0], args[0], args[2]), _spread(builder, args[1])
        return _gathered(builder, (builder.fcmp_ordered("==", one, spread) for one in vectors))

    return types.uint64(left, level, position), codegen


@intrinsic
def finite(typing_context: Any, figures: Any, position: Any) -> Any:
    """Return where the 64 figures from `position` on are finite."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = _vectors(context, builder, signature.args[0], args[0], args[1])
        # Infinity less infinity is NaN, as is NaN less anything.
        differences = (builder.fsub(vector, vector) for vector in vectors)
        return _gathered(builder, (builder.fcmp_ordered("ord", one, one) for one in differences))

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
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, _NUMBER, _NUMBER, _NUMBER])
        function = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        builder.call(
            function, [place, *(ir.Constant(_NUMBER, value) for value in (0, 3, 1))]
        )  # to read, into all caches
        return context.get_dummy_value()

    return types.void(table, types.int64), codegen
