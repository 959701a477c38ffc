// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Puts the codes of neighbouring channels side by side as table numbers, and turns the numbers of eight pixels
 * around, so that those of one group of channels are together. Both are permutations of byte vectors.
 *
 * <p>A pixel's channels are taken in chunks of whole groups that a vector holds; the last chunk ends with the last channel, be its
 * group whole or not.
 */
final class CodeGrouping {
    private static final VectorSpecies<Byte> BYTES = LookupTable.BYTES;
    private static final VectorSpecies<Long> LONGS = VectorSpecies.of(long.class, BYTES.vectorShape());
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final int LANES = LookupTable.LANES;
    /** Pixels that are turned around together: the bytes of a long. */
    private static final int PIXELS = Long.BYTES;

    /** Channels of a chunk other than the last. */
    private final int chunkChannels;
    /** Groups of a chunk other than the last. */
    private final int chunkGroups;

    private final int chunks;
    private final int channels;
    private final int group;
    private final int bits;
    /** For every channel of a group, where the lanes find it, {@code [i][lane]}. */
    private final byte[] gather;
    /** 0xFF where there is such a channel, {@code [i][lane]}, for chunks before the last and for the last. */
    private final byte[] present;

    private final byte[] presentInLast;
    /** For every vector of transposed groups, the group that each lane wants, {@code [vector][lane]}. */
    private final byte[] spread;

    CodeGrouping(int channels, int group, int bits) {
        this.channels = channels;
        this.group = group;
        this.bits = bits;
        chunkGroups = LANES / group;
        chunkChannels = chunkGroups * group;
        // The last chunk may be a little longer than the others, up to a whole vector.
        chunks = channels <= LANES ? 1 : 1 + Math.ceilDiv(channels - LANES, chunkChannels);
        gather = new byte[group * LANES];
        present = new byte[group * LANES];
        presentInLast = new byte[group * LANES];
        int last = channels - (chunks - 1) * chunkChannels;
        for (int i = 0; i < group; i++) {
            for (int lane = 0; lane < LANES; lane++) {
                int channel = lane * group + i;
                gather[i * LANES + lane] = (byte) (channel % LANES);
                present[i * LANES + lane] = (byte) (channel < chunkChannels ? 0xFF : 0);
                presentInLast[i * LANES + lane] = (byte) (channel < last ? 0xFF : 0);
            }
        }
        spread = new byte[PIXELS * LANES];
        for (int lane = 0; lane < spread.length; lane++) {
            spread[lane] = (byte) (lane / PIXELS);
        }
    }

    /** Returns the groups of a chunk. */
    private int groups(int chunk) {
        return chunk < chunks - 1 ? chunkGroups : Math.ceilDiv(channels - chunk * chunkChannels, group);
    }

    /**
     * Computes the table numbers of a row of pixels.
     *
     * @param codes one per byte, {@code [pixels][channels]}; whole vectors are read
     * @param outside the number of what is behind the last pixel, up to a multiple of eight
     * @param numbers {@code [group][column]} with {@code step} columns; written from {@code to} on
     */
    void group(byte[] codes, int pixels, int outside, byte[] numbers, int to, int step) {
        int tiles = Math.ceilDiv(pixels, PIXELS);
        // Each step does the whole row: what was just stored cannot be loaded at once.
        byte[] grouped = new byte[tiles * PIXELS * LANES];
        long[] transposed = new long[tiles * LANES];
        Arrays.fill(grouped, pixels * LANES, grouped.length, (byte) outside);
        for (int chunk = 0; chunk < chunks; chunk++) {
            int groups = groups(chunk);
            group(codes, chunk * chunkChannels, pixels, chunk < chunks - 1 ? present : presentInLast, grouped);
            transpose(grouped, tiles, groups, transposed);
            for (int g = 0; g < groups; g++) {
                int line = to + (chunk * chunkGroups + g) * step;
                for (int tile = 0; tile < tiles; tile++) {
                    LONG.set(numbers, line + tile * PIXELS, transposed[tile * LANES + g]);
                }
            }
        }
    }

    private void group(byte[] codes, int from, int pixels, byte[] there, byte[] grouped) {
        for (int p = 0; p < pixels; p++) {
            ByteVector all = ByteVector.fromArray(BYTES, codes, from + p * channels);
            ByteVector number = ByteVector.zero(BYTES);
            for (int i = 0, shift = 0; i < group; i++, shift += bits) {
                ByteVector code = ByteVector.fromArray(BYTES, gather, i * LANES)
                        .selectFrom(all)
                        .and(ByteVector.fromArray(BYTES, there, i * LANES));
                // A shifted code stays within its byte: shifting pairs of bytes is the same, and vectors of bytes have
                // no shift.
                number = number.or(code.reinterpretAsShorts()
                        .lanewise(VectorOperators.LSHL, shift)
                        .reinterpretAsBytes());
            }
            number.intoArray(grouped, p * LANES);
        }
    }

    /** Turns around the numbers of eight pixels each: one long for each group, pixel {@code p} in byte {@code p}. */
    private void transpose(byte[] grouped, int tiles, int groups, long[] transposed) {
        for (int tile = 0; tile < tiles; tile++) {
            for (int g = 0; g < groups; g += LANES / PIXELS) {
                ByteVector wanted = ByteVector.fromArray(BYTES, spread, g * PIXELS);
                LongVector all = LongVector.zero(LONGS);
                for (int p = 0; p < PIXELS; p++) {
                    all = all.or(wanted.selectFrom(ByteVector.fromArray(BYTES, grouped, (tile * PIXELS + p) * LANES))
                            .reinterpretAsLongs()
                            .and(0xFFL << (8 * p)));
                }
                all.intoArray(transposed, tile * LANES + g);
            }
        }
    }
}
