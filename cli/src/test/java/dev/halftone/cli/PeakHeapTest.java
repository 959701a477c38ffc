// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

final class PeakHeapTest {
    private static final int LARGE = 400 << 20;
    private static final int SMALL = 100 << 20;

    @Test
    void countsWhatIsHeldAndNothingFromBefore() throws InterruptedException {
        long held = hold(LARGE);
        System.gc();
        try (PeakHeap heap = PeakHeap.start()) {
            held += hold(SMALL);
            // The collections before are told about now.
            Thread.sleep(300);
            assertThat(heap.bytes()).isBetween((long) SMALL, (long) LARGE);
        }
        assertThat(held).isEqualTo((long) LARGE + SMALL);
    }

    /** Allocates so much and lets go of it after a collection. */
    private static long hold(int bytes) {
        byte[] block = new byte[bytes];
        System.gc();
        return block.length;
    }
}
