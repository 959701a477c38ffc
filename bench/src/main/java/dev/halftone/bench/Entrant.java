// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

/**
 * One side of a comparison.
 *
 * @param kind what runs, for example {@code w2a2} or {@code ort-int8}
 * @param own whether it is Halftone
 * @param work what is timed
 * @param units how much of the workload a call of {@code work} does, for example the convolutions of a chain
 * @param close releases what it holds
 */
record Entrant(String kind, boolean own, Runnable work, int units, Runnable close) {
    Entrant(String kind, boolean own, Runnable work, int units) {
        this(kind, own, work, units, () -> {});
    }
}
