// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.VectorSpecies;
import org.jspecify.annotations.Nullable;

/**
 * The tables by which {@link TableConv} multiplies codes of certain widths. {@code group} input channels are multiplied at once:
 * their activation codes, side by side, are the number of a table; their weight codes, side by side, index its entries, one per
 * lane of a byte vector. An entry is the sum of the products of the codes, each less a centre, plus {@code bias}, which makes it
 * an unsigned byte; the centres are those that make entries span the fewest values, so that most of them can be added in a byte.
 */
final class LookupTable {
    static final VectorSpecies<Byte> BYTES = ByteVector.SPECIES_PREFERRED;
    /** Entries of a table, which is one vector. */
    static final int LANES = BYTES.length();

    static final int LOG_LANES = Integer.numberOfTrailingZeros(LANES);
    /** At most 256 tables belong together: a table number is a byte. */
    static final int LOG_SLOT = LOG_LANES + 8;

    static final int SLOTS = 64;
    /**
     * All tables. One constant segment, because C2 then folds its base address and length into the loops and drops the bounds
     * checks of masked offsets: 793 against 663 GOP/s with a segment per convolution. Outside the heap, because a vector load that
     * straddles cache lines takes two accesses: look-ups from a heap array, whose elements start 16 bytes off a line, run at
     * 0.66 of the speed. (2-bit 3x3 convolution, 64 to 64 channels; and bare look-ups; Zen 4, one core.)
     */
    static final MemorySegment TABLES = Arena.global().allocate((long) SLOTS << LOG_SLOT, LANES);

    private static final @Nullable LookupTable[] BY_BITS = new LookupTable[SLOTS];

    static {
        if (LANES >= 16 && LANES <= 64) {
            for (int weightBits = 1; weightBits <= LOG_LANES; weightBits++) {
                for (int activationBits = 1; activationBits <= 8; activationBits++) {
                    LookupTable table = best(weightBits, activationBits);
                    if (table != null) {
                        table.fill();
                        BY_BITS[table.slot] = table;
                    }
                }
            }
        }
    }

    final int slot;
    final int weightBits;
    final int activationBits;
    final int group;
    final int weightCentre;
    final int activationCentre;
    /** What every entry holds beyond its sum. */
    final int bias;
    /** Largest entry. */
    final int span;

    private LookupTable(int weightBits, int activationBits, int group, int weightCentre, int activationCentre) {
        this.slot = slot(weightBits, activationBits);
        this.weightBits = weightBits;
        this.activationBits = activationBits;
        this.group = group;
        this.weightCentre = weightCentre;
        this.activationCentre = activationCentre;
        int maxWeight = (1 << weightBits) - 1;
        int maxActivation = (1 << activationBits) - 1;
        int lowest = -Math.max(
                weightCentre * (maxActivation - activationCentre), activationCentre * (maxWeight - weightCentre));
        int highest = Math.max(
                weightCentre * activationCentre, (maxWeight - weightCentre) * (maxActivation - activationCentre));
        this.bias = -group * lowest;
        this.span = group * (highest - lowest);
    }

    private static int slot(int weightBits, int activationBits) {
        return (weightBits - 1) * 8 + activationBits - 1;
    }

    /** Returns the tables for these code widths, or null if there are none. */
    static @Nullable LookupTable of(int weightBits, int activationBits) {
        return BY_BITS[slot(weightBits, activationBits)];
    }

    private static @Nullable LookupTable best(int weightBits, int activationBits) {
        LookupTable best = null;
        for (int group = 1; group * weightBits <= LOG_LANES && group * activationBits <= 8; group++) {
            for (int weightCentre = 0; weightCentre < 1 << weightBits; weightCentre++) {
                for (int activationCentre = 0; activationCentre < 1 << activationBits; activationCentre++) {
                    LookupTable t = new LookupTable(weightBits, activationBits, group, weightCentre, activationCentre);
                    if (t.span <= 255 && t.outside() < 256 && (best == null || t.cost() < best.cost())) {
                        best = t;
                    }
                }
            }
        }
        return best;
    }

    /** Returns the cost of a product in look-ups; widening a byte sum costs about as much as three. */
    private double cost() {
        return (1 + 3.0 / run()) / group;
    }

    /** Returns how many entries can be added in a byte. */
    int run() {
        return 255 / span;
    }

    /** Returns the number of the table for pixels outside the image, whose codes add nothing. */
    int outside() {
        return activationCentre == 0 ? 0 : 1 << (group * activationBits);
    }

    private void fill() {
        for (int number = 0; number <= outside() || number < 1 << (group * activationBits); number++) {
            for (int index = 0; index < LANES; index++) {
                int entry = bias;
                for (int i = 0; i < group && number != outside(); i++) {
                    int activation = number >> (i * activationBits) & ((1 << activationBits) - 1);
                    int weight = index >> (i * weightBits) & ((1 << weightBits) - 1);
                    entry += (activation - activationCentre) * (weight - weightCentre);
                }
                long at = ((long) slot << LOG_SLOT) + ((long) number << LOG_LANES) + index;
                TABLES.set(ValueLayout.JAVA_BYTE, at, (byte) entry);
            }
        }
    }
}
