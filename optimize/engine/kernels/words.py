"""Signals as bits: 64 bars to a word, the first bar in the lowest bit."""

import numpy as np

from optimize.engine.kernels.comparing import columns_compared, equal_to_level, finite, level_compared, trailing_zeros
from optimize.engine.kernels.compiling import inlined, kernel

ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
# Words of bars that are compared for every pair before the next bars are looked at: 32 kB of a column.
TILE = 64


@inlined
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
    found = (index << 6) + np.int64(trailing_zeros(word))
    return min(found, stop)


@kernel
def compare(table, left, right, level, masks):
    """Fill `masks`[2p] with where left > right of pair p, `masks`[2p + 1] with where left < right.

    `table` is float64[K, 64 * words], filled up with NaN. Bars are taken in tiles, so that the columns of a tile stay
    near the processor while every pair looks at them. Where a figure is not finite a mask may say anything.
    """
    words = masks.shape[1]
    for first in range(0, words, TILE):
        last = min(first + TILE, words)
        for pair in range(len(left)):
            column, above, below = table[left[pair]], masks[2 * pair], masks[2 * pair + 1]
            if right[pair] >= 0:
                other = table[right[pair]]
                for word in range(first, last):
                    above[word], equal = columns_compared(column, other, word << 6)
                    below[word] = columns_compared(other, column, word << 6)[0] if equal else ~above[word]
            else:
                number = level[pair]
                for word in range(first, last):
                    above[word], equal = level_compared(column, number, word << 6)
                    below[word] = ~above[word]
                    if equal:
                        below[word] &= ~equal_to_level(column, number, word << 6)


@kernel
def know(table, rows, known):
    """Fill `known`[k] with where row k of the table (as for `compare`) is finite, for each k of `rows`."""
    for row in rows:
        column, bits = table[row], known[row]
        for word in range(len(bits)):
            bits[word] = finite(column, word << 6)


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
    simple = entry_count == 1 and exit_count == 1
    if not simple:
        _enough(masks, asked, entry_count, entries_needed, stage, entries)
        _enough(masks, asked[entry_count:], exit_count, exits_needed, stage, exits)
    heard = stage[0]
    for word in range(len(sound)):
        heard[word] = sound[word]
    for index in range(len(rows)):
        row = rows[index]
        if row >= 0:
            for word in range(len(sound)):
                heard[word] &= known[row, word]
    if simple:
        enter, leave = asked[0], asked[1]
        # One comparison of which two must hold says nothing.
        entering = ALL if entries_needed == 1 else np.uint64(0)
        leaving = ALL if exits_needed == 1 else np.uint64(0)
        for word in range(len(sound)):
            entry, exit = masks[enter, word] & entering, masks[leave, word] & leaving
            entries[word] = entry & ~exit & heard[word]
            exits[word] = exit & ~entry & heard[word]
    else:
        for word in range(len(sound)):
            entry, exit = entries[word], exits[word]
            entries[word] = entry & ~exit & heard[word]
            exits[word] = exit & ~entry & heard[word]


@kernel
def rows_needed(shape):
    """Return how many rows `speak` needs to count comparisons in."""
    most = 1
    for combination in range(len(shape)):
        most = max(most, max(shape[combination, 1], shape[combination, 3]))
    return most
