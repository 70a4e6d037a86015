"""Signals as bits: 64 bars to a word, the first bar in the lowest bit."""

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from optimize.engine.kernels.compiling import kernel

ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@intrinsic
def _trailing_zeros(typingctx, word):  # type: ignore[no-untyped-def]  # written in the compiler's own terms
    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.cttz(args[0], context.get_constant(types.boolean, 1))

    return types.uint64(types.uint64), codegen


@kernel
def next_set(words, position, stop):
    """Return the first bit at or after `position` that is set, or `stop` when there is none before it."""
    if position >= stop:
        return stop
    index = position >> 6
    word = words[index] & (ALL << np.uint64(position & 63))
    last = (stop - 1) >> 6
    while word == 0:
        index += 1
        if index > last:
            return stop
        word = words[index]
    found = (index << 6) + np.int64(_trailing_zeros(word))
    return min(found, stop)


@kernel
def compare(table, left, right, level, masks):
    """Fill `masks`[2p] with where left > right of pair p, `masks`[2p + 1] with where left < right.

    `table` is float64[K, n], NaN where a figure is not finite. Bars are taken in tiles, so that the columns of a tile
    stay near the processor while every pair looks at them.
    """
    count = table.shape[1]
    whole = count >> 6
    tile = 64
    for first in range(0, whole, tile):
        last = min(first + tile, whole)
        for pair in range(len(left)):
            above, below = masks[2 * pair], masks[2 * pair + 1]
            if right[pair] >= 0:
                _compare_columns(table[left[pair]], table[right[pair]], above, below, first, last)
            else:
                _compare_level(table[left[pair]], level[pair], above, below, first, last)
    if whole << 6 == count:
        return
    for pair in range(len(left)):
        up, down = np.uint64(0), np.uint64(0)
        for bar in range(whole << 6, count):
            a = table[left[pair], bar]
            b = table[right[pair], bar] if right[pair] >= 0 else level[pair]
            up |= np.uint64(a > b) << np.uint64(bar & 63)
            down |= np.uint64(a < b) << np.uint64(bar & 63)
        masks[2 * pair, whole] = up
        masks[2 * pair + 1, whole] = down


@kernel
def _compare_columns(a, b, above, below, first, last):
    for index in range(first, last):
        base = index << 6
        up, down = np.uint64(0), np.uint64(0)
        for bit in range(64):
            x, y = a[base + bit], b[base + bit]
            up |= np.uint64(x > y) << np.uint64(bit)
            down |= np.uint64(x < y) << np.uint64(bit)
        above[index] = up
        below[index] = down


@kernel
def _compare_level(a, level, above, below, first, last):
    for index in range(first, last):
        base = index << 6
        up, down = np.uint64(0), np.uint64(0)
        for bit in range(64):
            x = a[base + bit]
            up |= np.uint64(x > level) << np.uint64(bit)
            down |= np.uint64(x < level) << np.uint64(bit)
        above[index] = up
        below[index] = down


@kernel
def known_bits(table, known):
    """Fill `known`[k] with one bit per bar on which row k of the table is not NaN."""
    for row in range(table.shape[0]):
        column, bits = table[row], known[row]
        for index in range(len(bits)):
            word = np.uint64(0)
            base = index << 6
            for bit in range(min(64, len(column) - base)):
                word |= np.uint64(column[base + bit] == column[base + bit]) << np.uint64(bit)
            bits[index] = word


@kernel
def _enough(masks, asked, count, needed, stage, into):
    """Set `into` where at least `needed` of the `count` masks in `asked` are set; `stage` is room for the counting."""
    if needed > count:
        into[:] = 0
    elif needed == 1:
        into[:] = masks[asked[0]]
        for index in range(1, count):
            mask = masks[asked[index]]
            for word in range(len(into)):
                into[word] |= mask[word]
    elif needed == count:
        into[:] = masks[asked[0]]
        for index in range(1, count):
            mask = masks[asked[index]]
            for word in range(len(into)):
                into[word] &= mask[word]
    else:
        # stage[j]: where at least j + 1 of the masks seen so far are set.
        stage[:needed] = 0
        for index in range(count):
            mask = masks[asked[index]]
            for level in range(needed - 1, 0, -1):
                for word in range(len(into)):
                    stage[level, word] |= stage[level - 1, word] & mask[word]
            for word in range(len(into)):
                stage[0, word] |= mask[word]
        into[:] = stage[needed - 1]


@kernel
def speak(masks, known, sound, asked, shape, rows, stage, entries, exits):
    """Fill `entries` and `exits` with the bars that say so; a bar that says both, or knows too little, says nothing."""
    entry_count, entries_needed, exit_count, exits_needed = shape[0], shape[1], shape[2], shape[3]
    _enough(masks, asked, entry_count, entries_needed, stage, entries)
    _enough(masks, asked[entry_count:], exit_count, exits_needed, stage, exits)
    both = sound.copy()
    for index in range(len(rows)):
        if rows[index] >= 0:
            row = known[rows[index]]
            for word in range(len(both)):
                both[word] &= row[word]
    for word in range(len(both)):
        entering, leaving = entries[word] & both[word], exits[word] & both[word]
        entries[word] = entering & ~leaving
        exits[word] = leaving & ~entering


@kernel
def rows_needed(shape):
    """Return how many rows `speak` needs to count comparisons in."""
    most = 1
    for combination in range(len(shape)):
        most = max(most, max(shape[combination, 1], shape[combination, 3]))
    return most
